//! Which packets an access control entry is about.

use super::{refuse, Family, PolicyError, Ports, Prefix};
use std::fmt;
use std::iter::Peekable;
use std::str::FromStr;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

const PROTOCOLS: [(&str, u8); 8] = [
    ("icmp", ICMP),
    ("tcp", TCP),
    ("udp", UDP),
    ("gre", 47),
    ("esp", 50),
    ("icmpv6", ICMPV6),
    ("ospf", 89),
    ("pim", 103),
];

/// Which packets an entry is about; both sides are of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    protocol: Option<u8>,
    source: Side,
    destination: Side,
}

/// Addresses and ports of one side; no ports are all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// Addresses.
    pub prefix: Prefix,
    /// Ports of TCP or UDP; None is any.
    pub ports: Option<Ports>,
}

impl Selector {
    /// Packets of this protocol (None is any) from one side to the other.
    ///
    /// # Errors
    /// Sides of different IP versions, a protocol of the other version, protocol 0, ports without TCP or UDP.
    pub fn new(protocol: Option<u8>, source: Side, destination: Side) -> Result<Self, PolicyError> {
        let family = source.prefix.family();
        if destination.prefix.family() != family {
            return refuse("source and destination are of different IP versions");
        }
        match (protocol, family) {
            (Some(0), _) => return refuse("protocol 0 is not possible"),
            (Some(ICMP), Family::V6) => return refuse("icmp is of IPv4, `icmpv6` goes with IPv6"),
            (Some(ICMPV6), Family::V4) => return refuse("icmpv6 goes with IPv6 only"),
            _ => {}
        }
        let has_ports = source.ports.is_some() || destination.ports.is_some();
        if has_ports && !matches!(protocol, Some(TCP | UDP)) {
            return refuse("ports go with tcp or udp only");
        }
        Ok(Selector { protocol, source, destination })
    }

    /// All packets of an IP version.
    pub const fn any(family: Family) -> Self {
        let side = Side { prefix: Prefix::any(family), ports: None };
        Selector { protocol: None, source: side, destination: side }
    }

    /// The IP version.
    pub const fn family(&self) -> Family {
        self.source.prefix.family()
    }

    /// The IP protocol number; None is any.
    pub const fn protocol(&self) -> Option<u8> {
        self.protocol
    }

    /// Where packets come from.
    pub const fn source(&self) -> Side {
        self.source
    }

    /// Where they go to.
    pub const fn destination(&self) -> Side {
        self.destination
    }

    /// The packets of the other direction.
    pub const fn mirror(&self) -> Self {
        Selector { protocol: self.protocol, source: self.destination, destination: self.source }
    }

    /// Whether it matches every packet that `other` matches.
    pub fn covers(&self, other: &Selector) -> bool {
        (self.protocol.is_none() || self.protocol == other.protocol)
            && self.source.covers(&other.source)
            && self.destination.covers(&other.destination)
    }

    /// Whether some packet is matched by both.
    pub fn overlaps(&self, other: &Selector) -> bool {
        let protocols = self.protocol.zip(other.protocol);
        protocols.is_none_or(|(one, another)| one == another)
            && self.source.overlaps(&other.source)
            && self.destination.overlaps(&other.destination)
    }
}

impl From<Prefix> for Side {
    /// All ports.
    fn from(prefix: Prefix) -> Self {
        Side { prefix, ports: None }
    }
}

impl Side {
    fn covers(&self, other: &Side) -> bool {
        let ports = match (&self.ports, &other.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(theirs)) => own.cover(theirs),
        };
        ports && self.prefix.covers(&other.prefix)
    }

    fn overlaps(&self, other: &Side) -> bool {
        let ports = self.ports.zip(other.ports);
        ports.is_none_or(|(own, theirs)| own.overlap(&theirs)) && self.prefix.overlaps(&other.prefix)
    }
}

/// A protocol as it is written, with the IP version that it implies.
struct Protocol {
    number: Option<u8>,
    family: Option<Family>,
}

fn parse_protocol(word: &str) -> Result<Protocol, PolicyError> {
    match word {
        "ip" => return Ok(Protocol { number: None, family: Some(Family::V4) }),
        "ipv6" => return Ok(Protocol { number: None, family: Some(Family::V6) }),
        _ => {}
    }
    let named = PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    let Some(number) = named.or_else(|| word.parse().ok().filter(|number| *number != 0)) else {
        return refuse(format!(
            "`{word}` is no protocol (ip, ipv6, tcp, udp, icmp, icmpv6, gre, esp, ospf, pim or 1 to 255)"
        ));
    };
    let family = (number == ICMPV6).then_some(Family::V6);
    Ok(Protocol { number: Some(number), family })
}

/// Addresses as they are written: `any` takes the IP version of what stands beside it.
enum Addresses {
    Any,
    Prefix(Prefix),
}

impl Addresses {
    fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Self, PolicyError> {
        let prefix = match words.next() {
            Some("any") => return Ok(Addresses::Any),
            Some("any6") => Prefix::any(Family::V6),
            Some("host") => Prefix::host(parse_host(words.next().unwrap_or_default())?),
            Some(prefix) => prefix.parse()?,
            None => return refuse("an address is missing (any, any6, host ADDRESS or PREFIX/LENGTH)"),
        };
        Ok(Addresses::Prefix(prefix))
    }

    const fn family(&self) -> Option<Family> {
        match self {
            Addresses::Any => None,
            Addresses::Prefix(prefix) => Some(prefix.family()),
        }
    }

    const fn prefix(self, family: Family) -> Prefix {
        match self {
            Addresses::Any => Prefix::any(family),
            Addresses::Prefix(prefix) => prefix,
        }
    }
}

fn parse_host(word: &str) -> Result<std::net::IpAddr, PolicyError> {
    word.parse().or_else(|_| refuse(format!("`{word}` is no address")))
}

impl Selector {
    /// Takes `PROTOCOL SOURCE [PORTS] DESTINATION [PORTS]` off the words.
    pub(super) fn parse<'a>(
        words: &mut Peekable<impl Iterator<Item = &'a str>>,
    ) -> Result<Self, PolicyError> {
        let word = words.next().unwrap_or_default();
        let protocol = parse_protocol(word)?;
        let (source, source_ports) = (Addresses::parse(words)?, Ports::parse(words)?);
        let (destination, destination_ports) = (Addresses::parse(words)?, Ports::parse(words)?);
        let beside = source.family().or(destination.family());
        let family = beside.or(protocol.family).unwrap_or(Family::V4);
        if let Some(other) = protocol.family.filter(|implied| *implied != family) {
            return refuse(format!("`{word}` is of {other}, the addresses are of {family}"));
        }
        let source = Side { prefix: source.prefix(family), ports: source_ports };
        let destination = Side { prefix: destination.prefix(family), ports: destination_ports };
        Selector::new(protocol.number, source, destination)
    }

    /// Whether `any` on both sides would be read as IPv4.
    fn needs_any6(&self) -> bool {
        let all = [self.source, self.destination].iter().all(|side| side.prefix.length() == 0);
        all && self.family() == Family::V6 && !matches!(self.protocol, None | Some(ICMPV6))
    }
}

impl FromStr for Selector {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut words = text.split_whitespace().peekable();
        let selector = Selector::parse(&mut words)?;
        match words.next() {
            Some(extra) => refuse(format!("`{extra}` is not understood at the end of the entry")),
            None => Ok(selector),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, self.family()) {
            (None, Family::V4) => f.write_str("ip")?,
            (None, Family::V6) => f.write_str("ipv6")?,
            (Some(number), _) => match PROTOCOLS.iter().find(|(_, known)| *known == number) {
                Some((name, _)) => f.write_str(name)?,
                None => write!(f, "{number}")?,
            },
        }
        let any = if self.needs_any6() { "any6" } else { "any" };
        [self.source, self.destination].iter().try_for_each(|side| write_side(f, side, any))
    }
}

fn write_side(f: &mut fmt::Formatter<'_>, side: &Side, any: &str) -> fmt::Result {
    let prefix = side.prefix;
    match prefix.length() {
        0 => write!(f, " {any}")?,
        length if length == prefix.family().bits() => write!(f, " host {}", prefix.address())?,
        _ => write!(f, " {prefix}")?,
    }
    side.ports.map_or(Ok(()), |ports| write!(f, " {ports}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> Selector {
        text.parse().unwrap()
    }

    fn reason(text: &str) -> String {
        text.parse::<Selector>().unwrap_err().to_string()
    }

    #[test]
    fn selectors_read_and_print_alike() {
        for text in [
            "ip 10.0.0.0/8 10.0.0.0/8",
            "ip any any",
            "tcp any any eq 179",
            "udp host 10.1.1.1 eq 53 172.16.0.0/12 gt 1023",
            "tcp any lt 1024 any range 2000 3000",
            "132 any host 192.0.2.1",
            "ipv6 any any",
            "ipv6 2001:db8::/32 any",
            "icmpv6 any host 2001:db8::1",
            "icmpv6 any any",
            "tcp any6 eq 22 any6",
            "udp any 2001:db8::/32 eq 53",
            "ospf any6 any6",
        ] {
            assert_eq!(selector(text).to_string(), text);
        }
    }

    #[test]
    fn the_ip_version_is_the_one_of_what_stands_beside() {
        assert_eq!(selector("tcp any any").family(), Family::V4);
        assert_eq!(selector("tcp any 2001:db8::/32").family(), Family::V6);
        assert_eq!(selector("tcp any6 any"), selector("tcp any any6"));
        assert_eq!(selector("ipv6 any any"), Selector::any(Family::V6));
        assert_eq!(selector("ip any any"), Selector::any(Family::V4));
    }

    #[test]
    fn bad_selectors_say_why() {
        assert!(reason("ipx any any").contains("no protocol"));
        assert!(reason("0 any any").contains("no protocol"));
        assert!(reason("ip any").contains("missing"));
        assert!(reason("ip any host").contains("`` is no address"));
        assert!(reason("ip any eq 5 any").contains("tcp or udp"));
        assert!(reason("ip any any log").contains("`log` is not understood"));
        assert!(reason("ip 2001:db8::/32 any").contains("`ip` is of IPv4, the addresses are of IPv6"));
        assert!(reason("ipv6 10.0.0.0/8 any").contains("`ipv6` is of IPv6"));
        assert!(reason("icmpv6 10.0.0.0/8 any").contains("IPv6"));
        assert!(reason("icmp 2001:db8::/32 any").contains("`icmpv6` goes with IPv6"));
        assert!(reason("tcp 10.0.0.0/8 2001:db8::/32").contains("different IP versions"));
    }

    #[test]
    fn selectors_cover_and_overlap() {
        let covers = |left: &str, right: &str| selector(left).covers(&selector(right));
        assert!(covers("ip 10.0.0.0/8 any", "tcp 10.1.0.0/16 gt 5 any eq 22"));
        assert!(!covers("tcp any any", "ip any any") && !covers("tcp any eq 22 any", "tcp any any"));
        assert!(
            covers("tcp any gt 1023 any", "tcp any eq 5000 any") && !covers("ip any any", "ipv6 any any")
        );
        let overlap = |left: &str, right: &str| selector(left).overlaps(&selector(right));
        assert!(overlap("tcp any any eq 22", "ip 10.0.0.0/8 any") && !overlap("tcp any any", "udp any any"));
        assert!(!overlap("tcp any eq 1 any", "tcp any eq 2 any") && !overlap("ip any any", "ipv6 any any"));
        assert_eq!(selector("udp any eq 1 10.0.0.0/8").mirror(), selector("udp 10.0.0.0/8 any eq 1"));
    }
}
