//! An access list entry as nft conditions on different views of a packet.

use std::net::IpAddr;

use crate::model::{Ace, Action, Family, Ports, Prefix};

/// Where a packet shows what an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// In the packet as it is.
    Packet,
    /// In the first packet of its flow as it was before NAT, for packets of the same direction.
    Original,
    /// In the packet as it passes a link, where nft knows protocols of frames and no families.
    Frame,
    /// In the packet that an ICMP error quotes. What is denied surely matches then; of what is permitted the ports are
    /// not looked at, because a quoted header may have options and hide them.
    Quoted,
}

/// Octets of an ICMP header (RFC 792, RFC 4443), behind which an error quotes.
const ICMP_HEADER: u32 = 8;
/// First octet of an IPv4 header without options.
const PLAIN_IPV4: &str = "0x45";

/// What nft asks of the packet.
pub fn conditions(view: View, entry: &Ace) -> String {
    let family = entry.selector.family();
    let family = if view == View::Frame { frames_of(family) } else { family_of(family) };
    let mut words = vec![family.to_owned()];
    words.extend(protocol(view, entry));
    words.extend(ports(view, entry));
    words.extend(addresses(view, entry));
    words.join(" ")
}

/// The condition of every packet of a family.
pub fn family_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "meta nfproto ipv4",
        Family::V6 => "meta nfproto ipv6",
    }
}

fn frames_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "meta protocol ip",
        Family::V6 => "meta protocol ip6",
    }
}

/// The ICMP messages of a family that quote the packet they are about.
pub fn icmp_errors(family: Family) -> &'static str {
    match family {
        Family::V4 => {
            "icmp type { destination-unreachable, source-quench, redirect, time-exceeded, parameter-problem }"
        }
        Family::V6 => {
            "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
        }
    }
}

/// Where fields of the header lie that an ICMP error quotes, in bits from the start of the ICMP header.
struct Quoted {
    protocol: u32,
    source: u32,
    destination: u32,
    address_bits: u32,
    /// Behind a header without options.
    ports: u32,
}

impl Quoted {
    fn of(family: Family) -> Self {
        let (protocol, source, address_octets) = match family {
            Family::V4 => (9, 12, 4),
            Family::V6 => (6, 8, 16),
        };
        let bits = |octet: u32| 8 * (ICMP_HEADER + octet);
        Self {
            protocol: bits(protocol),
            source: bits(source),
            destination: bits(source + address_octets),
            address_bits: 8 * address_octets,
            ports: bits(family.header_octets()),
        }
    }
}

fn protocol(view: View, entry: &Ace) -> Option<String> {
    let number = entry.selector.protocol()?;
    Some(match view {
        View::Packet | View::Frame | View::Original => format!("meta l4proto {number}"),
        View::Quoted => format!("@th,{},8 {number}", Quoted::of(entry.selector.family()).protocol),
    })
}

fn ports(view: View, entry: &Ace) -> Vec<String> {
    let selector = &entry.selector;
    let quoted = Quoted::of(selector.family());
    let (source, destination) = match view {
        View::Packet | View::Frame => ("th sport".to_owned(), "th dport".to_owned()),
        View::Original => ("ct original proto-src".to_owned(), "ct original proto-dst".to_owned()),
        View::Quoted if entry.action == Action::Permit => return Vec::new(),
        View::Quoted => (format!("@th,{},16", quoted.ports), format!("@th,{},16", quoted.ports + 16)),
    };
    let sides = [(source, selector.source().ports), (destination, selector.destination().ports)];
    let mut words: Vec<_> =
        sides.iter().filter_map(|(field, ports)| Some(format!("{field} {}", range((*ports)?)))).collect();
    if view == View::Quoted && selector.family() == Family::V4 && !words.is_empty() {
        words.insert(0, format!("@th,{},8 {PLAIN_IPV4}", 8 * ICMP_HEADER));
    }
    words
}

fn range(ports: Ports) -> String {
    match (ports.first(), ports.last()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

/// The fields of a quoted header have no names in nft, so there prefixes are ranges of numbers.
fn addresses(view: View, Ace { selector, .. }: &Ace) -> Vec<String> {
    let (source, destination) = fields(view, selector.family());
    let value = match view {
        View::Packet | View::Frame | View::Original => |prefix: Prefix| prefix.to_string(),
        View::Quoted => numbers,
    };
    [(source, selector.source().prefix), (destination, selector.destination().prefix)]
        .into_iter()
        .filter(|(_, prefix)| prefix.length() > 0)
        .map(|(field, prefix)| format!("{field} {}", value(prefix)))
        .collect()
}

fn fields(view: View, family: Family) -> (String, String) {
    let name = match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    match view {
        View::Packet | View::Frame => (format!("{name} saddr"), format!("{name} daddr")),
        View::Original => (format!("ct original {name} saddr"), format!("ct original {name} daddr")),
        View::Quoted => {
            let Quoted { source, destination, address_bits, .. } = Quoted::of(family);
            (format!("@th,{source},{address_bits}"), format!("@th,{destination},{address_bits}"))
        }
    }
}

fn numbers(prefix: Prefix) -> String {
    let (first, last) = (number(prefix.address()), number(prefix.last()));
    if first == last {
        first
    } else {
        format!("{first}-{last}")
    }
}

fn number(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:#010x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:#034x}", address.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Selector;
    use crate::nft::list::List;

    fn said(view: View, selector: Selector) -> String {
        only(view, &List::clear(&[selector]))
    }

    fn only(view: View, list: &List) -> String {
        let [entry] = list.entries() else { panic!("{list:?}") };
        conditions(view, entry)
    }

    fn ssh() -> Selector {
        "tcp 10.0.0.0/8 any eq 22".parse().unwrap()
    }

    #[test]
    fn each_view_names_the_same_fields() {
        assert_eq!(
            said(View::Packet, ssh()),
            "meta nfproto ipv4 meta l4proto 6 th dport 22 ip saddr 10.0.0.0/8"
        );
        assert_eq!(
            said(View::Original, ssh()),
            "meta nfproto ipv4 meta l4proto 6 ct original proto-dst 22 ct original ip saddr 10.0.0.0/8"
        );
        assert_eq!(
            said(View::Quoted, ssh()),
            "meta nfproto ipv4 @th,136,8 6 @th,64,8 0x45 @th,240,16 22 @th,160,32 0x0a000000-0x0affffff"
        );
        assert_eq!(
            only(View::Quoted, &List::new(&[Ace { action: Action::Permit, selector: ssh() }])),
            "meta nfproto ipv4 @th,136,8 6 @th,160,32 0x0a000000-0x0affffff"
        );
    }

    #[test]
    fn ipv6_lies_elsewhere_in_an_icmp_error() {
        assert_eq!(
            said(View::Quoted, "udp 2001:db8::/32 range 1 9 host 2001:db8::1".parse().unwrap()),
            "meta nfproto ipv6 @th,112,8 17 @th,384,16 1-9 \
             @th,128,128 0x20010db8000000000000000000000000-0x20010db8ffffffffffffffffffffffff \
             @th,256,128 0x20010db8000000000000000000000001"
        );
    }

    #[test]
    fn any_to_any_still_means_one_family() {
        assert_eq!(said(View::Packet, Selector::any(Family::V4)), "meta nfproto ipv4");
        assert_eq!(said(View::Quoted, Selector::any(Family::V6)), "meta nfproto ipv6");
    }
}
