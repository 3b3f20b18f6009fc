//! The senders that were heard, of groups in which every sender has its own key: what is received with.
//!
//! A state for each of them is in the kernel. Others are met when their first packet waits in the kernel's queue.

use gdoi::policy::{Sid, Spi};
use gdoi::{Sa, SenderSa, View};
use std::collections::{BTreeMap, BTreeSet};
use xfrm::{Family, Slot};

/// Senders that are received under one key on one plane: each is a state in the kernel, and any member can pose as all
/// that a key can have.
const MOST: usize = 8_192;

/// All senders that were heard, by plane, family and the base of the SPIs of the key.
#[derive(Debug, Default)]
pub struct Senders {
    heard: BTreeMap<(Slot, Family, Spi), BTreeMap<Sid, SenderSa>>,
}

/// A state that receives, as the kernel holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// Its plane.
    pub slot: Slot,
    /// Its family.
    pub family: Family,
    /// Its SPI.
    pub spi: Spi,
    /// What it has received.
    pub packets: u64,
}

/// More than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Senders {
    /// Whether the plane has keys that came or went since it was looked after.
    pub fn lag(&self, slot: Slot, view: &View) -> bool {
        let known: BTreeSet<Spi> =
            self.heard.keys().filter(|(of, ..)| *of == slot).map(|(.., base)| *base).collect();
        known != per_sender(view).map(|sa| sa.spi).collect()
    }

    /// Follows the keys of a plane. Under a new key everybody is received whom the kernel heard under another, so that
    /// nobody's first packet under it has to wait; who was silent is not carried on. States under the key itself were
    /// left by an earlier run of the daemon and stay.
    pub fn follow(&mut self, slot: Slot, view: &View, held: &[Receiving]) {
        let keys: Vec<_> = per_sender(view).collect();
        let is_key = |base: Spi| keys.iter().any(|sa| sa.spi == base);
        self.heard.retain(|(of, _, base), _| *of != slot || is_key(*base));
        for family in Family::ALL {
            let here = |state: &&Receiving| {
                (state.slot, state.family) == (slot, family) && is_key(state.spi.block())
            };
            let here: Vec<_> = held.iter().filter(here).collect();
            for sa in &keys {
                self.heard.entry((slot, family, sa.spi)).or_insert_with(|| carried(sa, &here));
            }
        }
    }

    /// Receives one more sender.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn admit(&mut self, slot: Slot, family: Family, base: Spi, sender: SenderSa) -> Result<(), TooMany> {
        let here = self.heard.entry((slot, family, base)).or_default();
        if here.len() >= MOST {
            return Err(TooMany);
        }
        here.insert(sender.spi.sid(), sender);
        Ok(())
    }

    /// Who is received under this key.
    pub fn under(&self, slot: Slot, family: Family, base: Spi) -> impl Iterator<Item = &SenderSa> {
        self.heard.get(&(slot, family, base)).into_iter().flat_map(BTreeMap::values)
    }
}

fn per_sender(view: &View) -> impl Iterator<Item = &Sa> {
    view.inbound.iter().filter(|sa| sa.transform.is_per_sender())
}

fn carried(sa: &Sa, held: &[&Receiving]) -> BTreeMap<Sid, SenderSa> {
    let counts = held.iter().filter(|state| state.packets > 0 || state.spi.block() == sa.spi);
    let sids: BTreeSet<Sid> = counts.map(|state| state.spi.sid()).collect();
    sids.into_iter().take(MOST).filter_map(|sid| Some((sid, sa.sender(sid)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::crypto::Secret;
    use gdoi::endpoint::Instant;
    use gdoi::policy::{GroupId, Seed, TekKeys, Transform};

    fn key(base: u32) -> Sa {
        Sa {
            spi: Spi(base),
            transform: Transform::default(),
            keys: TekKeys::PerSender(Seed::new(Secret::new(vec![1; Seed::LEN])).unwrap()),
            expires: Instant::from_millis(60_000),
            replay_window: 1024,
            group: GroupId(100),
        }
    }

    fn view(bases: &[u32]) -> View {
        View { registered: true, inbound: bases.iter().copied().map(key).collect(), ..View::default() }
    }

    fn slot(number: u8) -> Slot {
        Slot::new(number).unwrap()
    }

    fn receiving(number: u8, spi: u32, packets: u64) -> Receiving {
        Receiving { slot: slot(number), family: Family::V4, spi: Spi(spi), packets }
    }

    fn spis(senders: &Senders, base: u32) -> Vec<u32> {
        senders.under(slot(0), Family::V4, Spi(base)).map(|sender| sender.spi.0).collect()
    }

    #[test]
    fn a_new_key_receives_whom_the_old_one_heard() {
        let mut senders = Senders::default();
        senders.follow(slot(0), &view(&[0x0010_0000]), &[]);
        for sid in [5, 6] {
            let sender = key(0x0010_0000).sender(Sid(sid)).unwrap();
            senders.admit(slot(0), Family::V4, Spi(0x0010_0000), sender).unwrap();
        }
        let both = view(&[0x0010_0000, 0x0020_0000]);
        assert!(senders.lag(slot(0), &both) && !senders.lag(slot(0), &view(&[0x0010_0000])));
        let held = [receiving(0, 0x0010_0005, 9), receiving(0, 0x0010_0006, 0), receiving(1, 0x0010_0007, 9)];
        senders.follow(slot(0), &both, &held);
        assert_eq!(spis(&senders, 0x0010_0000), [0x0010_0005, 0x0010_0006], "they live as long as their key");
        assert_eq!(spis(&senders, 0x0020_0000), [0x0020_0005], "who was silent is met again");
        senders.follow(slot(0), &view(&[0x0020_0000]), &held);
        assert_eq!((spis(&senders, 0x0010_0000), spis(&senders, 0x0020_0000)), (vec![], vec![0x0020_0005]));
    }

    #[test]
    fn what_an_earlier_run_left_stays() {
        let mut senders = Senders::default();
        let held = [receiving(0, 0x0010_0005, 0), receiving(0, 0x0030_0007, 3)];
        senders.follow(slot(0), &view(&[0x0010_0000]), &held);
        assert_eq!(
            spis(&senders, 0x0010_0000),
            [0x0010_0005],
            "and no SPI of a key that is no key of the group"
        );
    }

    #[test]
    fn one_member_cannot_fill_the_kernel() {
        let (mut senders, base) = (Senders::default(), Spi(0x0010_0000));
        let sender =
            |sid| SenderSa { spi: base.of_sender(Sid(sid)).unwrap(), ..key(base.0).sender(Sid(0)).unwrap() };
        for sid in 0..MOST as u32 {
            senders.admit(slot(0), Family::V6, base, sender(sid)).unwrap();
        }
        assert_eq!(senders.admit(slot(0), Family::V6, base, sender(MOST as u32)), Err(TooMany));
        assert_eq!(senders.admit(slot(1), Family::V6, base, sender(0)), Ok(()));
    }
}
