//! What a rekey message says, and to whom.

use super::Group;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::group::{AclDigest, AclNotice, Deletion, GroupPolicy, Kek, Tek};
use crate::push::{emit, PushContent, SignedLength};
use crate::server::clock::GroupTime;
use crate::server::config::RekeyConfig;
use crate::server::distribution::{Distribution, Message};
use crate::server::keys::GroupKek;
use std::time::Duration;

/// What a message carries besides its number.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) deletions: Vec<Deletion>,
    /// Whether it ends the KEK that it is under.
    pub(super) ends_kek: bool,
    pub(super) teks: Vec<Tek>,
    pub(super) activation_delay: Option<Duration>,
    pub(super) deactivation_delay: Option<Duration>,
    /// The new KEK that goes with it.
    pub(super) kek: Option<GroupKek>,
}

impl Group {
    /// One content, encrypted and signed once for each KEK that members may have: nearly always one.
    pub(super) fn distribute(
        &mut self,
        protecting: &[GroupKek],
        plan: Plan,
        now: GroupTime,
    ) -> Result<(), Error> {
        self.part_with_foreigners(&plan.teks);
        let digest = AclDigest::of(&self.config.acl);
        if self.ledger.members().is_empty() {
            let state = self.ledger.amend_state();
            state.told = Some(digest);
            // Nobody has the KEKs before: who comes now gets the one of now.
            state.keys.set_previous(Vec::new());
        }
        let nobody = protecting.is_empty() || self.ledger.members().is_empty();
        let Some(rekey) = self.config.rekey.as_ref().filter(|_| !nobody) else { return Ok(()) };
        // Each server has numbers of its own, so that none is used twice even by servers that do not hear each other.
        let messages =
            protecting.iter().map(|kek| self.message(rekey, (kek, self.next_sequence(kek)), &plan, now));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let members = self.ledger.members().addresses();
        let events = messages.iter().map(|message| self.sent(rekey, message, members.len(), &plan));
        let events: Vec<_> = events.collect();
        let state = self.ledger.amend_state();
        for Message { kek_spi, sequence, .. } in &messages {
            state.keys.used(*kek_spi, *sequence);
        }
        state.rekeys = state.rekeys.saturating_add(1);
        state.last_rekey = Some(now);
        state.under_way = true;
        let (transport, retransmit) = (rekey.transport, rekey.retransmit);
        self.rekeying.begin(Distribution::new(messages, digest, transport, retransmit, members.into_iter()));
        self.outbox.events.extend(events);
        Ok(())
    }

    fn sent(&self, rekey: &RekeyConfig, message: &Message, members: usize, plan: &Plan) -> KeyServerEvent {
        KeyServerEvent::RekeySent {
            group: self.name(),
            transport: rekey.transport,
            sequence: message.sequence,
            members,
            teks: plan.teks.iter().map(|tek| tek.spi).collect(),
        }
    }

    fn message(
        &self,
        rekey: &RekeyConfig,
        (protecting, sequence): (&GroupKek, u32),
        plan: &Plan,
        now: GroupTime,
    ) -> Result<Message, Error> {
        let ends_kek = plan.ends_kek.then_some(Deletion::Kek(protecting.spi));
        let deletions: Vec<_> = plan.deletions.iter().copied().chain(ends_kek).collect();
        let policy = self.policy_of(rekey, protecting, plan, now);
        let signed_length = match self.ledger.members().are_all_ours() {
            true => SignedLength::Padded,
            false => rekey.signed_length,
        };
        let content = PushContent { sequence, deletions: &deletions, policy: policy.as_ref(), signed_length };
        let payload = emit(&self.kek_of(&rekey.terms(), protecting, now), &rekey.signing_key, &content)?;
        Ok(Message { kek_spi: protecting.spi, sequence, payload })
    }

    fn policy_of(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: GroupTime,
    ) -> Option<GroupPolicy> {
        if plan.teks.is_empty() && plan.kek.is_none() {
            return None;
        }
        // Members that got their KEK from servers that began apart have another time.
        let ours = self.ledger.members().are_all_ours();
        // What asks for acknowledgements is for our own members only; where there are others ours go by their registration.
        let told = |kek: Kek| Kek { ack: kek.ack.filter(|_| ours), ..kek };
        let timed = ours && protecting.lineage == self.ledger.state().lineage;
        Some(GroupPolicy {
            acl: self.notice(),
            mode: self.config.mode,
            teks: plan.teks.clone(),
            kek: plan.kek.as_ref().map(|kek| told(self.kek_of(&rekey.terms(), kek, now))),
            activation_delay: plan.activation_delay,
            deactivation_delay: plan.deactivation_delay,
            pseudotime: timed.then(|| now.as_millis()),
        })
    }

    /// The whole list goes out only where members may have another.
    fn notice(&self) -> AclNotice {
        let (acl, digest) = (&self.config.acl, AclDigest::of(&self.config.acl));
        match (self.ledger.members().are_all_ours(), self.ledger.state().told == Some(digest)) {
            (false, _) => AclNotice::Selectors(acl.clone()),
            (true, true) => AclNotice::Digest(digest),
            (true, false) => AclNotice::List(acl.clone()),
        }
    }
}
