//! One access list entry as nft conditions on different views of a packet.

use crate::model::{Ports, Prefix, Selector};
use std::net::IpAddr;

/// The packet as it is.
pub fn packet(selector: &Selector) -> String {
    let mut words = addresses(selector, "ip");
    words.extend(layer_four(selector));
    words.extend(selector.source_ports.map(|ports| format!("th sport {}", range(ports))));
    words.extend(selector.destination_ports.map(|ports| format!("th dport {}", range(ports))));
    words.join(" ")
}

/// The first packet of its flow as it was before NAT, for packets of the same direction.
pub fn ct_original(selector: &Selector) -> String {
    let mut words = vec!["ct direction original".to_owned()];
    words.extend(addresses(selector, "ct original ip"));
    words.extend(layer_four(selector));
    words.extend(selector.source_ports.map(|ports| format!("ct original proto-src {}", range(ports))));
    words.extend(selector.destination_ports.map(|ports| format!("ct original proto-dst {}", range(ports))));
    words.join(" ")
}

/// The packet that an ICMP error quotes: it surely matches the entry.
pub fn quoted_exactly(selector: &Selector) -> String {
    let mut words = quoted_addresses(selector);
    let ports = [(224, selector.source_ports), (240, selector.destination_ports)];
    if ports.iter().any(|(_, port)| port.is_some()) {
        // Ports lie there only when the quoted header has no options.
        words.push("@th,64,8 0x45".to_owned());
    }
    words.extend(
        ports.iter().filter_map(|(bit, port)| port.map(|ports| format!("@th,{bit},16 {}", range(ports)))),
    );
    words.join(" ")
}

/// The packet that an ICMP error quotes: it may match the entry; ports are not looked at.
pub fn quoted_widely(selector: &Selector) -> String {
    quoted_addresses(selector).join(" ")
}

fn range(ports: Ports) -> String {
    match (ports.first(), ports.last()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

fn addresses(selector: &Selector, field: &str) -> Vec<String> {
    let mut words = vec!["meta nfproto ipv4".to_owned()];
    words.extend(unless_any(selector.source).map(|prefix| format!("{field} saddr {prefix}")));
    words.extend(unless_any(selector.destination).map(|prefix| format!("{field} daddr {prefix}")));
    words
}

fn unless_any(prefix: Prefix) -> Option<Prefix> {
    (prefix.length() > 0).then_some(prefix)
}

/// Ports without a protocol mean those of TCP and UDP.
fn layer_four(selector: &Selector) -> Option<String> {
    match selector.protocol {
        Some(number) => Some(format!("meta l4proto {number}")),
        None if selector.source_ports.or(selector.destination_ports).is_some() => {
            Some("meta l4proto { tcp, udp }".to_owned())
        }
        None => None,
    }
}

/// Bits from the start of the ICMP header (RFC 792): 8 octets of its own, then the quoted IP header.
fn quoted_addresses(selector: &Selector) -> Vec<String> {
    let mut words = vec!["meta nfproto ipv4".to_owned()];
    words.extend(selector.protocol.map(|number| format!("@th,136,8 {number}")));
    words.extend(quoted_prefix(160, selector.source));
    words.extend(quoted_prefix(192, selector.destination));
    words
}

fn quoted_prefix(bit: u32, prefix: Prefix) -> Option<String> {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length()))?;
    let IpAddr::V4(address) = prefix.address() else { return None };
    Some(format!("@th,{bit},32 & {mask:#010x} == {:#010x}", address.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family;

    fn ssh() -> Selector {
        Selector {
            source: Prefix::new("10.0.0.0".parse().unwrap(), 8).unwrap(),
            destination: Prefix::any(Family::V4),
            protocol: Some(6),
            source_ports: None,
            destination_ports: Some(Ports::only(22)),
        }
    }

    #[test]
    fn each_view_names_the_same_fields() {
        assert_eq!(packet(&ssh()), "meta nfproto ipv4 ip saddr 10.0.0.0/8 meta l4proto 6 th dport 22");
        assert_eq!(
            ct_original(&ssh()),
            "ct direction original meta nfproto ipv4 ct original ip saddr 10.0.0.0/8 meta l4proto 6 \
             ct original proto-dst 22"
        );
        assert_eq!(
            quoted_exactly(&ssh()),
            "meta nfproto ipv4 @th,136,8 6 @th,160,32 & 0xff000000 == 0x0a000000 @th,64,8 0x45 @th,240,16 22"
        );
        assert_eq!(
            quoted_widely(&ssh()),
            "meta nfproto ipv4 @th,136,8 6 @th,160,32 & 0xff000000 == 0x0a000000"
        );
    }

    #[test]
    fn any_to_any_still_means_ipv4_only() {
        let any = Selector::between(Prefix::any(Family::V4), Prefix::any(Family::V4));
        assert_eq!(packet(&any), "meta nfproto ipv4");
        assert_eq!(quoted_widely(&any), "meta nfproto ipv4");
    }

    #[test]
    fn a_host_is_compared_whole() {
        let host = Selector::between(Prefix::host("192.0.2.1".parse().unwrap()), Prefix::any(Family::V4));
        assert_eq!(packet(&host), "meta nfproto ipv4 ip saddr 192.0.2.1/32");
        assert_eq!(quoted_widely(&host), "meta nfproto ipv4 @th,160,32 & 0xffffffff == 0xc0000201");
    }
}
