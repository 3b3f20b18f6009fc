//! Notifications of routes: which are about routes to anchors.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NetlinkBuffer;

use crate::netfilter::nested;
use crate::object::anchor_of;

/// `struct rtmsg`, behind which the attributes lie; its second octet is the length of the destination's prefix.
const HEADER: usize = 12;
/// RTA_DST.
const DESTINATION: u16 = 1;

/// Whether a datagram tells of a route to an anchor. What cannot be read may be about anything.
pub fn is_told_of(mut octets: &[u8]) -> bool {
    while !octets.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(octets) else { return true };
        if leads_to_anchor(message.payload()) {
            return true;
        }
        let aligned = (message.length() as usize).next_multiple_of(4).min(octets.len());
        octets = &octets[aligned..];
    }
    false
}

fn leads_to_anchor(payload: &[u8]) -> bool {
    let Some(attributes) = payload.get(HEADER..) else { return true };
    let mut destinations = nested(attributes).into_iter().filter(|(kind, _)| *kind == DESTINATION);
    destinations.any(|(_, address)| is_anchor(address))
}

fn is_anchor(address: &[u8]) -> bool {
    let v4 = <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
    v4.or(v6).ok().and_then(anchor_of).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &[u8]) -> Vec<u8> {
        let length = destination.len() as u16 + 4;
        let body =
            [&[2, 32, 0, 0, 254, 148, 253, 1, 0, 0, 0, 0][..], &length.to_ne_bytes(), &[1, 0], destination]
                .concat();
        let header = [&(16 + body.len() as u32).to_ne_bytes()[..], &25u16.to_ne_bytes(), &[0; 10]].concat();
        [header, body].concat()
    }

    #[test]
    fn routes_to_anchors_are_news_and_those_of_routing_daemons_are_not() {
        let anchors = [route(&[192, 0, 0, 85]), route(&"100::848:1".parse::<Ipv6Addr>().unwrap().octets())];
        let others = [route(&[192, 0, 0, 9]), route(&[10, 0, 0, 0]), route(&[])].concat();
        assert!(anchors.iter().all(|anchor| is_told_of(anchor)));
        assert!(!is_told_of(&others) && is_told_of(&[&others[..], &anchors[0]].concat()));
        assert!(is_told_of(&others[..others.len() - 3]), "one that is cut off");
    }
}
