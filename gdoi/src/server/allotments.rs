//! Which sender IDs each member got from this server, in the generation of now: as many as it may need, and the same
//! ones again if it asks for the same again.

mod shares;

use super::record::{list, optional};
use crate::coop::{address_octets, parse_address};
use crate::error::{Error, Malformed};
use crate::policy::{Prefix, SidGeneration, SidNonce, SidRequest, MAX_SIDS};
use crate::wire::{Reader, Writer};
use shares::Shares;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A member gets no more sender IDs from one server in one generation: enough for a router that is started anew some
/// hundred times, and too few to use up a server's range.
pub(super) const MOST: u32 = 1024;

/// Of more members it is not remembered; who got the fewest is forgotten.
const MAX_MEMBERS: usize = 16_384;

const PART: &str = "allotments";

/// What a member got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allotment {
    /// How many in all.
    given: u32,
    /// The length of the prefix that its credential is good for, where it [shares](shares) it.
    shared: Option<u8>,
    /// What it got last, if it can ask for it again: under which nonce, the first one, and how many.
    last: Option<(SidNonce, u32, u16)>,
}

/// What all members got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allotments {
    generation: SidGeneration,
    /// Shared with what is kept for the case that a change fails.
    members: Arc<BTreeMap<IpAddr, Allotment>>,
    shares: Shares,
}

impl Allotments {
    /// In another generation than the one of before nobody has got any.
    pub(super) fn begin(&mut self, generation: SidGeneration) {
        if self.generation != generation {
            *self = Allotments { generation, ..Allotments::default() };
        }
    }

    /// What the member got when it asked for this before.
    pub(super) fn again(&self, member: IpAddr, request: SidRequest) -> Option<Vec<u32>> {
        let (nonce, first, count) = self.members.get(&member)?.last?;
        (request.nonce == Some(nonce) && request.count == count)
            .then(|| (first..first + u32::from(count)).collect())
    }

    /// Whether so many more would be too many.
    pub(super) fn exceeds(&self, member: IpAddr, count: u16) -> bool {
        let given = self.members.get(&member).map_or(0, |allotment| allotment.given);
        given + u32::from(count) > MOST
    }

    /// Whether so many more of a range would be too many for those that share a credential for this prefix.
    pub(super) fn exceed_share(&self, shared: Prefix, count: u16, range: u32) -> bool {
        self.shares.exceeds(shared, count.into(), range)
    }

    /// Whether those that share a credential have got as many of a range as they may.
    pub(super) fn are_shares_used_up(&self, range: u32) -> bool {
        self.shares.are_used_up(MAX_SIDS.into(), range)
    }

    /// Whether a member has got as many as it may.
    pub(super) fn somebody_has_all(&self) -> bool {
        self.members.values().any(|allotment| allotment.given + u32::from(MAX_SIDS) > MOST)
    }

    /// The member got these, which follow each other; its credential may be for a prefix.
    pub(super) fn note(
        &mut self,
        member: IpAddr,
        shared: Option<Prefix>,
        request: SidRequest,
        values: &[u32],
    ) {
        let shared = shared.map(|prefix| prefix.length());
        shared.into_iter().for_each(|length| self.shares.add(member, length, values.len() as u32));
        let last = request.nonce.zip(values.first().copied());
        let last = last.map(|(nonce, first)| (nonce, first, values.len() as u16));
        let members = Arc::make_mut(&mut self.members);
        let allotment = members.entry(member).or_insert(Allotment { given: 0, shared, last });
        *allotment = Allotment { given: allotment.given.saturating_add(values.len() as u32), shared, last };
        if members.len() > MAX_MEMBERS {
            let others = members.iter().filter(|(other, _)| **other != member);
            let least = others.min_by_key(|(_, allotment)| allotment.given).map(|(member, _)| *member);
            least.and_then(|least| members.remove(&least));
        }
    }

    /// A number of members (4 octets) of an address (16), how many they got (4), \[length of the prefix of
    /// their credential (1)\] and \[nonce (16) first (4) count (2)\].
    pub(super) fn write(&self, out: &mut Writer) {
        out.list_u32(PART, self.members.iter(), |out, (member, allotment)| {
            out.raw(&address_octets(Some(*member)));
            out.u32(allotment.given);
            out.optional(allotment.shared, |out, length| out.u8(length));
            out.optional(allotment.last, |out, (nonce, first, count)| {
                out.raw(&nonce.0);
                out.u32(first);
                out.u16(count);
            });
        });
    }

    /// # Errors
    /// [`Malformed`]: truncated, too many, no address, more than a member can have got.
    pub(super) fn parse(generation: SidGeneration, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let members = list(reader.u32()?, MAX_MEMBERS, reader, |reader| {
            let member = parse_address(reader.array()?).ok_or(Malformed::Value(PART))?;
            let (given, shared) = (reader.u32()?, optional(reader, |reader| Ok(reader.u8()?))?);
            let last = optional(reader, parse_last)?;
            match given <= MOST && shared.is_none_or(|length| length <= 128) {
                true => Ok((member, Allotment { given, shared, last })),
                false => Err(Malformed::Value(PART).into()),
            }
        })?;
        let mut shares = Shares::default();
        for (member, Allotment { given, shared, .. }) in &members {
            shared.iter().for_each(|length| shares.add(*member, *length, *given));
        }
        Ok(Allotments { generation, members: Arc::new(members.into_iter().collect()), shares })
    }
}

fn parse_last(reader: &mut Reader<'_>) -> Result<(SidNonce, u32, u16), Error> {
    let (nonce, first, count) = (SidNonce(reader.array()?), reader.u32()?, reader.u16()?);
    match count <= MAX_SIDS && first >> 20 == 0 {
        true => Ok((nonce, first, count)),
        false => Err(Malformed::Value(PART).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: SidNonce = SidNonce([4; 16]);
    const GENERATION: SidGeneration = SidGeneration { lineage: [1; 8], number: 2 };

    fn member(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        [10, 0, high, low].into()
    }

    const fn request(count: u16, nonce: Option<SidNonce>) -> SidRequest {
        SidRequest { count, nonce }
    }

    #[test]
    fn who_asks_for_the_same_gets_the_same() {
        let mut allotments = Allotments::default();
        let asked = request(2, Some(NONCE));
        assert_eq!(allotments.again(member(1), asked), None);
        allotments.note(member(1), None, asked, &[7, 8]);
        assert_eq!(allotments.again(member(1), asked), Some(vec![7, 8]));
        for other in [request(3, Some(NONCE)), request(2, None), request(2, Some(SidNonce([5; 16])))] {
            assert_eq!(allotments.again(member(1), other), None);
        }
        assert_eq!(allotments.again(member(2), asked), None, "another member");
        allotments.begin(GENERATION);
        assert_eq!(allotments.again(member(1), asked), None, "another generation");
    }

    #[test]
    fn nobody_gets_more_than_a_member_needs() {
        let mut allotments = Allotments::default();
        for first in (0..MOST).step_by(64) {
            assert!(!allotments.exceeds(member(1), 64) && !allotments.somebody_has_all());
            let values: Vec<_> = (first..first + 64).collect();
            allotments.note(member(1), None, request(64, None), &values);
        }
        assert!(allotments.exceeds(member(1), 1) && allotments.somebody_has_all());
        assert!(!allotments.exceeds(member(2), 64));
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let mut allotments = Allotments::default();
        allotments.note(member(0), None, request(2, None), &[0, 1]);
        for number in 1..=MAX_MEMBERS as u16 {
            allotments.note(member(number), None, request(1, None), &[5]);
        }
        assert_eq!(allotments.members.len(), MAX_MEMBERS);
        assert!(allotments.members.contains_key(&member(0)), "who got most is remembered");
    }

    #[test]
    fn round_trip() {
        let mut allotments = Allotments::default();
        allotments.begin(GENERATION);
        allotments.note(member(1), None, request(2, Some(NONCE)), &[7, 8]);
        allotments.note(member(2), Some("10.0.0.0/8".parse().unwrap()), request(1, None), &[9]);
        let octets = Writer::plain(0, |out| allotments.write(out)).unwrap();
        assert_eq!(Allotments::parse(GENERATION, &mut Reader::new(&octets, "test")), Ok(allotments));
        let mut wrong = octets.clone();
        wrong[4 + 16..4 + 20].copy_from_slice(&(MOST + 1).to_be_bytes());
        let refused = Allotments::parse(GENERATION, &mut Reader::new(&wrong, "test"));
        assert_eq!(refused, Err(Malformed::Value(PART).into()));
    }
}
