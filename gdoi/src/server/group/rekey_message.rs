//! What a rekey message says, and to whom.

use super::Group;
use crate::error::{Error, Refused};
use crate::event::KeyServerEvent;
use crate::group::{AclDigest, AclNotice, Deletion, GroupPolicy, Kek, Tek};
use crate::policy::Spi;
use crate::push::{emit, PushContent, SignedLength};
use crate::server::clock::GroupTime;
use crate::server::config::RekeyConfig;
use crate::server::distribution::{Distribution, Message, Receiver};
use crate::server::held::{Conveyed, KekTag};
use crate::server::keys::{GroupKek, Succession};
use crate::server::members::Record;
use crate::server::rekeying::Audience;
use crate::server::terms::Transport;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// What a message carries besides its number.
#[derive(Clone, Default)]
pub(super) struct Plan {
    /// The KEK that members have who missed nothing.
    pub(super) under: Option<[u8; 16]>,
    pub(super) deletions: Vec<Deletion>,
    /// Whether it ends the KEK that it is under.
    pub(super) ends_kek: bool,
    pub(super) teks: Vec<Tek>,
    pub(super) activation_delay: Option<Duration>,
    pub(super) deactivation_delay: Option<Duration>,
    /// The new KEK that goes with it.
    pub(super) kek: Option<GroupKek>,
    /// What is said under KEKs before.
    pub(super) earlier: Earlier,
    /// Which TEKs may be named under a KEK: those that its holders may have; None where that is all.
    pub(super) nameable: Option<Nameable>,
}

/// The SPIs of KEKs, and of the TEKs that were given out under each.
pub(super) type Nameable = BTreeSet<([u8; 16], Spi)>;

impl Plan {
    /// Without the TEKs that holders of this KEK must not be told.
    fn told_under(&self, kek: [u8; 16]) -> Plan {
        let mut plan = self.clone();
        if let Some(nameable) = &self.nameable {
            plan.teks.retain(|tek| nameable.contains(&(kek, tek.spi)));
        }
        plan
    }
}

/// What is said to those that have an earlier KEK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Earlier {
    /// They missed what all others know: all TEKs that live instead of what they have, the first of which they send with.
    #[default]
    Anew,
    /// The same as to the others, and the KEK: nobody knows whether anybody has heard of it.
    Alike,
    /// They missed it long ago, and perhaps another list: that as well.
    AnewWithList,
}

impl Group {
    /// One content, encrypted and signed once for each KEK that somebody may need it under: nearly always one.
    pub(super) fn distribute(&mut self, plan: Plan, audience: Audience, now: GroupTime) -> Result<(), Error> {
        self.part_with_foreigners(&plan.teks);
        let digest = AclDigest::of(&self.config.acl);
        let members = self.ledger.members();
        self.rekeying.forget_all_but(|member| members.record(member).is_some());
        if self.ledger.members().is_empty() && audience == Audience::All {
            self.ledger.amend_state().told = Some(digest);
            return Ok(());
        }
        let addressed = self.addressed(&plan);
        let (rekey, receivers) = match &audience {
            Audience::All => (self.config.rekey.as_ref(), self.receivers(&addressed)),
            Audience::Behind(receivers) => {
                (addressed.first().and_then(|kek| self.rekey_under(kek.spi)), receivers.clone())
            }
        };
        let Some(rekey) = rekey.filter(|_| !addressed.is_empty()) else { return Ok(()) };
        let transport = match &audience {
            Audience::Behind(receivers) if !receivers.is_empty() => Transport::Unicast,
            _ => rekey.transport,
        };
        let retransmit = rekey.retransmit;
        let needed = needed(transport, addressed, &receivers);
        if needed.is_empty() {
            return Ok(());
        }
        let messages = needed.iter().map(|kek| self.message(kek, &self.content(&plan, kek, now), now));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let told = messages.iter().map(|message| self.sent(transport, message, &receivers, &plan)).collect();
        let state = self.ledger.amend_state();
        for Message { kek_spi, sequence, .. } in &messages {
            state.keys.used(*kek_spi, *sequence);
        }
        state.under_way = true;
        if audience == Audience::All {
            state.rekeys = state.rekeys.saturating_add(1);
            state.last_rekey = Some(now);
        }
        let distribution = Distribution::new(messages, digest, transport, retransmit, receivers);
        self.report_rekey(told, &audience);
        self.rekeying.begin(distribution, &audience);
        Ok(())
    }

    /// The KEKs that members may have: those before, and that of now unless it was made for this message; the newest
    /// first.
    fn addressed(&self, plan: &Plan) -> Vec<GroupKek> {
        let now = self.keys().kek.iter().filter(|kek| plan.under == Some(kek.spi));
        now.chain(self.keys().previous_keks.iter().rev()).cloned().collect()
    }

    fn receivers(&self, keks: &[GroupKek]) -> Vec<Receiver> {
        self.ledger.members().records().map(|record| self.receiver(record, keks)).collect()
    }

    /// Which of these KEKs a member may have.
    pub(super) fn receiver(&self, record: &Record, keks: &[GroupKek]) -> Receiver {
        let tags = keks.iter().map(|kek| KekTag::of(kek.spi));
        let may_have = |tag: &KekTag| self.rekeying.may_have(record.address, record.held.kek, *tag);
        let to = SocketAddr::new(record.address, record.port);
        Receiver { to, keks: tags.filter(may_have).collect() }
    }

    /// What is said under one of the KEKs. No keys go under one that was ended: who was removed would read them. Its
    /// holders are told once more that it is over, and their TEKs with it, since which of those they know is not known.
    fn content(&self, plan: &Plan, kek: &GroupKek, now: GroupTime) -> Plan {
        let plan = plan.told_under(kek.spi);
        if plan.under == Some(kek.spi) {
            return plan;
        }
        if kek.succession == Succession::Ended {
            return Plan { deletions: vec![Deletion::AllTeks], ends_kek: true, ..Plan::default() };
        }
        if plan.ends_kek {
            return plan;
        }
        let anew = plan.earlier != Earlier::Alike;
        let mut content = Plan { kek: self.keys().kek.clone(), ..plan };
        if anew {
            content.teks = self.keys().as_of(now);
        }
        if anew || kek.succession == Succession::Abrupt {
            content.deletions = vec![Deletion::AllTeks];
        }
        content
    }

    fn sent(
        &self,
        transport: Transport,
        message: &Message,
        receivers: &[Receiver],
        plan: &Plan,
    ) -> KeyServerEvent {
        let tag = KekTag::of(message.kek_spi);
        let reads = |receiver: &&Receiver| receiver.keks.is_empty() || receiver.keks.contains(&tag);
        KeyServerEvent::RekeySent {
            group: self.name(),
            transport,
            sequence: message.sequence,
            members: match transport {
                Transport::Unicast => receivers.iter().filter(reads).count(),
                Transport::Multicast(_) => self.ledger.members().records().count(),
            },
            teks: plan.teks.iter().map(|tek| tek.spi).collect(),
        }
    }

    /// Of what those are told that are behind, operators hear the first time.
    fn report_rekey(&mut self, told: Vec<KeyServerEvent>, audience: &Audience) {
        if *audience == Audience::All || self.rekeying.is_first_repetition() {
            told.into_iter().for_each(|event| self.tell_when_committed(event));
        }
    }

    fn message(&self, protecting: &GroupKek, plan: &Plan, now: GroupTime) -> Result<Message, Error> {
        let rekey = self.rekey_under(protecting.spi).ok_or(Refused::NoRekeySa)?;
        // Each server has numbers of its own, so that none is used twice even by servers that do not hear each other.
        let sequence = self.next_sequence(protecting);
        let ends_kek = plan.ends_kek.then_some(Deletion::Kek(protecting.spi));
        let deletions: Vec<_> = plan.deletions.iter().copied().chain(ends_kek).collect();
        let policy = self.policy_of(rekey, protecting, plan, now);
        let signed_length = match self.ledger.members().are_all_ours() {
            true => SignedLength::Padded,
            false => rekey.signed_length,
        };
        let content = PushContent { sequence, deletions: &deletions, policy: policy.as_ref(), signed_length };
        let payload = emit(&self.kek_of(&rekey.terms(), protecting, now), &rekey.signing_key, &content)?;
        let conveys = Conveyed {
            // Who answers a message without a new KEK has the one that it is under, whatever was known of it before.
            kek: Some(KekTag::of(plan.kek.as_ref().unwrap_or(protecting).spi)).filter(|_| !plan.ends_kek),
            tek: plan.teks.last().map(|tek| tek.spi).filter(|_| !plan.ends_kek),
        };
        Ok(Message { kek_spi: protecting.spi, sequence, payload, conveys })
    }

    fn policy_of(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: GroupTime,
    ) -> Option<GroupPolicy> {
        let only_ends = plan.teks.is_empty() && plan.kek.is_none();
        // Members that got their KEK from servers that began apart have another time.
        let ours = self.ledger.members().are_all_ours();
        // What asks for acknowledgements is for our own members only; where there are others ours go by their registration.
        let told = |kek: Kek| Kek { ack: kek.ack.filter(|_| ours), ..kek };
        let timed = ours && protecting.lineage == self.ledger.state().lineage;
        // What only ends keys has the time as well, which tells it from what was said before a server went back to an older
        // state; other software is told what RFC 6407 can say.
        if only_ends && !timed {
            return None;
        }
        Some(GroupPolicy {
            acl: if only_ends { AclNotice::Selectors(self.config.acl.clone()) } else { self.notice(plan) },
            mode: self.config.mode,
            teks: plan.teks.clone(),
            kek: plan.kek.as_ref().map(|kek| told(self.kek_of(&rekey.terms(), kek, now))),
            activation_delay: plan.activation_delay,
            deactivation_delay: plan.deactivation_delay,
            pseudotime: timed.then(|| now.as_millis()),
        })
    }

    /// The whole list goes out only where members may have another.
    fn notice(&self, plan: &Plan) -> AclNotice {
        let (acl, digest) = (&self.config.acl, AclDigest::of(&self.config.acl));
        let told = self.ledger.state().told == Some(digest) && plan.earlier != Earlier::AnewWithList;
        match (self.ledger.members().are_all_ours(), told) {
            (false, _) => AclNotice::Selectors(acl.clone()),
            (true, true) => AclNotice::Digest(digest),
            (true, false) => AclNotice::List(acl.clone()),
        }
    }
}

/// Those of the KEKs under which somebody is to be told. By multicast that may be anybody.
fn needed(transport: Transport, keks: Vec<GroupKek>, receivers: &[Receiver]) -> Vec<GroupKek> {
    let blind = transport != Transport::Unicast;
    let all = blind || receivers.iter().any(|receiver| receiver.keks.is_empty());
    let read: BTreeSet<_> = receivers.iter().flat_map(|receiver| receiver.keks.iter().copied()).collect();
    keks.into_iter().filter(|kek| all || read.contains(&KekTag::of(kek.spi))).collect()
}
