//! A group as operators see it: all times as this server's clock shows them.

use super::Group;
use crate::coop::CoopStatus;
use crate::endpoint::Instant;
use crate::event::GroupName;
use crate::policy::{Acl, Identity, SendMode, Transform};
use crate::server::clock::{GroupClock, GroupTime};
use crate::server::config::{Authorization, RekeyConfig};
use crate::server::keys::GroupKek;
use crate::server::members::Record;
use crate::server::rekeying::AckCounters;
use crate::server::terms::{Retransmit, Transport};
use crate::status::{KekStatus, TekRole, TekStatus};
use std::net::IpAddr;
use std::time::Duration;

/// A key server and its groups.
#[derive(Clone, Debug)]
pub struct KeyServerStatus {
    /// Who it says it is.
    pub identity: Identity,
    /// Phase 1 exchanges that are not finished.
    pub half_open: usize,
    /// ISAKMP SAs with members.
    pub established: usize,
    /// ISAKMP SAs with cooperating key servers, each server once.
    pub links: usize,
    /// Datagrams that changed nothing.
    pub rejected: u64,
    /// Its groups.
    pub groups: Vec<GroupStatus>,
}

/// A group on its key server.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupName,
    /// How its traffic is protected.
    pub transform: Transform,
    /// The anti-replay window of a new TEK, packets; 0 is none.
    pub replay_window: u16,
    /// The life of a new TEK.
    pub tek_lifetime: Duration,
    /// Which traffic is protected.
    pub acl: Acl,
    /// What members do when they send.
    pub mode: SendMode,
    /// Who may register.
    pub authorization: Authorization,
    /// The traffic keys that live, the one that ends first before the others.
    pub teks: Vec<TekStatus>,
    /// The rekey SA.
    pub kek: Option<KekStatus>,
    /// Who has registered.
    pub members: Vec<MemberRecord>,
    /// Who was removed and may not come back.
    pub revoked: Vec<IpAddr>,
    /// Members that were forgotten, because nothing was heard of them until all their keys had ended.
    pub forgotten: u64,
    /// Requests refused.
    pub refused: u64,
    /// The sender IDs.
    pub sids: SidStatus,
    /// Rekeying, where the group has a rekey SA.
    pub rekey: Option<RekeyStatus>,
    /// How this server stands with those that share the group, if there are others.
    pub coop: Option<CoopStatus>,
}

/// What became of a group's sender IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidStatus {
    /// How many bits each has.
    pub bits: u16,
    /// A new generation begins when they are used up.
    pub generation: u32,
    /// How many were given out in this one, as far as this server knows.
    pub given: u32,
    /// How many there are for the servers of the group.
    pub of: u32,
}

/// How a group is rekeyed.
#[derive(Clone, Debug)]
pub struct RekeyStatus {
    /// How messages reach the members.
    pub transport: Transport,
    /// When they are sent again.
    pub retransmit: Retransmit,
    /// Rekeys made.
    pub rekeys: u64,
    /// When the last one was.
    pub last: Option<Instant>,
    /// When new keys are due.
    pub next: Option<Instant>,
    /// When the keys of now are sent once more.
    pub reminder: Option<Instant>,
    /// Members that have not acknowledged the one under way.
    pub waiting_for: usize,
    /// Messages sent for the one under way.
    pub transmissions: u64,
    /// Acknowledgements by what became of them.
    pub acks: AckCounters,
}

/// A member that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its address.
    pub address: IpAddr,
    /// The UDP port from which it registered.
    pub port: u16,
    /// The identity that it proved.
    pub identity: Identity,
    /// The key server that it registered with; None where there are no others.
    pub owner: Option<IpAddr>,
    /// When it came first.
    pub first_registered: Instant,
    /// When it came last.
    pub last_registered: Instant,
    /// How often it came.
    pub registrations: u64,
    /// Whether it runs this implementation.
    pub ours: bool,
    /// Whether it takes messages in fragments.
    pub fragments: bool,
    /// Rekey messages that it acknowledged.
    pub rekeys_acknowledged: u64,
    /// Rekey messages in a row that it did not acknowledge.
    pub rekeys_missed: u32,
    /// When it acknowledged last.
    pub last_acknowledged: Option<Instant>,
}

impl Group {
    pub(in crate::server) fn status(&self, now: Instant) -> GroupStatus {
        let (time, clock, state) = (self.ledger.time(now), self.ledger.clock(), self.ledger.state());
        let rekey = self.config.rekey.as_ref().map(RekeyConfig::terms);
        let kek = rekey.as_ref().zip(state.keys.kek.as_ref());
        let kek_status = |(rekey, kek): (_, &GroupKek)| {
            KekStatus::of(&self.kek_of(rekey, kek, time), clock.local(kek.expires))
        };
        GroupStatus {
            group: self.name(),
            transform: self.config.transform,
            replay_window: self.config.replay_window,
            tek_lifetime: self.config.tek_lifetime,
            acl: self.config.acl.clone(),
            mode: self.config.mode,
            authorization: self.config.authorization.clone(),
            teks: self.tek_status(time),
            kek: kek.map(kek_status),
            members: self.ledger.members().records().map(|record| shown(record, clock)).collect(),
            revoked: state.revoked.iter().copied().collect(),
            forgotten: self.ledger.members().forgotten(),
            refused: self.refused,
            sids: self.sid_status(),
            rekey: self.config.rekey.as_ref().map(|rekey| self.rekey_status(rekey)),
            coop: self.standing.status(state.lineage, time, now),
        }
    }

    /// A server that does not lead knows when keys are due, too.
    fn rekey_status(&self, rekey: &RekeyConfig) -> RekeyStatus {
        let next = Some(self.tek_due()).into_iter().chain(self.kek_due()).min();
        let local = |time: GroupTime| self.ledger.clock().local(time);
        RekeyStatus {
            transport: rekey.transport,
            retransmit: rekey.retransmit,
            rekeys: self.ledger.state().rekeys,
            last: self.ledger.state().last_rekey.map(local),
            next: next.map(local),
            reminder: self.reminder_due().map(local),
            waiting_for: self.rekeying.waiting_for(),
            transmissions: self.rekeying.transmissions(),
            acks: self.rekeying.acks(),
        }
    }

    /// Members send with the TEK that ends first until shortly before its end.
    fn tek_status(&self, now: GroupTime) -> Vec<TekStatus> {
        let live = self.keys().teks.iter().filter(|tek| tek.expires > now);
        let role = |index| if index == 0 { TekRole::Sending } else { TekRole::Receiving };
        live.enumerate()
            .map(|(index, tek)| TekStatus {
                spi: tek.spi,
                transform: tek.transform,
                replay_window: tek.senders.map_or(0, |terms| terms.replay_window),
                expires: self.ledger.clock().local(tek.expires),
                role: role(index),
            })
            .collect()
    }
}

fn shown(record: &Record, clock: &GroupClock) -> MemberRecord {
    let record = record.clone();
    MemberRecord {
        address: record.address,
        port: record.port,
        identity: record.identity,
        owner: record.owner,
        first_registered: clock.local(record.first_registered),
        last_registered: clock.local(record.last_registered),
        registrations: record.registrations,
        ours: record.ours,
        fragments: record.fragments,
        rekeys_acknowledged: record.rekeys_acknowledged,
        rekeys_missed: record.rekeys_missed,
        last_acknowledged: record.last_acknowledged.map(|time| clock.local(time)),
    }
}
