//! What a key server must not forget, as octets: keys, sequence numbers, pseudotime, members. The owner seals and
//! stores it; a damaged one is refused whole. The records are described in `record.rs`.
//!
//! ```text
//! "GDKS" version(2) groups(2)
//! group:  id(4) author(8) offset(8) epoch(8) state SIDs: generation(12) given(32), allotments(list), newest version(8) versions(list) members(4) stored member...
//! stored member:  member acknowledged(8) missed(4) [last acknowledged(8)]
//! ```

use super::absent::MAX_ABSENT;
use super::allotments::Allotments;
use super::clock::GroupClock;
use super::config::MAX_GROUPS;
use super::ledger::Ledger;
use super::members::{Listed, Members};
use super::record::{
    instant, list, optional, parse_member, parse_state, write_instant, write_member, write_state,
};
use crate::coop::{Author, Sids, Versions};
use crate::crypto::Secret;
use crate::error::{Error, Malformed, Unacceptable};
use crate::policy::GroupId;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

const MAGIC: &[u8; 4] = b"GDKS";
const VERSION: u16 = 7;
const PART: &str = "stored state";
const MAX_MEMBERS: usize = 16_384;

/// The state of all groups.
///
/// # Errors
/// Something is longer than what stands before it can say: nothing is stored that could not be read again.
pub(super) fn take<'a>(groups: impl Iterator<Item = (GroupId, &'a Ledger)> + Clone) -> Result<Secret, Error> {
    let length = groups.clone().map(|(_, ledger)| 8192 + ledger.members().all().count() * 512).sum();
    let mut octets = Writer::secret(length, |out| {
        out.raw(MAGIC);
        out.u16(VERSION);
        out.list_u16(PART, groups, write_group);
    })?;
    Ok(Secret::new(std::mem::take(&mut *octets)))
}

/// What was stored, read and found sound.
pub(super) struct Stored {
    groups: BTreeMap<GroupId, Ledger>,
}

impl Stored {
    /// # Errors
    /// [`Malformed`].
    pub(super) fn parse(stored: &Secret) -> Result<Self, Error> {
        let mut reader = Reader::new(stored.expose(), PART);
        if &reader.array::<4>()? != MAGIC {
            return Err(Malformed::Value(PART).into());
        }
        match reader.u16()? {
            VERSION => {}
            other => {
                return Err(Unacceptable::Unsupported("version of the stored state", other.into()).into())
            }
        }
        let groups = list(reader.u16()?.into(), MAX_GROUPS + MAX_ABSENT, &mut reader, parse_group)?;
        reader.finish()?;
        Ok(Stored { groups: groups.into_iter().collect() })
    }

    /// What a group must not have forgotten.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Ledger> {
        self.groups.remove(&id)
    }

    /// Those that nobody took.
    pub(super) fn rest(self) -> BTreeMap<GroupId, Ledger> {
        self.groups
    }
}

fn parse_group(reader: &mut Reader<'_>) -> Result<(GroupId, Ledger), Error> {
    let (id, author) = (GroupId(reader.u32()?), Author(reader.array()?));
    let (offset, epoch) = (reader.u64()? as i64, reader.u64()?);
    let (state, sids) = (parse_state(reader)?, Sids::parse(reader)?);
    let allotments = Allotments::parse(sids.generation(), reader)?;
    let (newest, seen) = (reader.u64()?, Versions::parse(reader)?);
    let records = list(reader.u32()?, MAX_MEMBERS, reader, parse_stored_member)?;
    let members = Members::restore(author, newest, seen, records);
    Ok((id, Ledger::restored(GroupClock::ahead_by(offset), epoch, state, (sids, allotments), members)))
}

fn parse_stored_member(reader: &mut Reader<'_>) -> Result<Listed, Error> {
    let mut listed = parse_member(reader)?;
    listed.record.rekeys_acknowledged = reader.u64()?;
    listed.record.rekeys_missed = reader.u32()?;
    listed.record.last_acknowledged = optional(reader, instant)?;
    Ok(listed)
}

fn write_group(out: &mut Writer, (id, ledger): (GroupId, &Ledger)) {
    out.u32(id.0);
    out.raw(&ledger.members().author().0);
    out.u64(ledger.clock().offset() as u64);
    out.u64(ledger.epoch());
    write_state(out, ledger.state());
    ledger.sids().write(out);
    ledger.allotments().write(out);
    out.u64(ledger.members().newest());
    ledger.members().seen().write(out);
    out.list_u32(PART, ledger.members().all(), write_stored_member);
}

fn write_stored_member(out: &mut Writer, listed: &Listed) {
    write_member(out, listed);
    out.u64(listed.record.rekeys_acknowledged);
    out.u32(listed.record.rekeys_missed);
    out.optional(listed.record.last_acknowledged, write_instant);
}
