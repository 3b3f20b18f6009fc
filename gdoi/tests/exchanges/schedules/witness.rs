//! No number of a rekey message is used twice, and no key that was not stored.

use super::Schedule;
use crate::bench::alliance::address;
use crate::bench::stored::{Stored, StoredKek};
use gdoi::crypto::Secret;
use gdoi::wire::ExchangeType;
use gdoi::Transmit;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What was ever sent under each number of each KEK.
pub(super) type Sent = Rc<RefCell<BTreeMap<([u8; 16], u32), Vec<u8>>>>;

impl Schedule {
    /// Every rekey message of a server is looked at.
    pub(super) fn watch(&mut self, number: u8) {
        let (sent, seed) = (self.sent.clone(), self.seed);
        let mut keks = BTreeMap::<[u8; 16], StoredKek>::new();
        let witness = move |transmit: &Transmit, stored: Option<&Secret>| {
            let exchange = transmit.payload.get(18).copied().map(ExchangeType);
            if !matches!(exchange, Some(ExchangeType::GROUPKEY_PUSH | ExchangeType::COOP)) {
                return;
            }
            let Some(stored) = stored.map(Stored::all) else { return };
            let known = stored.into_iter().flat_map(|(_, stored, _)| stored.keks);
            keks.extend(known.map(|kek| (kek.spi, kek)));
            if exchange != Some(ExchangeType::GROUPKEY_PUSH) {
                return;
            }
            let kek = keks.iter().find(|(spi, _)| transmit.payload.starts_with(&spi[..]));
            let (_, kek) = kek.unwrap_or_else(|| panic!("seed {seed}: server {number}: the KEK was stored"));
            let push = kek.open(&transmit.payload);
            assert!(
                push.sequence <= kek.sequence,
                "seed {seed}: server {number}: number {} is stored, not {}",
                push.sequence,
                kek.sequence
            );
            let old = sent.borrow_mut().insert((kek.spi, push.sequence), transmit.payload.clone());
            assert!(
                old.is_none_or(|old| old == transmit.payload),
                "seed {seed}: number {} twice under one KEK",
                push.sequence
            );
        };
        self.world.watch_server(address(number), Box::new(witness));
    }
}
