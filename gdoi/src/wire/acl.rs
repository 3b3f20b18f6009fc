//! The ACL payload: a whole access control list in compact form, for members of this implementation only (private use,
//! RFC 6407 section 5). Others get what the RFC can say: one SAT for each permit entry.

use super::codec::{Reader, Writer};
use super::header::MAX_MESSAGE;
use crate::crypto::prf::digest;
use crate::crypto::Hash;
use crate::error::Malformed;
use crate::group::AclDigest;
use crate::policy::{Ace, Acl, Action, Family, Ports, Prefix, Selector, Side, MAX_ACES};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const PART: &str = "ACL payload";
const VERSION: u8 = 1;

const DENY: u8 = 1;
const IPV6: u8 = 2;
/// How the ports of a side are written, 2 bits each: 0 any, 1 one, 2 first and last.
const SOURCE_PORTS: u8 = 2;
const DESTINATION_PORTS: u8 = 4;

/// The longest entry in octets: two IPv6 hosts with a port range each.
const MAX_ACE_LEN: usize = 4 + 2 * (16 + 4);
const USUAL_ACE_LEN: usize = 16;

/// The longest list in octets.
pub const MAX_ACL_LEN: usize = 4 + MAX_ACES * MAX_ACE_LEN;

/// A message has room for the longest list beside all else: no list that can be configured makes it too long.
const _: () = assert!(MAX_ACL_LEN + 12_000 <= MAX_MESSAGE);

impl AclDigest {
    /// The digest of a list.
    pub fn of(acl: &Acl) -> Self {
        let (mut octets, mut out) = ([0; 16], Writer::with_capacity(usual_len(acl)));
        write_acl(&mut out, acl);
        octets.copy_from_slice(&digest(Hash::Sha256, &[out.written()])[..16]);
        AclDigest(octets)
    }
}

/// Reads a body; a list has only one form.
///
/// ```text
/// |  version = 1  |   reserved    |          entries (2)          | entry ...
/// entry: | flags | protocol, 0 any | source length | destination length | source | destination | ports
/// flags: | 0 0 | destination ports (2) | source ports (2) | IPv6 | deny |
/// ```
/// Addresses are as many octets as their lengths in bits need. Ports are 2 octets where there is one, 4 for first and
/// last, those of the source before those of the destination.
///
/// # Errors
/// [`Malformed`], also for over [`MAX_ACES`] entries, host bits, and selectors that are not possible.
pub fn parse_acl(body: &[u8]) -> Result<Acl, Malformed> {
    let mut reader = Reader::new(body, PART);
    if reader.u8()? != VERSION {
        return Err(Malformed::Value(PART));
    }
    reader.reserved(1)?;
    let count = usize::from(reader.u16()?);
    if count > MAX_ACES {
        return Err(Malformed::TooMany("ACL entries"));
    }
    let entries = (0..count).map(|_| parse_ace(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Acl::new(entries).map_err(|_| Malformed::TooMany("ACL entries"))
}

fn parse_ace(reader: &mut Reader<'_>) -> Result<Ace, Malformed> {
    let (flags, protocol) = (reader.u8()?, reader.u8()?);
    if flags >> 6 != 0 {
        return Err(Malformed::Reserved(PART));
    }
    let family = if flags & IPV6 == 0 { Family::V4 } else { Family::V6 };
    let (source_length, destination_length) = (reader.u8()?, reader.u8()?);
    let source = parse_prefix(family, source_length, reader)?;
    let destination = parse_prefix(family, destination_length, reader)?;
    let source = Side { prefix: source, ports: parse_ports(flags >> SOURCE_PORTS & 3, reader)? };
    let destination =
        Side { prefix: destination, ports: parse_ports(flags >> DESTINATION_PORTS & 3, reader)? };
    let selector = Selector::new((protocol != 0).then_some(protocol), source, destination);
    let action = if flags & DENY == 0 { Action::Permit } else { Action::Deny };
    Ok(Ace { action, selector: selector.map_err(|_| Malformed::Value(PART))? })
}

fn parse_prefix(family: Family, length: u8, reader: &mut Reader<'_>) -> Result<Prefix, Malformed> {
    if length > family.bits() {
        return Err(Malformed::Value(PART));
    }
    let sent = reader.take(usize::from(length.div_ceil(8)))?;
    let mut octets = [0; 16];
    octets[..sent.len()].copy_from_slice(sent);
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(octets)),
    };
    Prefix::new(address, length).map_err(|_| Malformed::Value(PART))
}

fn parse_ports(form: u8, reader: &mut Reader<'_>) -> Result<Option<Ports>, Malformed> {
    match form {
        0 => Ok(None),
        1 => Ok(Some(Ports::one(reader.u16()?))),
        2 => {
            let ports = Ports::new(reader.u16()?, reader.u16()?).filter(|ports| ports.single().is_none());
            ports.map(Some).ok_or(Malformed::Value(PART))
        }
        _ => Err(Malformed::Value(PART)),
    }
}

/// The body alone.
///
/// # Errors
/// As [`Writer::finish`].
pub fn emit_acl(acl: &Acl) -> Result<Vec<u8>, Malformed> {
    Writer::plain(usual_len(acl), |out| write_acl(out, acl))
}

/// Room for a list like this, if most of it is IPv4.
pub(super) fn usual_len(acl: &Acl) -> usize {
    4 + acl.entries().len() * USUAL_ACE_LEN
}

/// Writes a body.
pub(crate) fn write_acl(out: &mut Writer, acl: &Acl) {
    out.raw(&[VERSION, 0]);
    out.list_u16(PART, acl.entries(), write_ace);
}

fn write_ace(out: &mut Writer, ace: &Ace) {
    let (source, destination) = (ace.selector.source(), ace.selector.destination());
    let deny = if ace.action == Action::Deny { DENY } else { 0 };
    let ipv6 = if ace.selector.family() == Family::V6 { IPV6 } else { 0 };
    let ports = form(source.ports) << SOURCE_PORTS | form(destination.ports) << DESTINATION_PORTS;
    out.raw(&[deny | ipv6 | ports, ace.selector.protocol().unwrap_or(0)]);
    out.raw(&[source.prefix.length(), destination.prefix.length()]);
    write_prefix(out, &source.prefix);
    write_prefix(out, &destination.prefix);
    [source.ports, destination.ports].into_iter().flatten().for_each(|ports| write_ports(out, &ports));
}

fn form(ports: Option<Ports>) -> u8 {
    ports.map_or(0, |ports| if ports.single().is_some() { 1 } else { 2 })
}

fn write_prefix(out: &mut Writer, prefix: &Prefix) {
    let length = usize::from(prefix.length().div_ceil(8));
    match prefix.address() {
        IpAddr::V4(address) => out.raw(&address.octets()[..length]),
        IpAddr::V6(address) => out.raw(&address.octets()[..length]),
    }
}

fn write_ports(out: &mut Writer, ports: &Ports) {
    out.u16(ports.first());
    if ports.single().is_none() {
        out.u16(ports.last());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[&str]) -> Acl {
        Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn round_trip() {
        let lists = [
            &["permit ip any any"][..],
            &["deny tcp 10.0.0.0/9 gt 1023 host 10.1.1.1 eq 22", "permit ip 10.0.0.0/8 10.0.0.0/8"],
            &["deny icmpv6 any any", "permit udp any6 range 5 9 any6 lt 3", "permit ipv6 2001:db8::/33 any"],
            &[],
        ];
        for list in lists.map(acl) {
            assert_eq!(parse_acl(&emit_acl(&list).unwrap()), Ok(list));
        }
    }

    #[test]
    fn the_form_is_compact() {
        let list = acl(&["deny tcp 10.0.0.0/9 gt 1023 host 10.1.1.1 eq 22"]);
        let entry = [0x19, 6, 9, 32, 10, 0, 10, 1, 1, 1, 4, 0, 255, 255, 0, 22];
        assert_eq!(emit_acl(&list).unwrap(), [&[1, 0, 0, 1][..], &entry].concat());
        let longest = "permit tcp host 2001:db8::1 range 1 2 host 2001:db8::2 range 3 4";
        assert_eq!(emit_acl(&acl(&[longest; MAX_ACES])).unwrap().len(), MAX_ACL_LEN);
    }

    #[test]
    fn lists_differ_in_their_digest() {
        let (one, other) = (acl(&["permit ip any any"]), acl(&["deny ip any any"]));
        assert_eq!(AclDigest::of(&one), AclDigest::of(&one.clone()));
        assert_ne!(AclDigest::of(&one), AclDigest::of(&other));
    }

    fn refused(octets: &[u8]) -> Malformed {
        parse_acl(octets).unwrap_err()
    }

    #[test]
    fn what_nobody_sends_is_refused() {
        let sound = emit_acl(&acl(&["permit tcp 10.0.0.0/9 range 5 9 host 10.1.1.1 eq 22"])).unwrap();
        for length in 0..sound.len() {
            assert_eq!(refused(&sound[..length]), Malformed::Truncated(PART), "{length}");
        }
        assert_eq!(refused(&[&sound[..], &[0]].concat()), Malformed::TrailingBytes(PART));
        let edit = |position: usize, octet: u8| {
            let mut changed = sound.clone();
            changed[position] = octet;
            refused(&changed)
        };
        assert_eq!(edit(0, 2), Malformed::Value(PART));
        assert_eq!(edit(1, 1), Malformed::Reserved(PART));
        assert_eq!(edit(2, 4), Malformed::TooMany("ACL entries"));
        assert_eq!(edit(3, 2), Malformed::Truncated(PART));
        assert_eq!(edit(3, 0), Malformed::TrailingBytes(PART));
        assert_eq!(edit(4, 0x40), Malformed::Reserved(PART));
        assert_eq!(edit(4, 0x3c), Malformed::Value(PART), "a form of ports that nobody has");
        assert_eq!(edit(5, 1), Malformed::Value(PART), "ports of icmp");
        assert_eq!(edit(6, 33), Malformed::Value(PART), "a length of no family");
        assert_eq!(edit(9, 1), Malformed::Value(PART), "host bits");
        assert_eq!(edit(15, 10), Malformed::Value(PART), "a range that is empty");
        assert_eq!(edit(17, 5), Malformed::Value(PART), "one port as a range");
    }

    #[test]
    fn protocols_of_the_other_family_are_refused() {
        let ace = |flags: u8, protocol: u8| [1, 0, 0, 1, flags, protocol, 0, 0];
        assert!(parse_acl(&ace(IPV6, 58)).is_ok() && parse_acl(&ace(0, 1)).is_ok());
        assert_eq!(refused(&ace(IPV6, 1)), Malformed::Value(PART));
        assert_eq!(refused(&ace(0, 58)), Malformed::Value(PART));
    }
}
