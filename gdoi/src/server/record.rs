//! Keys, states and members as octets: as they are stored, and as cooperating servers send them to each other.
//!
//! All numbers are in network order; `octets` are a 2-octet length and as many octets; an optional part in brackets
//! begins with an octet that is 0 or 1; times are the group's, in milliseconds;
//! addresses are IPv6 addresses, those of IPv4 mapped, and zeros where there is none.
//!
//! ```text
//! state:  lineage(8) versions(list) rekeys(8) [last rekey(8)] under way(1) TEKs(2) TEK... ended(2) (SPI(4) end(8))...
//!         [KEK] previous KEKs(1) KEK... spent KEKs(1) (SPI(16) sequence(4) end(8))... revoked(4) address(16)... division [terms]
//!         [digest of the ACL that members have(16)]
//! TEK:    SPI(4) transform(octets) key(octets) integrity key(octets) expires(8) [SID generation(12) replay window(2)]
//!         Where every sender has its own key, its seed is the key, the integrity key is empty, and the last part is there.
//! KEK:    SPI(16) key(octets) expires(8) sequence(4) succession(1): 0 smooth, 1 abrupt, 2 ended; lineage(8) serves(8) SID generation(12) authors(1) author(8)...
//! division: SID generation(12) begun(8) [grantor(8)] revision(4), 8 places: [author(8)]
//! terms:  ACL(octets, as in the ACL payload) receive only(1) ATD(8) DTD(8) [multicast(1) address(16) port(2) algorithm(2) hash(2) key(octets)]
//! member: address(16) port(2) owner(16) author(8) version(8) presence(1): 0 here, 1 gone, 2 silent; identity(octets) first(8) last(8)
//!         registrations(8) software(1): 0 other, 1 ours, 2 ours and takes fragments; tag of the KEK(4) and SPI of the TEK(4)
//!         that it is known to have
//! ```

mod octets;

pub(super) use octets::{list, optional};

use octets::{flag, octets, text};

use super::clock::GroupTime;
use super::division::Division;
use super::held::{Held, KekTag};
use super::keys::{GroupKek, GroupTek, Keys, SpentKek, Succession, MAX_ENDED, MAX_KEKS, MAX_SPENT, MAX_TEKS};
use super::members::{Listed, Presence, Record};
use super::state::GroupState;
use super::terms::{RekeyTerms, Terms, Transport};
use crate::coop::{address_octets, parse_address, Author, Lineage, Versions, MAX_SERVERS};
use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::crypto::Secret;
use crate::error::{Error, Malformed};
use crate::group::AclDigest;
use crate::policy::{Seed, SendMode, SenderTerms, SidGeneration, Spi, TekKeys, Transform, MAX_REPLAY_WINDOW};
use crate::wire::{parse_acl, write_acl, Identification, Reader, Writer};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// So that a state with the longest ACL is no longer than one message between servers.
pub(super) const MAX_REVOKED: usize = 512;
const OURS: u8 = 1;
const OURS_WITH_FRAGMENTS: u8 = 2;
const PART: &str = "state record";
const VALUE: Malformed = Malformed::Value(PART);

pub(super) fn parse_state(reader: &mut Reader<'_>) -> Result<GroupState, Error> {
    let (lineage, versions) = (Lineage::parse(reader)?, Versions::parse(reader)?);
    let (rekeys, last_rekey) = (reader.u64()?, optional(reader, instant)?);
    let under_way = flag(reader)?;
    let teks = list(reader.u16()?.into(), MAX_TEKS, reader, parse_tek)?;
    let ended =
        list(reader.u16()?.into(), MAX_ENDED, reader, |reader| Ok((Spi(reader.u32()?), instant(reader)?)))?;
    let kek = optional(reader, parse_kek)?;
    let previous_keks = list(reader.u8()?.into(), MAX_KEKS, reader, parse_kek)?;
    let spent = list(reader.u8()?.into(), MAX_SPENT, reader, parse_spent)?;
    let revoked = list(reader.u32()?, MAX_REVOKED, reader, address)?;
    let division = parse_division(reader)?;
    let terms = optional(reader, parse_terms)?;
    let told = optional(reader, |reader| Ok(AclDigest(reader.array()?)))?;
    let revoked = revoked.into_iter().collect();
    Ok(GroupState {
        lineage,
        versions,
        keys: Keys { teks, ended, kek, previous_keks, spent },
        revoked,
        rekeys,
        last_rekey,
        under_way,
        division,
        terms,
        told,
    })
}

pub(super) fn write_state(out: &mut Writer, state: &GroupState) {
    out.raw(&Lineage::octets(state.lineage));
    state.versions.write(out);
    out.u64(state.rekeys);
    out.optional(state.last_rekey, write_instant);
    out.flag(state.under_way);
    write_keys(out, &state.keys);
    out.list_u32(PART, state.revoked.iter().take(MAX_REVOKED), write_address);
    write_division(out, &state.division);
    out.optional(state.terms.as_ref(), write_terms);
    out.optional(state.told, |out, AclDigest(digest)| out.raw(&digest));
}

fn parse_division(reader: &mut Reader<'_>) -> Result<Division, Error> {
    let mut division = Division {
        generation: SidGeneration { lineage: reader.array()?, number: reader.u32()? },
        begun: instant(reader)?,
        grantor: optional(reader, author)?,
        revision: reader.u32()?,
        ..Division::default()
    };
    for index in 0..division.places.len() {
        let place = optional(reader, author)?;
        if place.is_some_and(|author| division.place(author).is_some()) {
            return Err(VALUE.into());
        }
        division.places[index] = place;
    }
    Ok(division)
}

fn write_division(out: &mut Writer, division: &Division) {
    out.raw(&division.generation.octets());
    write_instant(out, division.begun);
    out.optional(division.grantor, |out, Author(author)| out.raw(&author));
    out.u32(division.revision);
    for place in division.places {
        out.optional(place, |out, Author(author)| out.raw(&author));
    }
}

fn author(reader: &mut Reader<'_>) -> Result<Author, Error> {
    Ok(Author(reader.array()?))
}

fn write_keys(out: &mut Writer, keys: &Keys) {
    out.list_u16(PART, &keys.teks, write_tek);
    out.list_u16(PART, &keys.ended, |out, (spi, expires)| {
        out.u32(spi.0);
        write_instant(out, *expires);
    });
    out.optional(keys.kek.as_ref(), write_kek);
    out.list_u8(PART, &keys.previous_keks, write_kek);
    out.list_u8(PART, &keys.spent, write_spent);
}

fn parse_tek(reader: &mut Reader<'_>) -> Result<GroupTek, Error> {
    let spi = Spi(reader.u32()?);
    let transform: Transform = text(reader)?.parse().map_err(|_| VALUE)?;
    let (key, integrity) = (Secret::from(octets(reader)?), Secret::from(octets(reader)?));
    let keys = match transform {
        Transform::Shared { .. } => TekKeys::Shared { encryption: key, integrity },
        Transform::PerSender(_) if !integrity.is_empty() => return Err(VALUE.into()),
        Transform::PerSender(_) => TekKeys::PerSender(Seed::new(key).ok_or(VALUE)?),
    };
    let (expires, senders) = (instant(reader)?, optional(reader, parse_senders)?);
    let per_sender = transform.is_per_sender();
    let sound = keys.fit(transform) && senders.is_some() == per_sender && spi.is_block_base() == per_sender;
    match spi.is_usable() && sound {
        true => Ok(GroupTek { spi, transform, keys, senders, expires }),
        false => Err(VALUE.into()),
    }
}

fn write_tek(out: &mut Writer, tek: &GroupTek) {
    out.u32(tek.spi.0);
    out.length_u16(PART).raw(tek.transform.to_string().as_bytes());
    let (key, integrity) = match &tek.keys {
        TekKeys::Shared { encryption, integrity } => (encryption, integrity.expose()),
        TekKeys::PerSender(seed) => (seed.secret(), &[][..]),
    };
    out.length_u16(PART).raw(key.expose());
    out.length_u16(PART).raw(integrity);
    write_instant(out, tek.expires);
    out.optional(tek.senders, write_senders);
}

fn parse_senders(reader: &mut Reader<'_>) -> Result<SenderTerms, Error> {
    let generation = SidGeneration { lineage: reader.array()?, number: reader.u32()? };
    match reader.u16()? {
        replay_window @ 0..=MAX_REPLAY_WINDOW => Ok(SenderTerms { generation, replay_window }),
        _ => Err(VALUE.into()),
    }
}

fn write_senders(out: &mut Writer, terms: SenderTerms) {
    out.raw(&terms.generation.octets());
    out.u16(terms.replay_window);
}

fn parse_kek(reader: &mut Reader<'_>) -> Result<GroupKek, Error> {
    let (spi, key) = (reader.array()?, Secret::from(octets(reader)?));
    if !matches!(key.len(), 32 | 48) {
        return Err(VALUE.into());
    }
    let (expires, sequence) = (instant(reader)?, reader.u32()?);
    let succession = succession(reader.u8()?)?;
    let (lineage, serves) = (Lineage::parse(reader)?, instant(reader)?);
    let generation = SidGeneration { lineage: reader.array()?, number: reader.u32()? };
    let authors = list(reader.u8()?.into(), MAX_SERVERS, reader, author)?;
    Ok(GroupKek { spi, key, expires, sequence, succession, lineage, generation, authors, serves })
}

fn write_kek(out: &mut Writer, kek: &GroupKek) {
    out.raw(&kek.spi);
    out.length_u16(PART).raw(kek.key.expose());
    write_instant(out, kek.expires);
    out.u32(kek.sequence);
    out.u8(kek.succession as u8);
    out.raw(&Lineage::octets(kek.lineage));
    write_instant(out, kek.serves);
    out.raw(&kek.generation.octets());
    out.list_u8(PART, &kek.authors, |out, Author(author)| out.raw(author));
}

fn parse_spent(reader: &mut Reader<'_>) -> Result<SpentKek, Error> {
    Ok(SpentKek { spi: reader.array()?, sequence: reader.u32()?, expires: instant(reader)? })
}

fn write_spent(out: &mut Writer, spent: &SpentKek) {
    out.raw(&spent.spi);
    out.u32(spent.sequence);
    write_instant(out, spent.expires);
}

fn presence(octet: u8) -> Result<Presence, Error> {
    let all = [Presence::Here, Presence::Gone, Presence::Silent];
    Ok(*all.get(usize::from(octet)).ok_or(VALUE)?)
}

fn succession(octet: u8) -> Result<Succession, Error> {
    let all = [Succession::Smooth, Succession::Abrupt, Succession::Ended];
    Ok(*all.get(usize::from(octet)).ok_or(VALUE)?)
}

fn parse_terms(reader: &mut Reader<'_>) -> Result<Terms, Error> {
    Ok(Terms {
        acl: parse_acl(octets(reader)?)?,
        mode: if flag(reader)? { SendMode::ReceiveOnly } else { SendMode::Both },
        activation_delay: Duration::from_millis(reader.u64()?),
        deactivation_delay: Duration::from_millis(reader.u64()?),
        rekey: optional(reader, parse_rekey_terms)?,
    })
}

fn write_terms(out: &mut Writer, terms: &Terms) {
    write_acl(&mut out.length_u16(PART), &terms.acl);
    out.flag(terms.mode == SendMode::ReceiveOnly);
    out.u64(terms.activation_delay.as_millis() as u64);
    out.u64(terms.deactivation_delay.as_millis() as u64);
    out.optional(terms.rekey.as_ref(), write_rekey_terms);
}

fn parse_rekey_terms(reader: &mut Reader<'_>) -> Result<RekeyTerms, Error> {
    let multicast = flag(reader)?;
    let (to, port) = (parse_address(reader.array()?), reader.u16()?);
    let transport = match (multicast, to) {
        (true, Some(to)) if to.is_multicast() => Transport::Multicast(SocketAddr::new(to, port)),
        (false, None) => Transport::Unicast,
        _ => return Err(VALUE.into()),
    };
    let signature = SignatureAlgorithm::from_numbers(reader.u16()?, Some(reader.u16()?)).ok_or(VALUE)?;
    let verification = PublicKey::from_spki(signature, octets(reader)?).map_err(|_| VALUE)?;
    Ok(RekeyTerms { transport, signature, verification })
}

fn write_rekey_terms(out: &mut Writer, terms: &RekeyTerms) {
    let to = match terms.transport {
        Transport::Unicast => None,
        Transport::Multicast(to) => Some(to),
    };
    out.flag(to.is_some());
    out.raw(&address_octets(to.map(|to| to.ip())));
    out.u16(to.map_or(0, |to| to.port()));
    out.u16(terms.signature.number());
    out.u16(terms.signature.hash_number());
    out.length_u16(PART).raw(terms.verification.spki());
}

pub(super) fn parse_member(reader: &mut Reader<'_>) -> Result<Listed, Error> {
    let (member, port) = (address(reader)?, reader.u16()?);
    let owner = parse_address(reader.array()?);
    let (author, version) = (Author(reader.array()?), reader.u64()?);
    let presence = presence(reader.u8()?)?;
    let identity = Identification::parse(octets(reader)?)?.identity()?;
    let (first_registered, last_registered) = (instant(reader)?, instant(reader)?);
    let (registrations, software) = (reader.u64()?, reader.u8()?);
    if software > OURS_WITH_FRAGMENTS {
        return Err(VALUE.into());
    }
    let held = Held { kek: KekTag(reader.array()?), tek: Spi(reader.u32()?) };
    let record = Record {
        address: member,
        port,
        identity,
        owner,
        first_registered,
        last_registered,
        registrations,
        ours: software >= OURS,
        fragments: software == OURS_WITH_FRAGMENTS,
        held,
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    };
    Ok(Listed { record, author, version, presence })
}

pub(super) fn write_member(out: &mut Writer, listed: &Listed) {
    let record = &listed.record;
    write_address(out, &record.address);
    out.u16(record.port);
    out.raw(&address_octets(record.owner));
    out.raw(&listed.author.0);
    out.u64(listed.version);
    out.u8(listed.presence as u8);
    Identification::phase1(&record.identity).write(&mut out.length_u16(PART));
    write_instant(out, record.first_registered);
    write_instant(out, record.last_registered);
    out.u64(record.registrations);
    out.u8(match (record.ours, record.fragments) {
        (true, true) => OURS_WITH_FRAGMENTS,
        (ours, _) => u8::from(ours) * OURS,
    });
    out.raw(&record.held.kek.0);
    out.u32(record.held.tek.0);
}

pub(super) fn instant(reader: &mut Reader<'_>) -> Result<GroupTime, Error> {
    Ok(GroupTime::from_millis(reader.u64()?))
}

pub(super) fn write_instant(out: &mut Writer, time: GroupTime) {
    out.u64(time.as_millis());
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr, Error> {
    Ok(parse_address(reader.array()?).ok_or(VALUE)?)
}

fn write_address(out: &mut Writer, address: &IpAddr) {
    out.raw(&address_octets(Some(*address)));
}

#[cfg(test)]
mod tests;
