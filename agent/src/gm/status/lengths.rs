//! What fits through the protected interfaces.

use crate::gm::dataplane::DataPlane;
use crate::gm::desired::Guarded;
use crate::gm::membership::Memberships;
use crate::gm::overhead::Overhead;
use crate::gm::path_mtu::PathMtus;
use crate::report::Lengths;
use gdoi::endpoint::Instant;
use xfrm::{Family, Interface};

/// Of each group, in the configuration's order; nothing of an interface that is not there.
pub fn of_all(memberships: &Memberships, dataplane: &mut DataPlane, now: Instant) -> Vec<Vec<Lengths>> {
    let interfaces = dataplane.interfaces().unwrap_or_default();
    let outbound = memberships.views(now).into_iter().map(|view| view.outbound.map(|sa| sa.transform.into()));
    let groups = dataplane.groups().iter().zip(outbound);
    groups
        .map(|(group, overhead)| of_group(group, overhead, &interfaces, dataplane.path_mtus(), now))
        .collect()
}

fn of_group(
    group: &Guarded,
    overhead: Option<Overhead>,
    interfaces: &[Interface],
    path_mtus: &PathMtus,
    now: Instant,
) -> Vec<Lengths> {
    let lengths = |(slot, name): (xfrm::Slot, &crate::config::InterfaceName)| {
        let link = interfaces.iter().find(|interface| interface.name == name.as_str())?;
        let path = |family| path_mtus.of(slot, family, now);
        let mtu = path(Family::V4).unwrap_or(link.mtu).min(link.mtu);
        Some(Lengths {
            interface: link.name.clone(),
            link_mtu: link.mtu,
            path_mtu: path(Family::V4),
            path_mtu_ipv6: path(Family::V6),
            overhead: overhead.map(Overhead::most),
            host_mtu: overhead.map(|overhead| overhead.inside(mtu)),
        })
    };
    group.places().filter_map(lengths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source};
    use crate::gm::desired::assign_slots;
    use crate::gm::path_mtu::TooBig;
    use gdoi::policy::Transform;
    use std::path::Path;

    #[test]
    fn the_path_counts_where_it_carries_less() {
        let text = r#"groups: [{name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0, wan1, gone0], pre-shared-key: "only for tests"}]
"#;
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        let groups = file.settle(&mut source).unwrap().groups;
        let group = assign_slots(groups.into_iter().map(|(group, _)| group).collect()).remove(0);
        let links = ["wan0", "wan1"].map(|name| Interface { name: name.into(), up: true, mtu: 1500 });
        let (mut mtus, now) = (PathMtus::default(), Instant::from_millis(1_000));
        mtus.learn(group.slots[1], TooBig { family: Family::V4, spi: 7, mtu: 1400 }, 1500, now);
        let overhead = "aes-256-cbc/hmac-sha-256".parse::<Transform>().unwrap().into();
        let lengths = of_group(&group, Some(overhead), &links, &mtus, now);
        let seen: Vec<_> = lengths.iter().map(|one| (one.path_mtu, one.overhead, one.host_mtu)).collect();
        assert_eq!(seen, [(None, Some(77), Some(1438)), (Some(1400), Some(77), Some(1326))]);
        assert_eq!(of_group(&group, None, &links, &mtus, now)[0].host_mtu, None);
    }
}
