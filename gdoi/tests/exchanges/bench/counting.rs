//! What each member sent with, and whether that was gone in between: the data plane forgets what ended, and a state that is
//! added again counts its packets from 1.

use super::fleet::member_address;
use super::World;
use gdoi::policy::{Sid, Spi, TekKeys};
use gdoi::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub struct Counting {
    /// By member, SPI and sender IDs that it sent with: the keys, and whether the SPI has left its view since.
    used: BTreeMap<(u16, Spi, Vec<Sid>), (TekKeys, bool)>,
    /// Who sent again with what had gone.
    pub again: Vec<(Instant, u16, Spi)>,
}

impl Counting {
    /// Looks at members 1 to `members`.
    pub fn look(&mut self, world: &World, members: u16) {
        for number in 1..=members {
            let view = world.told(member_address(number));
            for ((member, spi, _), (_, gone)) in &mut self.used {
                let inbound = view.inbound.iter().any(|sa| sa.spi == *spi);
                let held = inbound || view.outbound.as_ref().is_some_and(|sa| sa.spi == *spi);
                *gone |= *member == number && !held;
            }
            let Some(sa) = view.outbound.clone().filter(|sa| sa.transform.is_per_sender()) else { continue };
            let name = (number, sa.spi, view.sids.clone());
            let before = self.used.entry(name).or_insert((sa.keys.clone(), false));
            if before.1 && before.0 == sa.keys {
                self.again.push((world.now, number, sa.spi));
            }
            *before = (sa.keys, false);
        }
    }

    /// Looks after every event of this span.
    pub fn run(&mut self, world: &mut World, span: Duration, members: u16) {
        let end = world.now + span;
        while world.step(end) {
            self.look(world, members);
        }
        self.look(world, members);
    }
}
