//! What carries the packets of a link that does not do so itself, or not alone.
//!
//! The port of a bridge, bond or team has no packets of its own: to IP they are those of its master. Beside a link MACVLANs and
//! IPVLANs send by the same wire. All of them are protected with the link as long as this is so, and no longer: a master that
//! has lost the port has nothing to do with the group.

use std::collections::BTreeMap;

use crate::object::Link;

/// A master of a master and so on is not asked for: the kernel has at most eight levels.
const LEVELS: u32 = 8;

/// The links that carry packets of these, each with the number of links of which the lowest is one of these and each is the
/// master of the one below it; 0 has who shares a wire.
pub fn carriers(links: &[Link], own: &[u32]) -> BTreeMap<u32, u32> {
    let by_index: BTreeMap<_, _> = links.iter().map(|link| (link.index, link)).collect();
    let mut found = BTreeMap::new();
    for index in own {
        for (level, master) in masters(&by_index, *index) {
            found.entry(master).and_modify(|known: &mut u32| *known = level.max(*known)).or_insert(level);
        }
    }
    add_beside(&by_index, own, &mut found);
    found
}

/// From the lowest up.
fn masters<'a>(links: &'a BTreeMap<u32, &Link>, port: u32) -> impl Iterator<Item = (u32, u32)> + 'a {
    let mut at = port;
    (1..=LEVELS).map_while(move |level| {
        at = master_of(links, at)?;
        Some((level, at))
    })
}

fn master_of(links: &BTreeMap<u32, &Link>, port: u32) -> Option<u32> {
    let master = links.get(&links.get(&port)?.stacked.master?)?;
    master.stacked.has_ports().then_some(master.index)
}

fn add_beside(links: &BTreeMap<u32, &Link>, own: &[u32], found: &mut BTreeMap<u32, u32>) {
    for _ in 0..LEVELS {
        let is_covered = |index: &u32| own.contains(index) || found.contains_key(index);
        let on_wire = |link: &&&Link| {
            link.stacked.shares_wire() && link.stacked.below.is_some_and(|below| is_covered(&below))
        };
        let beside: Vec<_> = links
            .values()
            .filter(on_wire)
            .flat_map(|link| {
                std::iter::once(link.index).chain(masters(links, link.index).map(|(_, master)| master))
            })
            .filter(|index| !is_covered(index))
            .collect();
        if beside.is_empty() {
            return;
        }
        found.extend(beside.into_iter().map(|index| (index, 0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Stacked;

    fn link(index: u32, kind: &str, master: Option<u32>, below: Option<u32>) -> Link {
        let stacked = Stacked { kind: kind.into(), master, below };
        Link {
            index,
            name: format!("l{index}"),
            up: true,
            mtu: 1500,
            addresses: Vec::new(),
            vrf: None,
            stacked,
        }
    }

    fn carry(links: &[Link], own: &[u32]) -> Vec<(u32, u32)> {
        carriers(links, own).into_iter().collect()
    }

    #[test]
    fn a_master_carries_its_port_and_a_vrf_does_not() {
        for kind in ["bridge", "bond", "team", ""] {
            let links = [link(2, "", Some(5), None), link(3, "", Some(5), None), link(5, kind, None, None)];
            assert_eq!((carry(&links, &[2]), carry(&links, &[9])), (vec![(5, 1)], vec![]), "{kind}");
        }
        let in_vrf = [link(2, "", Some(5), None), link(5, "vrf", None, None)];
        assert_eq!(carry(&in_vrf, &[2]), []);
    }

    #[test]
    fn masters_lie_upon_each_other_up_to_a_vrf() {
        let links = [
            link(2, "", Some(3), None),
            link(3, "bond", Some(4), None),
            link(4, "bridge", Some(5), None),
            link(5, "vrf", None, None),
        ];
        assert_eq!(carry(&links, &[2]), [(3, 1), (4, 2)]);
        assert_eq!(carry(&[link(2, "bond", Some(2), None)], &[2]).len(), 1, "a circle, which no kernel has");
    }

    #[test]
    fn who_shares_the_wire_is_found_wherever_it_lies() {
        let links = [
            link(2, "", Some(3), None),
            link(3, "bridge", None, None),
            link(4, "macvlan", None, Some(2)),
            link(5, "ipvlan", None, Some(3)),
            link(6, "vlan", None, Some(2)),
            link(7, "macvlan", None, Some(6)),
            link(8, "macvlan", None, None),
            link(9, "macvlan", Some(10), Some(4)),
            link(10, "bridge", None, None),
        ];
        assert_eq!(carry(&links, &[2]), [(3, 1), (4, 0), (5, 0), (9, 0), (10, 0)]);
    }
}
