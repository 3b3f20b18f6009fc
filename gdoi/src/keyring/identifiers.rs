//! The sender identifiers that a member holds: those of the generation before, too, while a TEK of it sends.

use crate::error::Misbehaved;
use crate::group::SenderIds;
use crate::policy::{Sid, SidGeneration};
use std::collections::BTreeSet;

/// The one that is used, and the one that comes or goes.
const GENERATIONS: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Identifiers(Vec<Generation>);

#[derive(Debug)]
struct Generation {
    name: SidGeneration,
    sids: Vec<Sid>,
    /// All that this member ever had: a key begins to count its packets anew with every state that uses it.
    had: BTreeSet<Sid>,
}

impl Identifiers {
    /// Whether a key server may give these.
    ///
    /// # Errors
    /// [`Misbehaved::SenderIdAgain`] for one that was used before.
    pub(super) fn check(&self, given: &SenderIds) -> Result<(), Misbehaved> {
        let known = given.generation.and_then(|name| self.get(name));
        let again =
            given.values.iter().find(|sid| known.is_some_and(|known| known.had.contains(&Sid(**sid))));
        again.map_or(Ok(()), |sid| Err(Misbehaved::SenderIdAgain(*sid)))
    }

    /// They take the place of those of the same generation at once.
    pub(super) fn take(&mut self, given: &SenderIds) {
        let Some(name) = given.generation.filter(|_| !given.values.is_empty()) else { return };
        let sids: Vec<_> = given.values.iter().copied().map(Sid).collect();
        let before = self.0.iter().position(|held| held.name == name).map(|index| self.0.remove(index));
        let mut had = before.map(|before| before.had).unwrap_or_default();
        had.extend(&sids);
        self.0.push(Generation { name, sids, had });
        if self.0.len() > GENERATIONS {
            self.0.remove(0);
        }
    }

    /// Those of a generation; none if there are none.
    pub(super) fn of(&self, name: SidGeneration) -> &[Sid] {
        self.get(name).map_or(&[], |held| &held.sids)
    }

    /// The generations of which there are any.
    pub(super) fn names(&self) -> impl Iterator<Item = SidGeneration> + '_ {
        self.0.iter().map(|held| held.name)
    }

    /// Those that came last.
    pub(super) fn newest(&self) -> Option<(SidGeneration, &[Sid])> {
        self.0.last().map(|held| (held.name, &held.sids[..]))
    }

    fn get(&self, name: SidGeneration) -> Option<&Generation> {
        self.0.iter().find(|held| held.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> SidGeneration {
        SidGeneration { lineage: [1; 8], number }
    }

    fn given(generation: u32, values: &[u32]) -> SenderIds {
        SenderIds { bits: 20, values: values.to_vec(), generation: Some(name(generation)) }
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
    fn those_of_another_implementation_have_no_generation() {
        let mut held = Identifiers::default();
        let foreign = SenderIds { bits: 8, values: vec![1], generation: None };
        assert_eq!(held.check(&foreign), Ok(()));
        held.take(&foreign);
        held.take(&SenderIds::default());
        assert!(held.0.is_empty());
    }
}
