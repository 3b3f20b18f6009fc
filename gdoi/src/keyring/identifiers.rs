//! The sender identifiers that a member holds: those of the generation before, too, while a TEK of it sends.

use super::ended::{CountedKey, Ended, Memory};
use super::held_tek::HeldTek;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved};
use crate::group::SenderIds;
use crate::policy::{Sid, SidGeneration, SidNonce, Spi};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The one that is used, and the one that comes or goes.
const GENERATIONS: usize = 2;

/// The nonces that a request for sender IDs may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SidNonces {
    /// Of those that this member has.
    pub(crate) own: SidNonce,
    /// Of others, where a key with one of these SPIs is offered.
    pub(crate) others: Option<(Vec<Spi>, SidNonce)>,
}

#[derive(Debug, Default)]
pub(super) struct Identifiers {
    generations: Vec<Generation>,
    /// By which each server is asked for the same ones again; none until the next time after states were lost.
    nonces: BTreeMap<SocketAddr, SidNonce>,
    /// By which others are asked for where a key is offered that has [ended](super::ended).
    spare: Option<SidNonce>,
    /// Who was asked last.
    asked: Option<SocketAddr>,
}

#[derive(Debug)]
struct Generation {
    name: SidGeneration,
    sids: Vec<Sid>,
    /// Whether the states that count under these are still there.
    counted: Counted,
    /// All that this member ever had: a key begins to count its packets anew with every state that uses it.
    had: BTreeSet<Sid>,
    /// The keys that have gone since these came.
    ended: Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    On,
    Lost,
}

impl Identifiers {
    /// What a request to a server may be made with: by its own nonce it knows what it gave to this memory.
    ///
    /// # Errors
    /// Those of the source.
    pub(super) fn nonces(
        &mut self,
        server: SocketAddr,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<SidNonces, Error> {
        self.asked = Some(server);
        let ended: Vec<_> = self.generations.iter().flat_map(|held| held.ended.expected(now)).collect();
        let own = match self.nonces.get(&server) {
            Some(nonce) => *nonce,
            None => fresh(random)?,
        };
        self.nonces.insert(server, own);
        let others = match (ended.is_empty(), self.spare) {
            (true, _) => None,
            (false, Some(spare)) => Some((ended, spare)),
            (false, None) => Some((ended, *self.spare.insert(fresh(random)?))),
        };
        Ok(SidNonces { own, others })
    }

    /// A state that counted is lost.
    pub(super) fn lose(&mut self) {
        self.nonces.clear();
        self.generations.iter_mut().for_each(|held| held.counted = Counted::Lost);
    }

    /// The next request is for others.
    pub(super) fn ask_for_others(&mut self) {
        self.nonces.clear();
    }

    /// This key has gone, and what counted under it.
    pub(super) fn end(&mut self, key: CountedKey) {
        let Some(held) = self.generations.iter_mut().find(|held| held.name == key.generation) else { return };
        if held.ended.note(key) == Memory::Full {
            self.nonces.clear();
        }
    }

    /// Whether a key had gone since the sender IDs for it came.
    pub(super) fn has_ended(&self, tek: &HeldTek) -> bool {
        let held = tek.generation.and_then(|name| self.get(name));
        held.is_some_and(|held| held.ended.has(tek))
    }

    /// Whether the states that counted under those of a generation are lost.
    pub(super) fn is_lost(&self, name: SidGeneration) -> bool {
        self.get(name).is_some_and(|held| held.counted == Counted::Lost)
    }

    /// Whether a key server may give these.
    ///
    /// # Errors
    /// [`Misbehaved::SenderIdAgain`] for one that was used before.
    pub(super) fn check(&self, given: &SenderIds) -> Result<(), Misbehaved> {
        let known = given.generation.and_then(|name| self.get(name)).filter(|known| !known.is_same(given));
        let again =
            given.values.iter().find(|sid| known.is_some_and(|known| known.had.contains(&Sid(**sid))));
        again.map_or(Ok(()), |sid| Err(Misbehaved::SenderIdAgain(*sid)))
    }

    /// They take the place of those of the same generation at once. What another server gave before must not come again.
    pub(super) fn take(&mut self, given: &SenderIds) {
        let Some(name) = given.generation.filter(|_| !given.values.is_empty()) else { return };
        if given.nonce.is_some() && given.nonce == self.spare {
            self.nonces = self.asked.zip(self.spare.take()).into_iter().collect();
        } else if !self.get(name).is_some_and(|held| held.is_same(given)) {
            let asked = self.asked;
            self.nonces.retain(|server, _| Some(*server) == asked);
        }
        let sids: Vec<_> = given.values.iter().copied().map(Sid).collect();
        let held = &mut self.generations;
        let before = held.iter().position(|held| held.name == name).map(|index| held.remove(index));
        let same = before.as_ref().is_some_and(|before| before.is_same(given));
        let (mut had, ended) = before.map(|before| (before.had, before.ended)).unwrap_or_default();
        had.extend(&sids);
        let ended = if same { ended } else { Ended::default() };
        held.push(Generation { name, sids, counted: Counted::On, had, ended });
        if held.len() > GENERATIONS {
            held.remove(0);
            // What was used of that generation is not known any more: should it come back, others of it are needed.
            self.nonces.clear();
        }
    }

    /// Those of a generation; none if there are none.
    pub(super) fn of(&self, name: SidGeneration) -> &[Sid] {
        self.get(name).map_or(&[], |held| &held.sids)
    }

    /// The generations of which there are any.
    pub(super) fn names(&self) -> impl Iterator<Item = SidGeneration> + '_ {
        self.generations.iter().map(|held| held.name)
    }

    /// Those that came last.
    pub(super) fn newest(&self) -> Option<(SidGeneration, &[Sid])> {
        self.generations.last().map(|held| (held.name, &held.sids[..]))
    }

    fn get(&self, name: SidGeneration) -> Option<&Generation> {
        self.generations.iter().find(|held| held.name == name)
    }
}

fn fresh(random: &mut dyn Random) -> Result<SidNonce, Error> {
    let mut octets = [0; 16];
    random.fill(&mut octets)?;
    Ok(SidNonce(octets))
}

impl Generation {
    /// Whether these are the ones that are used now, by states that go on counting.
    fn is_same(&self, given: &SenderIds) -> bool {
        self.counted == Counted::On && given.values.iter().copied().map(Sid).eq(self.sids.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRandom;

    fn name(number: u32) -> SidGeneration {
        SidGeneration { lineage: [1; 8], number }
    }

    fn given(generation: u32, values: &[u32]) -> SenderIds {
        SenderIds { bits: 20, values: values.to_vec(), generation: Some(name(generation)), nonce: None }
    }

    fn own(held: &mut Identifiers, number: u8) -> SidNonce {
        held.nonces(server(number), &mut SystemRandom, Instant::default()).unwrap().own
    }

    fn server(number: u8) -> SocketAddr {
        ([192, 0, 2, number], 848).into()
    }

    #[test]
    fn fresh_ones_replace_those_of_their_generation() {
        let mut held = Identifiers::default();
        held.take(&given(1, &[5, 6]));
        held.take(&given(1, &[7, 8]));
        assert_eq!(held.of(name(1)), [Sid(7), Sid(8)]);
        held.take(&given(2, &[5, 6]));
        assert_eq!((held.of(name(1)), held.of(name(2))), (&[Sid(7), Sid(8)][..], &[Sid(5), Sid(6)][..]));
        held.take(&given(3, &[1]));
        assert!(held.of(name(1)).is_empty(), "two generations are enough");
    }

    #[test]
    fn none_is_used_twice() {
        let mut held = Identifiers::default();
        held.take(&given(1, &[5, 6]));
        held.take(&given(1, &[7, 8]));
        assert_eq!(held.check(&given(1, &[9, 5])), Err(Misbehaved::SenderIdAgain(5)));
        assert_eq!(held.check(&given(1, &[8])), Err(Misbehaved::SenderIdAgain(8)));
        assert_eq!(held.check(&given(1, &[9])), Ok(()));
        assert_eq!(held.check(&given(2, &[5])), Ok(()), "another generation has other keys");
    }

    #[test]
    fn the_same_ones_come_again_only_while_their_states_count() {
        let mut held = Identifiers::default();
        let nonce = own(&mut held, 1);
        held.take(&given(1, &[5, 6]));
        assert_eq!(own(&mut held, 1), nonce);
        assert_eq!(held.check(&given(1, &[5, 6])), Ok(()));
        held.take(&given(1, &[5, 6]));
        for others in [&[6, 5][..], &[5], &[5, 6, 7]] {
            assert_eq!(held.check(&given(1, others)), Err(Misbehaved::SenderIdAgain(others[0])));
        }
        held.lose();
        assert_eq!(held.check(&given(1, &[5, 6])), Err(Misbehaved::SenderIdAgain(5)));
        assert_ne!(own(&mut held, 1), nonce);
        held.take(&given(1, &[7, 8]));
        assert_eq!(held.check(&given(1, &[7, 8])), Ok(()));
        assert_eq!(held.check(&given(1, &[5, 6])), Err(Misbehaved::SenderIdAgain(5)));
    }

    /// A server that gave some before others came from elsewhere would give them again.
    #[test]
    fn a_server_is_asked_by_its_own_nonce_for_as_long_as_what_it_gave_is_used() {
        let mut held = Identifiers::default();
        let nonce = own;
        let first = nonce(&mut held, 1);
        held.take(&given(1, &[5, 6]));
        let second = nonce(&mut held, 2);
        assert_ne!(first, second);
        assert_eq!(nonce(&mut held, 1), first, "the second gave nothing that was taken");
        held.take(&given(1, &[5, 6]));
        assert_eq!(nonce(&mut held, 2), second, "it may have given some that were never used");
        held.take(&given(1, &[7, 8]));
        assert_eq!(nonce(&mut held, 2), second);
        assert_ne!(nonce(&mut held, 1), first);
    }

    #[test]
    fn those_of_another_implementation_have_no_generation() {
        let mut held = Identifiers::default();
        let foreign = SenderIds { bits: 8, values: vec![1], generation: None, nonce: None };
        assert_eq!(held.check(&foreign), Ok(()));
        held.take(&foreign);
        held.take(&SenderIds::default());
        assert!(held.generations.is_empty());
    }
}
