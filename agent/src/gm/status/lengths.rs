//! What fits through the protected interfaces.

use crate::config::InterfacePattern;
use crate::gm::dataplane::DataPlane;
use crate::gm::desired::{sending, Guarded, Place};
use crate::gm::links::Links;
use crate::gm::path_mtu::{needed, PathMtus};
use crate::report::Lengths;
use gdoi::endpoint::Instant;
use gdoi::View;
use xfrm::{Family, Sa};

/// Of each group, in the configuration's order; nothing of an interface that is not there.
pub fn of_all(dataplane: &mut DataPlane, now: Instant) -> Vec<Vec<Lengths>> {
    let links = dataplane.links().unwrap_or_default();
    let of = |(group, view)| of_group(group, view, &links, dataplane.path_mtus(), now);
    dataplane.needs().map(of).collect()
}

fn of_group(group: &Guarded, view: &View, links: &Links, path_mtus: &PathMtus, now: Instant) -> Vec<Lengths> {
    let lengths = |(number, (slot, name)): (usize, (xfrm::Slot, &InterfacePattern))| {
        let link = links.of(slot, name)?;
        let path = |family| path_mtus.of(slot, family, now);
        let states = sending(view, Place { interface: number, slot }, now);
        let state = |family| states.iter().find(|sa: &&Sa| sa.family == family);
        let inside = |family| {
            let sa = state(family)?;
            let mtu = path(family).map_or(link.mtu, |path| path.max(needed(sa)));
            Some(sa.keys.transform().longest_inside(family, mtu.min(link.mtu)))
        };
        Some(Lengths {
            interface: link.name.clone(),
            link_mtu: link.mtu,
            path_mtu: path(Family::V4),
            path_mtu_ipv6: path(Family::V6),
            overhead: states.iter().map(|sa| sa.keys.transform().overhead(sa.family)).max(),
            host_mtu: inside(Family::V4),
            host_mtu_ipv6: inside(Family::V6),
        })
    };
    group.places().enumerate().filter_map(lengths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source};
    use crate::gm::desired::assign_slots;
    use crate::gm::path_mtu::TooBig;
    use gdoi::crypto::Secret;
    use gdoi::policy::{Acl, GroupId, Spi, TekKeys};
    use std::path::Path;
    use xfrm::{Anchors, Interface, Kept};

    fn shared() -> gdoi::Sa {
        let keys =
            TekKeys::Shared { encryption: Secret::new(vec![1; 32]), integrity: Secret::new(vec![2; 32]) };
        gdoi::Sa {
            spi: Spi(1000),
            transform: "aes-256-cbc/hmac-sha-256".parse().unwrap(),
            keys,
            expires: Instant::from_millis(60_000),
            replay_window: 0,
            group: GroupId(100),
        }
    }

    #[test]
    fn the_path_counts_where_it_carries_less() {
        let text = r#"groups: [{name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0, wan1, gone0], pre-shared-key: "only for tests"}]
"#;
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        let groups = file.settle(&mut source).unwrap().groups;
        let groups = groups.into_iter().map(|(group, _)| group).collect();
        let group = assign_slots(groups, &[], Anchors::default()).remove(0);
        let link = |name: &str| Interface { index: 4, name: name.into(), up: true, mtu: 1500, vrf: None };
        let links = Links::new(["wan0", "wan1"].map(link).into(), Kept::default());
        let (mut mtus, now) = (PathMtus::default(), Instant::from_millis(1_000));
        mtus.learn(group.slots[1], TooBig { family: Family::V4, spi: 7, mtu: 1400 }, 1500, now);
        let acl = Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap();
        let view = View { registered: true, acl, outbound: Some(shared()), ..View::default() };
        let lengths = of_group(&group, &view, &links, &mtus, now);
        let seen: Vec<_> = lengths.iter().map(|one| (one.path_mtu, one.overhead, one.host_mtu)).collect();
        assert_eq!(seen, [(None, Some(77), Some(1438)), (Some(1400), Some(77), Some(1326))]);
        assert!(lengths.iter().all(|one| one.host_mtu_ipv6.is_none()), "the list has no IPv6");
        assert_eq!(of_group(&group, &View::default(), &links, &mtus, now)[0].host_mtu, None);
    }
}
