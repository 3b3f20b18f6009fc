//! The sender identifiers that a member holds: those of the generation before, too, while a TEK of it sends.

use crate::crypto::Random;
use crate::error::{Error, Misbehaved};
use crate::group::SenderIds;
use crate::policy::{Sid, SidGeneration, SidNonce};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The one that is used, and the one that comes or goes.
const GENERATIONS: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Identifiers {
    generations: Vec<Generation>,
    /// By which each server is asked for the same ones again; none until the next time after states were lost.
    nonces: BTreeMap<SocketAddr, SidNonce>,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    On,
    Lost,
}

impl Identifiers {
    /// The nonce for a server, of which it knows what it gave to this memory.
    ///
    /// # Errors
    /// Those of the source.
    pub(super) fn nonce(&mut self, server: SocketAddr, random: &mut dyn Random) -> Result<SidNonce, Error> {
        self.asked = Some(server);
        if let Some(nonce) = self.nonces.get(&server) {
            return Ok(*nonce);
        }
        let mut octets = [0; 16];
        random.fill(&mut octets)?;
        Ok(*self.nonces.entry(server).or_insert(SidNonce(octets)))
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
        if !self.get(name).is_some_and(|held| held.is_same(given)) {
            let asked = self.asked;
            self.nonces.retain(|server, _| Some(*server) == asked);
        }
        let sids: Vec<_> = given.values.iter().copied().map(Sid).collect();
        let held = &mut self.generations;
        let before = held.iter().position(|held| held.name == name).map(|index| held.remove(index));
        let mut had = before.map(|before| before.had).unwrap_or_default();
        had.extend(&sids);
        held.push(Generation { name, sids, counted: Counted::On, had });
        if held.len() > GENERATIONS {
            held.remove(0);
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
        SenderIds { bits: 20, values: values.to_vec(), generation: Some(name(generation)) }
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
        let nonce = held.nonce(server(1), &mut SystemRandom).unwrap();
        held.take(&given(1, &[5, 6]));
        assert_eq!(held.nonce(server(1), &mut SystemRandom), Ok(nonce));
        assert_eq!(held.check(&given(1, &[5, 6])), Ok(()));
        held.take(&given(1, &[5, 6]));
        for others in [&[6, 5][..], &[5], &[5, 6, 7]] {
            assert_eq!(held.check(&given(1, others)), Err(Misbehaved::SenderIdAgain(others[0])));
        }
        held.lose();
        assert_eq!(held.check(&given(1, &[5, 6])), Err(Misbehaved::SenderIdAgain(5)));
        assert_ne!(held.nonce(server(1), &mut SystemRandom), Ok(nonce));
        held.take(&given(1, &[7, 8]));
        assert_eq!(held.check(&given(1, &[7, 8])), Ok(()));
        assert_eq!(held.check(&given(1, &[5, 6])), Err(Misbehaved::SenderIdAgain(5)));
    }

    /// A server that gave some before others came from elsewhere would give them again.
    #[test]
    fn a_server_is_asked_by_its_own_nonce_for_as_long_as_what_it_gave_is_used() {
        let mut held = Identifiers::default();
        let nonce = |held: &mut Identifiers, number| held.nonce(server(number), &mut SystemRandom).unwrap();
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
        let foreign = SenderIds { bits: 8, values: vec![1], generation: None };
        assert_eq!(held.check(&foreign), Ok(()));
        held.take(&foreign);
        held.take(&SenderIds::default());
        assert!(held.generations.is_empty());
    }
}
