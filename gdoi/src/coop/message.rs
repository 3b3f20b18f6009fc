//! What cooperating servers send each other inside the COOP payload, after its sequence number. All numbers are in
//! network order; a list begins with its number of entries, 1 octet.
//!
//! ```text
//! |    kind (1)   |   version (1)   |    reserved (2)   |          group (4)          | body
//! announcement:  lineage(8) pseudotime(8) epoch(8) role(1) priority(1) flags(1) reserved(1) members(4) successor(16)
//!                reign: primary(16) epoch(8) heartbeat(8) priority(1)     configuration(16) author(8)
//!                sender IDs: generation(12) given(32)
//!                versions of the keys, versions of all keys held, versions of the members: each a list
//! state:         lineage(8) pseudotime(8), then the state as it is stored
//! members:       lineage(8) author(8) from(8) to(8) last(1) records(2), then the records as they are stored
//! ```
//!
//! Flags: 1 all servers have the keys, 2 it wants the role of the primary. What is not there is zero. Addresses are IPv6 addresses, those of
//! IPv4 mapped.

use super::election::{Claim, Reign, Word};
use super::sids::Sids;
use super::version::{Author, Versions};
use super::Role;
use crate::error::Malformed;
use crate::policy::GroupId;
use crate::wire::{Reader, Writer};
use std::net::IpAddr;
use zeroize::Zeroizing;

const VERSION: u8 = 4;
const COMMITTED: u8 = 1;
const CLAIMS: u8 = 2;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Announcement,
    State,
    Members,
}

/// Which memory a group's time belongs to: two servers that began apart have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lineage(pub(crate) [u8; 8]);

impl Lineage {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let octets = reader.array()?;
        Ok((octets != [0; 8]).then_some(Lineage(octets)))
    }

    pub(crate) fn octets(lineage: Option<Self>) -> [u8; 8] {
        lineage.map_or([0; 8], |lineage| lineage.0)
    }
}

/// Whether members may have the keys that a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commitment {
    /// All servers that are heard have them.
    Done,
    Pending,
}

/// How a server stands: sent to all others again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) lineage: Option<Lineage>,
    /// Milliseconds.
    pub(crate) pseudotime: u64,
    pub(crate) word: Word,
    pub(crate) commitment: Commitment,
    pub(crate) members: u32,
    pub(crate) configuration: [u8; 16],
    /// The memory of the server that says this.
    pub(crate) author: Author,
    pub(crate) sids: Sids,
    /// The changes in the keys that it serves.
    pub(crate) keys: Versions,
    /// The changes in all keys that it holds.
    pub(crate) held: Versions,
    /// The changes in the member list.
    pub(crate) listed: Versions,
}

/// The head of every message.
pub(crate) fn write_head(out: &mut Writer, kind: Kind, group: GroupId) {
    out.u8(match kind {
        Kind::Announcement => 1,
        Kind::State => 2,
        Kind::Members => 3,
    });
    out.u8(VERSION);
    out.u16(0);
    out.u32(group.0);
}

/// Splits a message.
///
/// # Errors
/// [`Malformed`]: truncated, an unknown kind or version.
pub(crate) fn split(message: &[u8]) -> Result<(Kind, GroupId, Reader<'_>), Malformed> {
    let mut reader = Reader::new(message, "COOP payload");
    let kind = match reader.u8()? {
        1 => Kind::Announcement,
        2 => Kind::State,
        3 => Kind::Members,
        _ => return Err(Malformed::Value("COOP payload")),
    };
    if reader.u8()? != VERSION {
        return Err(Malformed::Value("COOP payload"));
    }
    reader.reserved(2)?;
    Ok((kind, GroupId(reader.u32()?), reader))
}

impl Announcement {
    /// The message.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub(crate) fn emit(&self, group: GroupId) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        Writer::secret(1024, |out| {
            write_head(out, Kind::Announcement, group);
            self.write(out);
        })
    }

    fn write(&self, out: &mut Writer) {
        let word = &self.word;
        out.raw(&Lineage::octets(self.lineage));
        out.u64(self.pseudotime);
        out.u64(word.epoch);
        out.u8(role_number(word.role));
        out.u8(word.priority);
        let committed = if self.commitment == Commitment::Done { COMMITTED } else { 0 };
        let claims = if word.claims == Claim::Laid { CLAIMS } else { 0 };
        out.u8(committed | claims);
        out.u8(0);
        out.u32(self.members);
        out.raw(&address_octets(word.successor));
        write_reign(out, word.reign);
        out.raw(&self.configuration);
        out.raw(&self.author.0);
        self.sids.write(out);
        self.keys.write(out);
        self.held.write(out);
        self.listed.write(out);
    }

    /// # Errors
    /// [`Malformed`]: truncated, trailing octets, values that nobody sends.
    pub(crate) fn parse(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (lineage, pseudotime, epoch) = (Lineage::parse(&mut reader)?, reader.u64()?, reader.u64()?);
        let (role, priority, flags) = (parse_role(reader.u8()?)?, reader.u8()?, reader.u8()?);
        reader.reserved(1)?;
        if flags & !(COMMITTED | CLAIMS) != 0 {
            return Err(Malformed::Reserved("COOP payload"));
        }
        let (members, successor) = (reader.u32()?, parse_address(reader.array()?));
        let reign = parse_reign(&mut reader)?;
        let claims = if flags & CLAIMS != 0 { Claim::Laid } else { Claim::None };
        let announcement = Announcement {
            lineage,
            pseudotime,
            word: Word { role, priority, epoch, reign, claims, successor },
            commitment: if flags & COMMITTED != 0 { Commitment::Done } else { Commitment::Pending },
            members,
            configuration: reader.array()?,
            author: Author(reader.array()?),
            sids: Sids::parse(&mut reader)?,
            keys: Versions::parse(&mut reader)?,
            held: Versions::parse(&mut reader)?,
            listed: Versions::parse(&mut reader)?,
        };
        reader.finish()?;
        Ok(announcement)
    }
}

fn write_reign(out: &mut Writer, reign: Option<Reign>) {
    out.raw(&address_octets(reign.map(|reign| reign.primary)));
    out.u64(reign.map_or(0, |reign| reign.epoch));
    out.u64(reign.map_or(0, |reign| reign.heartbeat));
    out.u8(reign.map_or(0, |reign| reign.priority));
}

fn parse_reign(reader: &mut Reader<'_>) -> Result<Option<Reign>, Malformed> {
    let (primary, epoch, heartbeat) = (parse_address(reader.array()?), reader.u64()?, reader.u64()?);
    let priority = reader.u8()?;
    Ok(primary.map(|primary| Reign { primary, priority, epoch, heartbeat }))
}

/// An address as 16 octets, an IPv4 one as IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2); zeros where there is none.
pub(crate) fn address_octets(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        None => [0; 16],
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(address)) => address.octets(),
    }
}

/// Reads what [`address_octets`] writes.
pub(crate) fn parse_address(octets: [u8; 16]) -> Option<IpAddr> {
    (octets != [0; 16]).then(|| IpAddr::from(octets).to_canonical())
}

const fn role_number(role: Role) -> u8 {
    match role {
        Role::Starting => 1,
        Role::Secondary => 2,
        Role::Electing => 3,
        Role::Primary => 4,
        Role::Yielding => 5,
    }
}

fn parse_role(number: u8) -> Result<Role, Malformed> {
    let all = [Role::Starting, Role::Secondary, Role::Electing, Role::Primary, Role::Yielding];
    let index = usize::from(number).checked_sub(1);
    index.and_then(|index| all.get(index)).copied().ok_or(Malformed::Value("COOP payload"))
}

/// What precedes the records in a message of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) lineage: Option<Lineage>,
    /// Whose changes these are.
    pub(crate) author: Author,
    /// All changes above this one
    pub(crate) from: u64,
    /// up to this one are in it, but for those that later ones replaced.
    pub(crate) to: u64,
    /// Whether the sender waits for an announcement before it goes on.
    pub(crate) last: bool,
}

impl Slice {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&Lineage::octets(self.lineage));
        out.raw(&self.author.0);
        out.u64(self.from);
        out.u64(self.to);
        out.flag(self.last);
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (lineage, author) = (Lineage::parse(reader)?, Author(reader.array()?));
        let (from, to, last) = (reader.u64()?, reader.u64()?, reader.u8()?);
        match from <= to && last <= 1 {
            true => Ok(Slice { lineage, author, from, to, last: last == 1 }),
            false => Err(Malformed::Value("COOP payload")),
        }
    }
}

#[cfg(test)]
mod tests;
