//! Access control entries: which traffic a group protects, as the field writes it.

use super::{refuse, PolicyError};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The most entries that one ACL may have in this version: each is an SA TEK payload of
/// about 70 octets in one datagram.
pub const MAX_ACES: usize = 100;

/// What happens to traffic that an entry matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Encrypt.
    Permit,
    /// Send in clear.
    Deny,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Permit => "permit",
            Action::Deny => "deny",
        })
    }
}

/// An IPv4 prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Prefix {
    address: Ipv4Addr,
    length: u8,
}

impl Ipv4Prefix {
    /// Every address: 0.0.0.0/0.
    pub const ANY: Ipv4Prefix = Ipv4Prefix { address: Ipv4Addr::UNSPECIFIED, length: 0 };

    /// The prefix `address/length`.
    ///
    /// # Errors
    /// A length over 32, or host bits that are not zero.
    pub fn new(address: Ipv4Addr, length: u8) -> Result<Self, PolicyError> {
        if length > 32 {
            return refuse(format!("prefix length {length} is over 32"));
        }
        let network = Ipv4Addr::from(u32::from(address) & mask(length));
        if network != address {
            return refuse(format!("{address}/{length} has host bits, did you mean {network}/{length}?"));
        }
        Ok(Ipv4Prefix { address, length })
    }

    /// One address.
    pub const fn host(address: Ipv4Addr) -> Self {
        Ipv4Prefix { address, length: 32 }
    }

    /// The prefix of an address and a network mask; None where the mask has holes or host bits are set.
    pub fn from_mask(address: Ipv4Addr, netmask: Ipv4Addr) -> Option<Self> {
        let length = u32::from(netmask).leading_ones() as u8;
        (mask(length) == u32::from(netmask)).then(|| Ipv4Prefix::new(address, length).ok())?
    }

    /// The network address.
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The number of leading network bits, 0 to 32.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The network mask.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from(mask(self.length))
    }

    /// Whether `address` lies in this prefix.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.length) == u32::from(self.address)
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Ipv4Prefix {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        match (address.parse(), length.parse()) {
            (Ok(address), Ok(length)) => Ipv4Prefix::new(address, length),
            _ => refuse(format!("`{text}` is not an IPv4 prefix such as 10.0.0.0/8")),
        }
    }
}

impl fmt::Display for Ipv4Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Which packets an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The IP protocol number; None is any.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub source: Ipv4Prefix,
    /// Source port; None is any.
    pub source_port: Option<u16>,
    /// Destination addresses.
    pub destination: Ipv4Prefix,
    /// Destination port; None is any.
    pub destination_port: Option<u16>,
}

/// One access control entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ace {
    /// What happens to the matching traffic.
    pub action: Action,
    /// What matches.
    pub selector: Selector,
}

/// An ordered list of entries, first match decides; at most [`MAX_ACES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl(Vec<Ace>);

impl Acl {
    /// A list of these entries.
    ///
    /// # Errors
    /// More than [`MAX_ACES`] entries.
    pub fn new(entries: Vec<Ace>) -> Result<Self, PolicyError> {
        if entries.len() > MAX_ACES {
            return refuse(format!("{} entries, at most {MAX_ACES} are possible", entries.len()));
        }
        Ok(Acl(entries))
    }

    /// The entries in order.
    pub fn entries(&self) -> &[Ace] {
        &self.0
    }
}

const PROTOCOLS: [(&str, u8); 7] =
    [("icmp", 1), ("tcp", 6), ("udp", 17), ("gre", 47), ("esp", 50), ("ospf", 89), ("pim", 103)];

fn parse_protocol(word: &str) -> Result<Option<u8>, PolicyError> {
    if word == "ip" {
        return Ok(None);
    }
    let named = PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    match named.or_else(|| word.parse().ok().filter(|number| *number != 0)) {
        Some(number) => Ok(Some(number)),
        None => {
            refuse(format!("`{word}` is no protocol (ip, tcp, udp, icmp, gre, esp, ospf, pim or 1 to 255)"))
        }
    }
}

fn parse_side<'a>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Result<(Ipv4Prefix, Option<u16>), PolicyError> {
    let prefix = match words.next() {
        Some("any") => Ipv4Prefix::ANY,
        Some("host") => words.next().unwrap_or_default().parse()?,
        Some(prefix) => prefix.parse()?,
        None => return refuse("an address is missing (any, host A.B.C.D or A.B.C.D/LENGTH)"),
    };
    if words.next_if_eq(&"eq").is_none() {
        return Ok((prefix, None));
    }
    let word = words.next().unwrap_or_default();
    match word.parse::<u16>() {
        Ok(port) if port != 0 => Ok((prefix, Some(port))),
        _ => refuse(format!("`{word}` is no port (1 to 65535)")),
    }
}

impl FromStr for Ace {
    type Err = PolicyError;

    /// `permit|deny PROTOCOL SOURCE [eq PORT] DESTINATION [eq PORT]`
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut words = text.split_whitespace().peekable();
        let action = match words.next() {
            Some("permit") => Action::Permit,
            Some("deny") => Action::Deny,
            other => return refuse(format!("`{}` is neither permit nor deny", other.unwrap_or_default())),
        };
        let protocol = parse_protocol(words.next().unwrap_or_default())?;
        let (source, source_port) = parse_side(&mut words)?;
        let (destination, destination_port) = parse_side(&mut words)?;
        if let Some(extra) = words.next() {
            return refuse(format!("`{extra}` is not understood at the end of the entry"));
        }
        if (source_port.is_some() || destination_port.is_some()) && !matches!(protocol, Some(6 | 17)) {
            return refuse("ports go with tcp or udp only");
        }
        Ok(Ace {
            action,
            selector: Selector { protocol, source, source_port, destination, destination_port },
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            None => f.write_str("ip")?,
            Some(number) => match PROTOCOLS.iter().find(|(_, known)| *known == number) {
                Some((name, _)) => f.write_str(name)?,
                None => write!(f, "{number}")?,
            },
        }
        write_side(f, &self.source, self.source_port)?;
        write_side(f, &self.destination, self.destination_port)
    }
}

fn write_side(f: &mut fmt::Formatter<'_>, prefix: &Ipv4Prefix, port: Option<u16>) -> fmt::Result {
    match prefix.length {
        0 => f.write_str(" any")?,
        32 => write!(f, " host {}", prefix.address)?,
        _ => write!(f, " {prefix}")?,
    }
    port.map_or(Ok(()), |port| write!(f, " eq {port}"))
}

impl fmt::Display for Ace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        text.parse::<Ace>().unwrap_err().to_string()
    }

    #[test]
    fn entries_read_and_print_alike() {
        for text in [
            "permit ip 10.0.0.0/8 10.0.0.0/8",
            "deny tcp any any eq 179",
            "permit udp host 10.1.1.1 eq 53 172.16.0.0/12",
            "deny ospf any any",
            "permit 132 any host 192.0.2.1",
        ] {
            assert_eq!(text.parse::<Ace>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_entries_say_why() {
        assert!(reason("allow ip any any").contains("neither permit nor deny"));
        assert!(reason("permit ipx any any").contains("no protocol"));
        assert!(reason("permit ip 10.0.0.1/8 any").contains("did you mean 10.0.0.0/8?"));
        assert!(reason("permit ip 10.0.0.0/33 any").contains("over 32"));
        assert!(reason("permit ip any").contains("missing"));
        assert!(reason("permit ip ten any").contains("not an IPv4 prefix"));
        assert!(reason("permit ip any eq 5 any").contains("tcp or udp"));
        assert!(reason("permit tcp any eq 0 any").contains("no port"));
        assert!(reason("permit ip any any log").contains("log"));
    }

    #[test]
    fn masks_and_prefixes_agree() {
        let prefix: Ipv4Prefix = "10.64.0.0/10".parse().unwrap();
        assert_eq!(Ipv4Prefix::from_mask(prefix.address(), prefix.netmask()), Some(prefix));
        assert_eq!(
            Ipv4Prefix::from_mask(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
            Some(Ipv4Prefix::ANY)
        );
        assert_eq!(Ipv4Prefix::from_mask("10.0.0.0".parse().unwrap(), "255.0.255.0".parse().unwrap()), None);
        assert!(
            prefix.contains("10.127.0.1".parse().unwrap()) && !prefix.contains("10.128.0.1".parse().unwrap())
        );
    }

    #[test]
    fn lists_are_bounded() {
        let ace: Ace = "permit ip any any".parse().unwrap();
        assert!(Acl::new(vec![ace; MAX_ACES]).is_ok());
        assert!(Acl::new(vec![ace; MAX_ACES + 1]).is_err());
    }
}
