//! How long the kernel keeps states that no agent looks after.

use std::time::Duration;

use super::{gone_is_fine, refused, Kernel};
use crate::message;
use crate::model::Slot;
use crate::object::{wall, HeldState, Life};
use crate::Error;

/// What became of states that shall end soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortened {
    /// How many the kernel keeps so long, or ends before by itself.
    pub kept: usize,
    /// How many could not be bounded and were removed.
    pub removed: usize,
}

impl Kernel {
    /// Lets no state live longer than so long from now: for a time without an agent, in which all goes on as it is. What
    /// cannot be bounded is removed. Traffic of states that have ended is blocked.
    ///
    /// # Errors
    /// The kernel does not tell what it has, or does not remove what it should.
    pub fn shorten(&mut self, limit: Duration) -> Result<Shortened, Error> {
        let mut shortened = Shortened::default();
        let now = wall();
        for held in self.held_states()? {
            let done = match held.life.shortened(now, limit) {
                None => true,
                Some(life) => self.set_life(&held, life),
            };
            match done {
                true => shortened.kept += 1,
                false => {
                    gone_is_fine(message::remove_state(&mut self.xfrm, held.id))
                        .map_err(|error| Error::Refused(format!("remove {}", held.id), error))?;
                    shortened.removed += 1;
                }
            }
        }
        Ok(shortened)
    }

    /// Gives the states of these planes the lives back that they had before [`Self::shorten`]. Answers how many could not
    /// have them.
    ///
    /// # Errors
    /// The kernel does not tell what it has.
    pub fn restore(&mut self, slots: &[Slot]) -> Result<usize, Error> {
        let mut failed = 0;
        for held in self.held_states()?.iter().filter(|held| slots.contains(&held.id.slot)) {
            let done = held.life.restored().is_none_or(|life| self.set_life(held, life));
            failed += usize::from(!done);
        }
        Ok(failed)
    }

    fn held_states(&mut self) -> Result<Vec<HeldState>, Error> {
        let states = message::states(&mut self.xfrm).map_err(refused("the list of states"))?;
        Ok(states.into_iter().map(|(held, _)| held).collect())
    }

    fn set_life(&mut self, held: &HeldState, life: Life) -> bool {
        let set = held.content.as_ref().map(|state| message::set_life(&mut self.xfrm, state, life));
        matches!(set, Some(Ok(())))
    }
}
