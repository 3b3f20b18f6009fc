//! Keys, states and members as octets: as they are stored, and as cooperating servers send them to each other.
//!
//! All numbers are in network order; `octets` are a 2-octet length and as many octets; an optional part in brackets
//! begins with an octet that is 0 or 1; times are the group's, in milliseconds;
//! addresses are IPv6 addresses, those of IPv4 mapped, and zeros where there is none.
//!
//! ```text
//! state:  lineage(8) versions(list) rekeys(8) [last rekey(8)] under way(1) TEKs(2) TEK... ended(2) (SPI(4) end(8))...
//!         [KEK] previous KEKs(1) KEK... spent KEKs(1) (SPI(16) sequence(4) end(8))... revoked(4) address(16)... SID generation(4) [terms]
//!         [digest of the ACL that members have(16)]
//! TEK:    SPI(4) transform(octets) key(octets) integrity key(octets) expires(8) [lineage(8) SID generation(4) replay window(2)]
//!         Where every sender has its own key, its seed is the key, the integrity key is empty, and the last part is there.
//! KEK:    SPI(16) key(octets) expires(8) sequence(4) succession(1): 0 smooth, 1 abrupt, 2 ended; lineage(8)
//! terms:  ACL(octets, as in the ACL payload) receive only(1) ATD(8) DTD(8) [multicast(1) address(16) port(2) algorithm(2) hash(2) key(octets)]
//! member: address(16) port(2) owner(16) author(8) version(8) gone(1) identity(octets) first(8) last(8)
//!         registrations(8) software(1): 0 other, 1 ours, 2 ours and takes fragments
//! ```

mod octets;

pub(super) use octets::{list, optional, Sink};

use octets::{flag, octets, text};

use super::clock::GroupTime;
use super::keys::{GroupKek, GroupTek, Keys, SpentKek, Succession, MAX_ENDED, MAX_KEKS, MAX_SPENT, MAX_TEKS};
use super::members::{Listed, Presence, Record};
use super::state::GroupState;
use super::terms::{RekeyTerms, Terms, Transport};
use crate::coop::{address_octets, parse_address, Author, Lineage, Versions};
use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::crypto::Secret;
use crate::error::{Error, Malformed};
use crate::group::AclDigest;
use crate::policy::{Seed, SendMode, SenderTerms, SidGeneration, Spi, TekKeys, Transform, MAX_REPLAY_WINDOW};

use crate::wire::{emit_acl, parse_acl, Identification, Reader};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// So that a state with the longest ACL is no longer than one message between servers.
pub(super) const MAX_REVOKED: usize = 512;
const OURS: u8 = 1;
const OURS_WITH_FRAGMENTS: u8 = 2;
const VALUE: Malformed = Malformed::Value("state record");

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
    let sid_generation = reader.u32()?;
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
        sid_generation,
        terms,
        told,
    })
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

fn parse_senders(reader: &mut Reader<'_>) -> Result<SenderTerms, Error> {
    let generation = SidGeneration { lineage: reader.array()?, number: reader.u32()? };
    match reader.u16()? {
        replay_window @ 0..=MAX_REPLAY_WINDOW => Ok(SenderTerms { generation, replay_window }),
        _ => Err(VALUE.into()),
    }
}

fn parse_kek(reader: &mut Reader<'_>) -> Result<GroupKek, Error> {
    let (spi, key) = (reader.array()?, Secret::from(octets(reader)?));
    if !matches!(key.len(), 32 | 48) {
        return Err(VALUE.into());
    }
    let (expires, sequence) = (instant(reader)?, reader.u32()?);
    let succession = succession(reader.u8()?)?;
    Ok(GroupKek { spi, key, expires, sequence, succession, lineage: Lineage::parse(reader)? })
}

fn parse_spent(reader: &mut Reader<'_>) -> Result<SpentKek, Error> {
    Ok(SpentKek { spi: reader.array()?, sequence: reader.u32()?, expires: instant(reader)? })
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

pub(super) fn parse_member(reader: &mut Reader<'_>) -> Result<Listed, Error> {
    let (member, port) = (address(reader)?, reader.u16()?);
    let owner = parse_address(reader.array()?);
    let (author, version) = (Author(reader.array()?), reader.u64()?);
    let presence = if flag(reader)? { Presence::Gone } else { Presence::Here };
    let identity = Identification::parse(octets(reader)?)?.identity()?;
    let (first_registered, last_registered) = (instant(reader)?, instant(reader)?);
    let (registrations, software) = (reader.u64()?, reader.u8()?);
    if software > OURS_WITH_FRAGMENTS {
        return Err(VALUE.into());
    }
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
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    };
    Ok(Listed { record, author, version, presence })
}

pub(super) fn instant(reader: &mut Reader<'_>) -> Result<GroupTime, Error> {
    Ok(GroupTime::from_millis(reader.u64()?))
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr, Error> {
    Ok(parse_address(reader.array()?).ok_or(VALUE)?)
}

impl Sink {
    fn instant(&mut self, time: GroupTime) {
        self.u64(time.as_millis());
    }

    pub(super) fn versions(&mut self, versions: &Versions) {
        versions.emit(&mut self.0);
    }

    pub(super) fn state(&mut self, state: &GroupState) {
        self.raw(&Lineage::octets(state.lineage));
        self.versions(&state.versions);
        self.u64(state.rekeys);
        self.optional(state.last_rekey, Sink::instant);
        self.raw(&[u8::from(state.under_way)]);
        self.keys(&state.keys);
        self.u32(state.revoked.len().min(MAX_REVOKED) as u32);
        state.revoked.iter().take(MAX_REVOKED).for_each(|address| self.address(address));
        self.u32(state.sid_generation);
        self.optional(state.terms.as_ref(), Sink::terms);
        self.optional(state.told, |out, AclDigest(digest)| out.raw(&digest));
    }

    fn keys(&mut self, keys: &Keys) {
        self.u16(keys.teks.len() as u16);
        keys.teks.iter().for_each(|tek| self.tek(tek));
        self.u16(keys.ended.len() as u16);
        for (spi, expires) in &keys.ended {
            self.u32(spi.0);
            self.instant(*expires);
        }
        self.optional(keys.kek.as_ref(), Sink::kek);
        self.raw(&[keys.previous_keks.len() as u8]);
        keys.previous_keks.iter().for_each(|kek| self.kek(kek));
        self.raw(&[keys.spent.len() as u8]);
        keys.spent.iter().for_each(|spent| self.spent(spent));
    }

    fn tek(&mut self, tek: &GroupTek) {
        self.u32(tek.spi.0);
        self.octets(tek.transform.to_string().as_bytes());
        let (key, integrity) = match &tek.keys {
            TekKeys::Shared { encryption, integrity } => (encryption, integrity.expose()),
            TekKeys::PerSender(seed) => (seed.secret(), &[][..]),
        };
        self.octets(key.expose());
        self.octets(integrity);
        self.instant(tek.expires);
        self.optional(tek.senders, Sink::senders);
    }

    fn senders(&mut self, terms: SenderTerms) {
        self.raw(&terms.generation.octets());
        self.u16(terms.replay_window);
    }

    fn kek(&mut self, kek: &GroupKek) {
        self.raw(&kek.spi);
        self.octets(kek.key.expose());
        self.instant(kek.expires);
        self.u32(kek.sequence);
        self.raw(&[kek.succession as u8]);
        self.raw(&Lineage::octets(kek.lineage));
    }

    fn spent(&mut self, spent: &SpentKek) {
        self.raw(&spent.spi);
        self.u32(spent.sequence);
        self.instant(spent.expires);
    }

    fn terms(&mut self, terms: &Terms) {
        self.octets(&emit_acl(&terms.acl));
        self.raw(&[u8::from(terms.mode == SendMode::ReceiveOnly)]);
        self.u64(terms.activation_delay.as_millis() as u64);
        self.u64(terms.deactivation_delay.as_millis() as u64);
        self.optional(terms.rekey.as_ref(), Sink::rekey_terms);
    }

    fn rekey_terms(&mut self, terms: &RekeyTerms) {
        let (multicast, to) = match terms.transport {
            Transport::Unicast => (0, None),
            Transport::Multicast(to) => (1, Some(to)),
        };
        self.raw(&[multicast]);
        self.raw(&address_octets(to.map(|to| to.ip())));
        self.u16(to.map_or(0, |to| to.port()));
        self.u16(terms.signature.number());
        self.u16(terms.signature.hash_number());
        self.octets(terms.verification.spki());
    }

    pub(super) fn member(&mut self, listed: &Listed) {
        let record = &listed.record;
        self.address(&record.address);
        self.u16(record.port);
        self.raw(&address_octets(record.owner));
        self.raw(&listed.author.0);
        self.u64(listed.version);
        self.raw(&[u8::from(listed.presence == Presence::Gone)]);
        self.octets(&Identification::phase1(&record.identity).emit());
        self.instant(record.first_registered);
        self.instant(record.last_registered);
        self.u64(record.registrations);
        self.raw(&[match (record.ours, record.fragments) {
            (true, true) => OURS_WITH_FRAGMENTS,
            (ours, _) => u8::from(ours) * OURS,
        }]);
    }

    fn address(&mut self, address: &IpAddr) {
        self.raw(&address_octets(Some(*address)));
    }
}

#[cfg(test)]
mod tests;
