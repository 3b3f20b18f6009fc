//! What XFRM policies match.

use std::fmt;

use crate::model::{Family, Ports, Prefix};

/// What a policy of the kernel matches. Where an entry has a range of ports the kernel has a port and a mask, so here
/// they begin at a multiple of their number, which is a power of two. The type of ICMPv6 stands where the source ports do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelSelector {
    /// Where packets come from.
    pub source: Prefix,
    /// Where packets go to, of the same family.
    pub destination: Prefix,
    /// IP protocol number; none means any.
    pub protocol: Option<u8>,
    /// Transport source ports; none means any.
    pub source_ports: Option<Ports>,
    /// Transport destination ports; none means any.
    pub destination_ports: Option<Ports>,
}

impl KernelSelector {
    /// Any protocol and port between two prefixes of one family.
    pub fn between(source: Prefix, destination: Prefix) -> Self {
        Self { source, destination, protocol: None, source_ports: None, destination_ports: None }
    }

    /// The family of its packets.
    pub fn family(&self) -> Family {
        self.source.family()
    }

    /// Whether it matches all that the other one matches.
    pub fn covers(&self, other: &Self) -> bool {
        self.source.covers(&other.source)
            && self.destination.covers(&other.destination)
            && (self.protocol.is_none() || self.protocol == other.protocol)
            && has_all(self.source_ports, other.source_ports)
            && has_all(self.destination_ports, other.destination_ports)
    }

    /// Whether some packet matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.source.overlaps(&other.source)
            && self.destination.overlaps(&other.destination)
            && agree(self.protocol, other.protocol, |one, other| one == other)
            && agree(self.source_ports, other.source_ports, meet)
            && agree(self.destination_ports, other.destination_ports, meet)
    }
}

fn has_all(one: Option<Ports>, other: Option<Ports>) -> bool {
    one.is_none_or(|one| {
        other.is_some_and(|other| one.first() <= other.first() && other.last() <= one.last())
    })
}

fn agree<T>(one: Option<T>, other: Option<T>, both: impl FnOnce(T, T) -> bool) -> bool {
    one.zip(other).is_none_or(|(one, other)| both(one, other))
}

fn meet(one: Ports, other: Ports) -> bool {
    one.first() <= other.last() && other.first() <= one.last()
}

impl fmt::Display for KernelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, self.family()) {
            (Some(number), _) => write!(f, "{number} ")?,
            (None, Family::V4) => f.write_str("ip ")?,
            (None, Family::V6) => f.write_str("ipv6 ")?,
        }
        let side = |prefix: Prefix, ports: Option<Ports>| {
            ports.map_or(prefix.to_string(), |ports| format!("{prefix} {ports}"))
        };
        write!(
            f,
            "{} {}",
            side(self.source, self.source_ports),
            side(self.destination, self.destination_ports)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_entries_do() {
        let documentation = "2001:db8::/32".parse().unwrap();
        let mut selector = KernelSelector::between(documentation, Prefix::any(Family::V6));
        assert_eq!(selector.to_string(), "ipv6 2001:db8::/32 ::/0");
        selector.protocol = Some(6);
        selector.source_ports = Some(Ports::one(22));
        selector.destination_ports = Ports::new(1000, 2000);
        assert_eq!(selector.to_string(), "6 2001:db8::/32 eq 22 ::/0 range 1000 2000");
    }

    #[test]
    fn selectors_cover_and_overlap_as_their_packets_do() {
        let between =
            |from: &str, to: &str| KernelSelector::between(from.parse().unwrap(), to.parse().unwrap());
        let (wide, narrow) = (between("10.0.0.0/8", "10.0.0.0/8"), between("10.1.0.0/16", "10.2.0.0/16"));
        assert!(
            wide.covers(&narrow) && !narrow.covers(&wide) && wide.overlaps(&narrow) && narrow.overlaps(&wide)
        );
        assert!(!wide.overlaps(&between("10.1.0.0/16", "172.16.0.0/12")));
        let of = |first, last| KernelSelector {
            protocol: Some(6),
            destination_ports: Ports::new(first, last),
            ..wide
        };
        assert!(wide.covers(&of(22, 22)) && !of(22, 22).covers(&wide) && wide.overlaps(&of(22, 22)));
        assert!(of(16, 31).covers(&of(22, 22)) && !of(16, 31).overlaps(&of(32, 32)));
        assert!(!of(1, 2).overlaps(&KernelSelector { protocol: Some(17), ..of(1, 2) }));
    }

    /// In this order policies of one rank are added.
    #[test]
    fn addresses_come_before_protocols_and_ports_in_their_order() {
        let prefix = |text: &str| text.parse().unwrap();
        let (ten, any) = (prefix("10.0.0.0/8"), Prefix::any(Family::V4));
        let tcp = KernelSelector { protocol: Some(6), ..KernelSelector::between(any, any) };
        let ordered = [
            KernelSelector::between(any, any),
            KernelSelector { destination_ports: Some(Ports::one(22)), ..tcp },
            KernelSelector { source_ports: Some(Ports::one(22)), ..tcp },
            KernelSelector::between(any, ten),
            KernelSelector::between(ten, any),
            KernelSelector::between(prefix("10.0.0.0/9"), any),
            KernelSelector::between(Prefix::any(Family::V6), Prefix::any(Family::V6)),
        ];
        assert!(ordered.is_sorted_by(|one, next| one < next));
    }
}
