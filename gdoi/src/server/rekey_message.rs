//! What a rekey message says, and to whom.

use super::config::RekeyConfig;
use super::distribution::{Distribution, Message};
use super::group::Group;
use super::keys::GroupKek;
use super::rekey::Plan;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::group::{AclDigest, AclNotice, Deletion, GroupPolicy};
use crate::push::{emit, PushContent};

impl Group {
    /// One content, encrypted and signed once for each KEK that members may have: nearly always one.
    pub(super) fn distribute(
        &mut self,
        protecting: &[GroupKek],
        plan: Plan,
        now: Instant,
    ) -> Result<(), Error> {
        self.part_with_foreigners(&plan.teks);
        let digest = AclDigest::of(&self.config.acl);
        if self.members.is_empty() {
            self.state.told = Some(digest);
            // Nobody has the KEKs before: who comes now gets the one of now.
            self.state.keys.set_previous(Vec::new());
        }
        let nobody = protecting.is_empty() || self.members.is_empty();
        let Some(rekey) = self.config.rekey.as_ref().filter(|_| !nobody) else { return Ok(()) };
        let messages = protecting.iter().map(|kek| self.message(rekey, kek, &plan, now));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let (transport, retransmit) = (rekey.transport, rekey.retransmit);
        let members = self.members.addresses();
        for Message { kek_spi, sequence, .. } in &messages {
            self.state.keys.used(*kek_spi, *sequence);
            self.events.push(KeyServerEvent::RekeySent {
                group: self.name(),
                transport,
                sequence: *sequence,
                members: members.len(),
                teks: plan.teks.iter().map(|tek| tek.spi).collect(),
            });
        }
        let to = members.into_iter();
        self.distribution = Some(Distribution::new(messages, digest, transport, retransmit, to));
        self.state.rekeys = self.state.rekeys.saturating_add(1);
        self.state.last_rekey = Some(now);
        self.state.under_way = true;
        self.mark_changed();
        Ok(())
    }

    fn message(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: Instant,
    ) -> Result<Message, Error> {
        let sequence = self.next_sequence(self.state.keys.used_under(protecting.spi));
        let ends_kek = plan.ends_kek.then_some(Deletion::Kek);
        let deletions: Vec<_> = plan.deletions.iter().copied().chain(ends_kek).collect();
        let policy = self.policy_of(rekey, protecting, plan, now);
        let content = PushContent { sequence, deletions: &deletions, policy: policy.as_ref() };
        let payload = emit(&self.kek_of(&rekey.terms(), protecting, now), &rekey.signing_key, &content)?;
        Ok(Message { kek_spi: protecting.spi, sequence, payload })
    }

    /// Each server has numbers of its own, so that none is used twice even by servers that do not hear each other.
    fn next_sequence(&self, last: u32) -> u32 {
        let next = last.saturating_add(1);
        let Some(coop) = &self.coop else { return next };
        let (slot, slots) = coop.slot();
        next.saturating_add((slot + slots - next % slots) % slots)
    }

    fn policy_of(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: Instant,
    ) -> Option<GroupPolicy> {
        if plan.teks.is_empty() && plan.kek.is_none() {
            return None;
        }
        // Members that got their KEK from servers that began apart have another time.
        let timed = self.members.are_all_ours() && protecting.lineage == self.state.lineage;
        Some(GroupPolicy {
            acl: self.notice(),
            mode: self.config.mode,
            teks: plan.teks.clone(),
            kek: plan.kek.as_ref().map(|kek| self.kek_of(&rekey.terms(), kek, now)),
            activation_delay: plan.activation_delay,
            deactivation_delay: plan.deactivation_delay,
            pseudotime: timed.then(|| now.as_millis()),
        })
    }

    /// The whole list goes out only where members may have another.
    fn notice(&self) -> AclNotice {
        let (acl, digest) = (&self.config.acl, AclDigest::of(&self.config.acl));
        match (self.members.are_all_ours(), self.state.told == Some(digest)) {
            (false, _) => AclNotice::Selectors(acl.clone()),
            (true, true) => AclNotice::Digest(digest),
            (true, false) => AclNotice::List(acl.clone()),
        }
    }
}
