//! What a key server must not forget, as octets: keys, sequence numbers, pseudotime, members. The owner seals and
//! stores it; a damaged one is refused whole.
//!
//! All numbers are in network order; `octets` are a 2-octet length and as many octets; an optional part begins with
//! an octet that is 0 or 1.
//!
//! ```text
//! "GDKS" version(2) groups(2)
//! group:  id(4) began(8) rekeys(8) [last rekey(8)] TEKs(2) TEK... [KEK] [previous KEK] members(4) member...
//!         revoked(4) address(4)...
//! TEK:    SPI(4) transform(octets) encryption key(octets) integrity key(octets) expires(8)
//! KEK:    SPI(16) key(octets) expires(8) sequence(4) succession(1): 0 smooth, 1 abrupt, 2 ended
//! member: address(4) port(2) identity(octets) first(8) last(8) registrations(8) ours(1) acknowledged(8) missed(4)
//!         [last acknowledged(8)]
//! ```

use super::group::Group;
use super::keys::{GroupKek, GroupTek, Keys, Succession};
use super::members::Members;
use crate::crypto::Secret;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed};
use crate::policy::{GroupId, Spi, TekKeys};
use crate::status::MemberRecord;
use crate::wire::{Identification, Reader};
use std::net::{IpAddr, Ipv4Addr};
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"GDKS";
const VERSION: u16 = 2;
const PART: &str = "stored state";

/// The state of all groups.
pub(super) fn take(groups: &[Group]) -> Secret {
    let length = groups.iter().map(|group| 1024 + group.members.records().count() * 512).sum::<usize>();
    let mut out = Writer(Zeroizing::new(Vec::with_capacity(length)));
    out.raw(MAGIC);
    out.u16(VERSION);
    out.u16(groups.len() as u16);
    groups.iter().for_each(|group| out.group(group));
    Secret::from(&out.0[..])
}

/// Gives every group its state back; a group that is no more configured is forgotten.
///
/// # Errors
/// [`Malformed`]: nothing was changed.
pub(super) fn restore(groups: &mut [Group], stored: &Secret) -> Result<(), Error> {
    let mut reader = Reader::new(stored.expose(), PART);
    if &reader.array::<4>()? != MAGIC || reader.u16()? != VERSION {
        return Err(Malformed::Value(PART).into());
    }
    let count = reader.u16()?;
    let states = (0..count).map(|_| State::parse(&mut reader)).collect::<Result<Vec<_>, Error>>()?;
    reader.finish()?;
    for state in states {
        if let Some(group) = groups.iter_mut().find(|group| group.name().id == state.id) {
            state.give(group);
        }
    }
    Ok(())
}

struct State {
    id: GroupId,
    began: Instant,
    rekeys: u64,
    last_rekey: Option<Instant>,
    keys: Keys,
    members: Members,
}

impl State {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (id, began, rekeys) = (GroupId(reader.u32()?), instant(reader)?, number(reader)?);
        let last_rekey = optional(reader, instant)?;
        let teks = reader.u16()?;
        let teks = (0..teks).map(|_| parse_tek(reader)).collect::<Result<_, Error>>()?;
        let keys =
            Keys { teks, kek: optional(reader, parse_kek)?, previous_kek: optional(reader, parse_kek)? };
        let members = reader.u32()?;
        let members = (0..members).map(|_| parse_member(reader)).collect::<Result<_, Error>>()?;
        let revoked = reader.u32()?;
        let revoked = (0..revoked).map(|_| address(reader)).collect::<Result<_, Error>>()?;
        Ok(State { id, began, rekeys, last_rekey, keys, members: Members::restore(members, revoked) })
    }

    fn give(self, group: &mut Group) {
        (group.began, group.rekeys, group.last_rekey) = (self.began, self.rekeys, self.last_rekey);
        (group.keys, group.members) = (self.keys, self.members);
    }
}

fn parse_tek(reader: &mut Reader<'_>) -> Result<GroupTek, Error> {
    let spi = Spi(reader.u32()?);
    let transform = std::str::from_utf8(octets(reader)?).ok().and_then(|name| name.parse().ok());
    let keys =
        TekKeys { encryption: Secret::from(octets(reader)?), integrity: Secret::from(octets(reader)?) };
    Ok(GroupTek { spi, transform: transform.ok_or(Malformed::Value(PART))?, keys, expires: instant(reader)? })
}

fn parse_kek(reader: &mut Reader<'_>) -> Result<GroupKek, Error> {
    let spi = reader.array()?;
    let key = Secret::from(octets(reader)?);
    let (expires, sequence) = (instant(reader)?, reader.u32()?);
    Ok(GroupKek { spi, key, expires, sequence, succession: succession(reader.u8()?)? })
}

fn succession(octet: u8) -> Result<Succession, Error> {
    let all = [Succession::Smooth, Succession::Abrupt, Succession::Ended];
    Ok(*all.get(usize::from(octet)).ok_or(Malformed::Value(PART))?)
}

fn parse_member(reader: &mut Reader<'_>) -> Result<MemberRecord, Error> {
    Ok(MemberRecord {
        address: address(reader)?,
        port: reader.u16()?,
        identity: Identification::parse(octets(reader)?)?.identity()?,
        owner: None,
        first_registered: instant(reader)?,
        last_registered: instant(reader)?,
        registrations: number(reader)?,
        ours: reader.u8()? == 1,
        rekeys_acknowledged: number(reader)?,
        rekeys_missed: reader.u32()?,
        last_acknowledged: optional(reader, instant)?,
    })
}

fn number(reader: &mut Reader<'_>) -> Result<u64, Error> {
    Ok(u64::from_be_bytes(reader.array()?))
}

fn instant(reader: &mut Reader<'_>) -> Result<Instant, Error> {
    Ok(Instant::from_millis(number(reader)?))
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr, Error> {
    Ok(IpAddr::V4(Ipv4Addr::from(reader.u32()?)))
}

fn octets<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = usize::from(reader.u16()?);
    Ok(reader.take(length)?)
}

fn optional<T>(
    reader: &mut Reader<'_>,
    parse: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match reader.u8()? {
        0 => Ok(None),
        1 => parse(reader).map(Some),
        _ => Err(Malformed::Value(PART).into()),
    }
}

struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    fn octets(&mut self, octets: &[u8]) {
        self.u16(octets.len() as u16);
        self.raw(octets);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.raw(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn group(&mut self, group: &Group) {
        self.u32(group.name().id.0);
        self.u64(group.began.as_millis());
        self.u64(group.rekeys);
        self.optional(group.last_rekey, |out, time| out.u64(time.as_millis()));
        self.u16(group.keys.teks.len() as u16);
        group.keys.teks.iter().for_each(|tek| self.tek(tek));
        self.optional(group.keys.kek.as_ref(), Writer::kek);
        self.optional(group.keys.previous_kek.as_ref(), Writer::kek);
        self.u32(group.members.records().count() as u32);
        group.members.records().for_each(|record| self.member(record));
        self.u32(group.members.revoked().count() as u32);
        group.members.revoked().for_each(|address| self.address(address));
    }

    fn tek(&mut self, tek: &GroupTek) {
        self.u32(tek.spi.0);
        self.octets(tek.transform.to_string().as_bytes());
        self.octets(tek.keys.encryption.expose());
        self.octets(tek.keys.integrity.expose());
        self.u64(tek.expires.as_millis());
    }

    fn kek(&mut self, kek: &GroupKek) {
        self.raw(&kek.spi);
        self.octets(kek.key.expose());
        self.u64(kek.expires.as_millis());
        self.u32(kek.sequence);
        self.raw(&[kek.succession as u8]);
    }

    fn member(&mut self, record: &MemberRecord) {
        self.address(&record.address);
        self.u16(record.port);
        self.octets(&Identification::phase1(&record.identity).emit());
        self.u64(record.first_registered.as_millis());
        self.u64(record.last_registered.as_millis());
        self.u64(record.registrations);
        self.raw(&[u8::from(record.ours)]);
        self.u64(record.rekeys_acknowledged);
        self.u32(record.rekeys_missed);
        self.optional(record.last_acknowledged, |out, time| out.u64(time.as_millis()));
    }

    /// Members are IPv4 in this version.
    fn address(&mut self, address: &IpAddr) {
        match address {
            IpAddr::V4(address) => self.raw(&address.octets()),
            IpAddr::V6(_) => self.raw(&[0; 4]),
        }
    }
}
