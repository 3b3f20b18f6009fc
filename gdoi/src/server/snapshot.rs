//! What a key server must not forget, as octets: keys, sequence numbers, pseudotime, members. The owner seals and
//! stores it; a damaged one is refused whole. The records are described in `record.rs`.
//!
//! ```text
//! "GDKS" version(2) author(8) groups(2)
//! group:  id(4) offset(8) epoch(8) state SIDs: generation(4) given(32), newest version(8) versions(list) members(4) stored member...
//! stored member:  member acknowledged(8) missed(4) [last acknowledged(8)]
//! ```

use super::group::Group;
use super::members::{Listed, Members};
use super::record::{
    instant, list, optional, parse_member, parse_state, write_instant, write_member, write_state,
};
use super::state::GroupState;
use crate::coop::{Author, Sids, Versions};
use crate::crypto::Secret;
use crate::error::{Error, Malformed};
use crate::policy::GroupId;
use crate::wire::{Reader, Writer};

const MAGIC: &[u8; 4] = b"GDKS";
const VERSION: u16 = 5;
const PART: &str = "stored state";
const MAX_GROUPS: usize = 1024;
const MAX_MEMBERS: usize = 16_384;

/// The state of all groups.
///
/// # Errors
/// Something is longer than what stands before it can say: nothing is stored that could not be read again.
pub(super) fn take(author: Author, groups: &[Group]) -> Result<Secret, Error> {
    let length = groups.iter().map(|group| 8192 + group.members.all().count() * 512).sum::<usize>();
    let mut octets = Writer::secret(length, |out| {
        out.raw(MAGIC);
        out.u16(VERSION);
        out.raw(&author.0);
        out.list_u16(PART, groups, write_group);
    })?;
    Ok(Secret::new(std::mem::take(&mut *octets)))
}

/// What was stored, read and found sound.
pub(super) struct Stored {
    pub(super) author: Author,
    groups: Vec<StoredGroup>,
}

impl Stored {
    /// # Errors
    /// [`Malformed`].
    pub(super) fn parse(stored: &Secret) -> Result<Self, Error> {
        let mut reader = Reader::new(stored.expose(), PART);
        if &reader.array::<4>()? != MAGIC || reader.u16()? != VERSION {
            return Err(Malformed::Value(PART).into());
        }
        let author = Author(reader.array()?);
        let parse = |reader: &mut Reader<'_>| StoredGroup::parse(author, reader);
        let groups = list(reader.u16()?.into(), MAX_GROUPS, &mut reader, parse)?;
        reader.finish()?;
        Ok(Stored { author, groups })
    }

    /// Gives every group its state back; a group that is no more configured is forgotten.
    pub(super) fn restore(self, groups: &mut [Group]) {
        for stored in self.groups {
            if let Some(group) = groups.iter_mut().find(|group| group.name().id == stored.id) {
                stored.give(group);
            }
        }
    }
}

struct StoredGroup {
    id: GroupId,
    offset: i64,
    epoch: u64,
    state: GroupState,
    sids: Sids,
    members: Members,
}

impl StoredGroup {
    fn parse(author: Author, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (id, offset, epoch) = (GroupId(reader.u32()?), reader.u64()? as i64, reader.u64()?);
        let (state, sids) = (parse_state(reader)?, Sids::parse(reader)?);
        let (newest, seen) = (reader.u64()?, Versions::parse(reader)?);
        let records = list(reader.u32()?, MAX_MEMBERS, reader, parse_stored_member)?;
        Ok(StoredGroup {
            id,
            offset,
            epoch,
            state,
            sids,
            members: Members::restore(author, newest, seen, records),
        })
    }

    fn give(self, group: &mut Group) {
        group.clock.offset = self.offset;
        group.members = self.members;
        group.state = self.state;
        group.sids = self.sids;
        if let Some(coop) = &mut group.coop {
            coop.restore(self.epoch, &group.state);
        }
    }
}

fn parse_stored_member(reader: &mut Reader<'_>) -> Result<Listed, Error> {
    let mut listed = parse_member(reader)?;
    listed.record.rekeys_acknowledged = reader.u64()?;
    listed.record.rekeys_missed = reader.u32()?;
    listed.record.last_acknowledged = optional(reader, instant)?;
    Ok(listed)
}

fn write_group(out: &mut Writer, group: &Group) {
    out.u32(group.name().id.0);
    out.u64(group.clock.offset as u64);
    out.u64(group.coop.as_ref().map_or(0, |coop| coop.epoch()));
    write_state(out, &group.state);
    group.sids.write(out);
    out.u64(group.members.newest());
    group.members.seen().write(out);
    out.list_u32(PART, group.members.all(), write_stored_member);
}

fn write_stored_member(out: &mut Writer, listed: &Listed) {
    write_member(out, listed);
    out.u64(listed.record.rekeys_acknowledged);
    out.u32(listed.record.rekeys_missed);
    out.optional(listed.record.last_acknowledged, write_instant);
}
