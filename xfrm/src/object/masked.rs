//! Selectors as the kernel has them: ports by value and mask.

use std::fmt;

use crate::model::{Family, Ports, Prefix, Selector};

/// What an XFRM policy matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaskedSelector {
    pub source: Prefix,
    pub destination: Prefix,
    pub protocol: Option<u8>,
    pub source_port: MaskedPort,
    pub destination_port: MaskedPort,
}

/// Ports that agree with `value` in the bits of `mask`; for ICMP the kernel takes the type as source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaskedPort {
    pub value: u16,
    pub mask: u16,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl MaskedSelector {
    /// The fewest that together match what `selector` matches.
    pub fn all(selector: &Selector) -> Vec<Self> {
        let (sources, destinations) = (ports(selector.source_ports), ports(selector.destination_ports));
        let protocols = protocols(selector);
        let ports = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
        let both = ports.flat_map(|ports| protocols.iter().map(move |protocol| (*protocol, ports)));
        both.map(|(protocol, (source_port, destination_port))| Self {
            source: selector.source,
            destination: selector.destination,
            protocol,
            source_port,
            destination_port,
        })
        .collect()
    }

    /// How many [`Self::all`] would give.
    pub fn count(selector: &Selector) -> usize {
        protocols(selector).len() * ports(selector.source_ports).len() * ports(selector.destination_ports).len()
    }

    /// Whatever lies between two prefixes.
    pub fn between(source: Prefix, destination: Prefix) -> Self {
        let (source_port, destination_port) = (MaskedPort::ANY, MaskedPort::ANY);
        Self { source, destination, protocol: None, source_port, destination_port }
    }

    /// The family of its packets.
    pub fn family(&self) -> Family {
        self.source.family()
    }
}

/// Ports without a protocol are those of TCP and UDP, not the types of ICMP.
fn protocols(selector: &Selector) -> Vec<Option<u8>> {
    match selector.protocol {
        None if selector.source_ports.or(selector.destination_ports).is_some() => vec![Some(TCP), Some(UDP)],
        protocol => vec![protocol],
    }
}

fn ports(ports: Option<Ports>) -> Vec<MaskedPort> {
    ports.map_or(vec![MaskedPort::ANY], MaskedPort::of)
}

impl MaskedPort {
    /// Every port.
    pub const ANY: Self = Self { value: 0, mask: 0 };

    /// The fewest that together cover a range: at most 30. Each is the largest aligned block that begins where the one
    /// before ended.
    pub fn of(ports: Ports) -> Vec<Self> {
        let (mut next, last) = (u32::from(ports.first()), u32::from(ports.last()));
        let mut blocks = Vec::new();
        while next <= last {
            let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
            let bits = aligned.min((last - next + 1).ilog2());
            blocks.push(Self { value: next as u16, mask: (u32::MAX << bits) as u16 });
            next += 1 << bits;
        }
        blocks
    }
}

impl fmt::Display for MaskedSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, self.family()) {
            (Some(number), _) => write!(f, "{number} ")?,
            (None, Family::V4) => f.write_str("ip ")?,
            (None, Family::V6) => f.write_str("ipv6 ")?,
        }
        write!(f, "{}{} {}{}", self.source, self.source_port, self.destination, self.destination_port)
    }
}

impl fmt::Display for MaskedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            0 => Ok(()),
            u16::MAX => write!(f, " eq {}", self.value),
            mask => write!(f, " eq {}/{mask:#x}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_covered_exactly_once() {
        for (first, last, count) in [
            (0, 65535, 1),
            (22, 22, 1),
            (0, 1023, 1),
            (1024, 65535, 6),
            (1, 65534, 30),
            (6000, 6063, 3),
            (65535, 65535, 1),
        ] {
            let blocks = MaskedPort::of(Ports::new(first, last).unwrap());
            assert_eq!(blocks.len(), count, "{first} to {last}");
            for port in 0..=u16::MAX {
                let matches = blocks.iter().filter(|block| port & block.mask == block.value).count();
                assert_eq!(matches, usize::from((first..=last).contains(&port)), "{port}");
            }
        }
    }

    #[test]
    fn ranges_on_both_sides_multiply_and_ports_alone_are_those_of_tcp_and_udp() {
        let any = Prefix::any(Family::V4);
        let mut selector = Selector::between(any, any);
        assert_eq!(MaskedSelector::all(&selector), [MaskedSelector::between(any, any)]);
        selector.source_ports = Ports::new(1024, 65535);
        selector.destination_ports = Ports::new(6000, 6063);
        assert_eq!((MaskedSelector::count(&selector), MaskedSelector::all(&selector).len()), (36, 36));
        selector.protocol = Some(6);
        assert_eq!(MaskedSelector::count(&selector), 18);
        assert_eq!(MaskedSelector::all(&selector)[0].to_string(), "6 0.0.0.0/0 eq 1024/0xfc00 0.0.0.0/0 eq 6000/0xfff0");
    }
}
