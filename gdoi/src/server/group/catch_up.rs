//! Members that are behind: they have keys that were replaced, and are told of those of now.
//!
//! Who registers while new keys are being committed gets the old ones, which all others still send with; who asked just
//! before gets what it was offered, if that is still of use. Both belong to the distribution under way. Who does not
//! acknowledge in all rounds is told again until the TEKs that it knows have ended.

use super::rekey_message::{Earlier, Plan};
use super::Group;
use crate::error::{Error, Unacceptable};
use crate::group::GroupPolicy;
use crate::server::clock::GroupTime;
use crate::server::distribution::Receiver;
use crate::server::held::{Held, KekTag};
use crate::server::keys::{GroupKek, Succession};
use crate::server::rekeying::{Audience, Concluded};
use crate::server::terms::Transport;
use std::net::IpAddr;

impl Group {
    /// Whether a member may be given what it was offered a moment ago: what all members may have, or keys that gave way
    /// smoothly since, of which it will be told.
    ///
    /// # Errors
    /// [`Unacceptable::KeysChanged`].
    pub(in crate::server) fn check_offer(&self, offered: &GroupPolicy) -> Result<(), Unacceptable> {
        let held = Held::offered(offered);
        if held == Held::of(self.standing.released()) {
            return Ok(());
        }
        let lives = self.keys().teks.iter().any(|tek| tek.spi == held.tek);
        let smooth = |kek: &&GroupKek| kek.succession == Succession::Smooth;
        let tellable = self.keks().filter(smooth).any(|kek| KekTag::of(kek.spi) == held.kek);
        match lives && (tellable || offered.kek.is_none()) {
            true => Ok(()),
            false => Err(Unacceptable::KeysChanged),
        }
    }

    fn keks(&self) -> impl Iterator<Item = &GroupKek> {
        self.keys().kek.iter().chain(&self.keys().previous_keks)
    }

    /// A member was given keys, here or by another server. Where they are not those of now it is told.
    pub(super) fn welcome(&mut self, member: IpAddr, now: GroupTime) {
        if !self.leads() {
            return;
        }
        if self.ledger.state().revoked.contains(&member) {
            return self.ledger.amend_members().forget(member);
        }
        let newest = Held::of(self.keys());
        match self.ledger.members().record(member).map(|record| record.held == newest) {
            Some(true) => self.rekeying.has_caught_up(member),
            Some(false) if !self.rekeying.is_inherited() => self.tell_late(member, now),
            // It is told with all others.
            Some(false) | None => {}
        }
    }

    fn tell_late(&mut self, member: IpAddr, now: GroupTime) {
        let keks: Vec<_> = self.keks().cloned().collect();
        let Some(record) = self.ledger.members().record(member) else { return };
        let held = record.held.kek;
        let receiver = Receiver { keks: vec![held], ..self.receiver(record, &keks) };
        let tags: Vec<_> = keks.iter().map(|kek| KekTag::of(kek.spi)).collect();
        let unicast = self.config.rekey.as_ref().is_some_and(|rekey| rekey.transport == Transport::Unicast);
        match tags.contains(&held) {
            true => self.rekeying.join(receiver, now),
            // It has answered another server since it registered, which alone knows what it has now.
            false if unicast && !tags.is_empty() => {
                self.rekeying.join_unknown(Receiver { keks: tags, ..receiver }, now);
            }
            false => {}
        }
    }

    /// Tells those that are behind of the keys of now.
    pub(super) fn catch_up(&mut self, now: GroupTime) -> Result<(), Error> {
        let Some(behind) = self.still_behind() else {
            self.rekeying.give_up_on_those_behind();
            return Ok(());
        };
        let teks = self.keys().teks.clone();
        let plan = Plan {
            // Nobody answers by multicast: who has the KEK of now has heard of it.
            under: self.keys().kek.as_ref().map(|kek| kek.spi).filter(|_| !behind.is_empty()),
            teks: self.keys().as_of(now),
            activation_delay: Some(self.reminded_switch(&teks, now)),
            earlier: if behind.is_empty() { Earlier::Anew } else { Earlier::AnewWithList },
            ..Plan::default()
        };
        self.distribute(plan, Audience::Behind(behind), now)
    }

    /// Those behind that can be told; None if there are none, empty if it may be anybody.
    fn still_behind(&self) -> Option<Vec<Receiver>> {
        let ended = |kek: &GroupKek| kek.succession == Succession::Ended;
        let earlier = &self.keys().previous_keks;
        let Some(behind) = self.rekeying.behind() else {
            let of_use = |kek: &GroupKek| ended(kek) || !self.ledger.members().is_empty();
            return earlier.iter().any(of_use).then(Vec::new);
        };
        let (newest, keks) = (Held::of(self.keys()), self.keks().cloned().collect::<Vec<_>>());
        let over: Vec<_> = earlier.iter().filter(|kek| ended(kek)).map(|kek| KekTag::of(kek.spi)).collect();
        let told_now = |receiver: &Receiver| match self.ledger.members().record(receiver.to.ip()) {
            Some(record) if record.held == newest => Vec::new(),
            Some(record) => self.receiver(record, &keks).keks,
            // Who is no member any more is told that its KEK is over, and no keys.
            None => receiver.keks.iter().copied().filter(|kek| over.contains(kek)).collect(),
        };
        let receivers = behind.map(|receiver| Receiver { keks: told_now(receiver), ..*receiver });
        let behind: Vec<_> = receivers.filter(|receiver| !receiver.keks.is_empty()).collect();
        (!behind.is_empty()).then_some(behind)
    }

    /// A message to members came to its end. Who did not acknowledge it and may have an earlier KEK is behind: with that of
    /// now it will hear of the next rekey, or register again in time. Other software acknowledges nothing.
    pub(super) fn fall_behind(&mut self, mut over: Concluded, now: GroupTime) {
        let Some(rekey) = &self.config.rekey else { return };
        let earlier = &self.keys().previous_keks;
        let members = self.ledger.members();
        over.members.retain(|receiver| match members.record(receiver.to.ip()) {
            Some(record) => record.ours && !self.receiver(record, earlier).keks.is_empty(),
            None => earlier.iter().any(|kek| receiver.keks.contains(&KekTag::of(kek.spi))),
        });
        if !over.members.is_empty() || over.blind && !earlier.is_empty() {
            self.rekeying.fall_behind(&over, rekey.retransmit, now);
        }
    }
}
