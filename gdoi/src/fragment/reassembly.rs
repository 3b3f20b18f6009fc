//! Fragments on their way to a whole message.
//!
//! ```text
//! purpose            who can send a fragment that is taken                       room
//! Cooperation        who knows the cookies of an SA between key servers          by peer, and so for all of them
//! Registration       who knows the cookies of an SA with a member                by peer
//! Rekey(Expected)    who knows a KEK's SPI, which is no secret, and speaks       of its own
//!                    with the address of a key server of the group
//! Rekey(Anybody)     who knows the SPI                                           of its own
//! ```

use super::{is_fragment, Piece};
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved};
use crate::phase1::Cookies;
use crate::wire::{Fragment, PayloadType, Position, MAX_MESSAGE};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

mod pool;

use pool::Pool;

/// How long after its first fragment a message is given up. Fragments are sent together; longer than they can be apart.
pub const LIFE: Duration = Duration::from_secs(5);
/// The most messages of one address that are on their way, for most purposes.
pub const MAX_PER_PEER: usize = 8;
/// The most messages in all, for one purpose.
pub const MAX_MESSAGES: usize = 1_024;
/// The most octets of fragments in all, for one purpose.
pub const MAX_OCTETS: usize = 2 * 1024 * 1024;

/// How many readings of one message there may be, where fragments contradict each other.
const MAX_READINGS: usize = 8;

/// What a message in fragments is for. No purpose takes room from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What cooperating key servers say.
    Cooperation,
    /// What a member and its key server say, under their SA.
    Registration,
    /// A rekey message, under a KEK.
    Rekey(Origin),
}

/// Where a rekey message seems to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A key server that the member knows.
    Expected,
    /// Anywhere else.
    Anybody,
}

/// The messages of which some fragments have come.
#[derive(Debug)]
pub struct Reassembly {
    cooperation: Pool,
    registration: Pool,
    expected: Pool,
    others: Pool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    peer: SocketAddr,
    cookies: Cookies,
    id: u16,
}

/// One of them. Once it is whole it is kept for the rest of its time, so that duplicates begin no other.
#[derive(Debug)]
struct Message {
    begun: Instant,
    /// Grows from message to message.
    number: u64,
    /// What has come, in readings that each contradict themselves nowhere.
    readings: Vec<Parts>,
}

#[derive(Clone, Debug, Default)]
struct Parts {
    /// The number of the last fragment, once it has come.
    last: Option<u8>,
    octets: usize,
    parts: BTreeMap<u8, Arc<[u8]>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Gathering,
    Whole,
}

impl Default for Reassembly {
    fn default() -> Self {
        Reassembly {
            cooperation: Pool::new(MAX_PER_PEER, 4 * MAX_MESSAGE),
            registration: Pool::new(MAX_PER_PEER, 4 * MAX_MESSAGE),
            expected: Pool::new(MAX_MESSAGES / 2, MAX_OCTETS / 2),
            others: Pool::new(MAX_MESSAGES / 2, 2 * MAX_MESSAGE),
        }
    }
}

impl Reassembly {
    /// Takes in a fragment; the message, if this was all that lacked. Where fragments contradicted each other it may have
    /// several readings, of which at most one passes the checks that every message passes.
    ///
    /// # Errors
    /// The fragment contradicts others in too many ways, makes the message too long, or completes a message that is itself
    /// a fragment.
    pub fn add(
        &mut self,
        peer: SocketAddr,
        purpose: Purpose,
        piece: &Piece<'_>,
        now: Instant,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let name = Name { peer, cookies: Cookies::of(&piece.header), id: piece.fragment.id };
        let wholes = self.pool(purpose).add(name, &piece.fragment, now)?;
        match wholes.iter().any(|whole| is_fragment(whole)) {
            true => Err(Misbehaved::UnexpectedPayload(PayloadType::FRAGMENT).into()),
            false => Ok(wholes),
        }
    }

    /// Gives up what has not become whole in time.
    pub fn expire(&mut self, now: Instant) {
        self.pools_mut().for_each(|pool| pool.expire(now));
    }

    /// When [`Reassembly::expire`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.pools().filter_map(Pool::next_timeout).min()
    }

    /// How many messages there are, and how many octets of them.
    pub fn held(&self) -> (usize, usize) {
        self.pools().map(Pool::held).fold((0, 0), |all, held| (all.0 + held.0, all.1 + held.1))
    }

    fn pool(&mut self, purpose: Purpose) -> &mut Pool {
        match purpose {
            Purpose::Cooperation => &mut self.cooperation,
            Purpose::Registration => &mut self.registration,
            Purpose::Rekey(Origin::Expected) => &mut self.expected,
            Purpose::Rekey(Origin::Anybody) => &mut self.others,
        }
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        [&self.cooperation, &self.registration, &self.expected, &self.others].into_iter()
    }

    fn pools_mut(&mut self) -> impl Iterator<Item = &mut Pool> {
        [&mut self.cooperation, &mut self.registration, &mut self.expected, &mut self.others].into_iter()
    }
}

impl Message {
    fn begin(number: u64, now: Instant) -> Self {
        Message { begun: now, number, readings: vec![Parts::default()] }
    }

    fn is_whole(&self) -> bool {
        self.readings.iter().all(|parts| parts.stage == Stage::Whole)
    }

    fn octets(&self) -> usize {
        self.readings.iter().map(|parts| parts.octets).sum()
    }

    /// How many fragments have come that suit each other.
    fn progress(&self) -> usize {
        self.readings.iter().map(|parts| parts.parts.len()).max().unwrap_or_default()
    }

    /// Takes in a fragment; all readings that are whole now. A reading that it contradicts stays, and goes on beside it with
    /// the fragment instead of what it contradicts.
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<Vec<Vec<u8>>, Error> {
        if self.readings.iter().any(|parts| parts.has(fragment)) {
            return Ok(Vec::new());
        }
        let (mut wholes, mut refused, mut others) = (Vec::new(), Misbehaved::Fragment.into(), Vec::new());
        let (before, mut taken) = (self.readings.len(), 0);
        for parts in &mut self.readings {
            if !parts.suits(fragment) {
                others.push(parts.without_contradictions(fragment));
            } else if let Err(reason) = parts.take(fragment) {
                refused = reason;
            } else {
                taken += 1;
                wholes.extend(parts.joined());
            }
        }
        for mut other in others.into_iter().take(MAX_READINGS - before) {
            let is_new = |other: &Parts| !self.readings.iter().any(|parts| parts.says_the_same(other));
            if other.take(fragment).is_ok() && is_new(&other) {
                taken += 1;
                wholes.extend(other.joined());
                self.readings.push(other);
            }
        }
        if taken == 0 {
            Err(refused)
        } else {
            Ok(wholes)
        }
    }
}

impl Parts {
    fn has(&self, fragment: &Fragment<'_>) -> bool {
        let is_last = self.last == Some(fragment.number);
        let same = self.parts.get(&fragment.number).is_some_and(|known| **known == *fragment.data);
        same && is_last == (fragment.position == Position::Last)
    }

    fn says_the_same(&self, other: &Parts) -> bool {
        self.last == other.last && self.parts == other.parts
    }

    /// On an error nothing has changed.
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<(), Error> {
        let octets = self.octets + fragment.data.len();
        if octets > MAX_MESSAGE {
            return Err(Malformed::Length("message in fragments").into());
        }
        self.octets = octets;
        self.parts.insert(fragment.number, fragment.data.into());
        if fragment.position == Position::Last {
            self.last = Some(fragment.number);
        }
        Ok(())
    }

    /// Whether the fragment says nothing else than those that came before.
    fn suits(&self, fragment: &Fragment<'_>) -> bool {
        let Fragment { number, position, .. } = *fragment;
        let highest = self.parts.keys().next_back().copied().unwrap_or_default();
        let in_place = match (position, self.last) {
            (Position::Last, Some(_)) => false,
            (Position::Last, None) => number > highest,
            (Position::Before, last) => last.is_none_or(|last| number < last),
        };
        in_place && !self.parts.contains_key(&number)
    }

    /// What the fragment does not contradict.
    fn without_contradictions(&self, fragment: &Fragment<'_>) -> Parts {
        let mut other = Parts { stage: Stage::Gathering, ..self.clone() };
        other.parts.remove(&fragment.number);
        match (fragment.position, self.last) {
            (Position::Last, last) => {
                other.parts.retain(|number, _| *number < fragment.number && Some(*number) != last);
            }
            (Position::Before, Some(last)) if last <= fragment.number => drop(other.parts.remove(&last)),
            (Position::Before, _) => {}
        }
        other.last = other.last.filter(|last| other.parts.contains_key(last));
        other.octets = other.parts.values().map(|part| part.len()).sum();
        other
    }

    /// The message, once, when nothing lacks any more.
    fn joined(&mut self) -> Option<Vec<u8>> {
        let complete = self.last.is_some_and(|last| self.parts.len() == usize::from(last));
        if !complete || self.stage == Stage::Whole {
            return None;
        }
        self.stage = Stage::Whole;
        Some(self.parts.values().flat_map(|part| part.iter()).copied().collect())
    }
}
