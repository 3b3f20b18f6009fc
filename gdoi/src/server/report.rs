//! A group as operators see it: all times as this server's clock shows them.

use super::config::RekeyConfig;
use super::distribution::Distribution;
use super::group::Group;
use crate::endpoint::Instant;
use crate::status::{GroupStatus, KekStatus, MemberRecord, RekeyStatus, TekRole, TekStatus};

impl Group {
    pub(super) fn status(&self, now: Instant) -> GroupStatus {
        let time = self.clock.time(now);
        let rekey = self.config.rekey.as_ref().map(RekeyConfig::terms);
        let kek = rekey.as_ref().zip(self.state.keys.kek.as_ref());
        let kek_status = |(rekey, kek): (_, &super::keys::GroupKek)| {
            KekStatus::of(&self.kek_of(rekey, kek, time), self.clock.local(kek.expires))
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
            members: self.members.records().map(|record| self.on_local_clock(record)).collect(),
            revoked: self.state.revoked.iter().copied().collect(),
            refused: self.refused,
            sids: self.sid_status(),
            rekey: self.config.rekey.as_ref().map(|rekey| self.rekey_status(rekey)),
            coop: self.coop.as_ref().map(|coop| coop.status(self.state.lineage, time, now)),
        }
    }

    fn on_local_clock(&self, record: &MemberRecord) -> MemberRecord {
        MemberRecord {
            first_registered: self.clock.local(record.first_registered),
            last_registered: self.clock.local(record.last_registered),
            last_acknowledged: record.last_acknowledged.map(|time| self.clock.local(time)),
            ..record.clone()
        }
    }

    /// A server that does not lead knows when keys are due, too.
    fn rekey_status(&self, rekey: &RekeyConfig) -> RekeyStatus {
        let next = Some(self.state.keys.tek_due(self.tek_life())).into_iter().chain(self.kek_due()).min();
        let local = |time: Instant| self.clock.local(time);
        RekeyStatus {
            transport: rekey.transport,
            retransmit: rekey.retransmit,
            rekeys: self.state.rekeys,
            last: self.state.last_rekey.map(local),
            next: next.map(local),
            reminder: self.reminder_due().map(local),
            waiting_for: self.distribution.as_ref().map_or(0, |under_way| under_way.silent().len()),
            transmissions: self.distribution.as_ref().map_or(0, Distribution::transmissions),
            acks: self.acks,
        }
    }

    /// Members send with the TEK that ends first until shortly before its end.
    fn tek_status(&self, now: Instant) -> Vec<TekStatus> {
        let live = self.state.keys.teks.iter().filter(|tek| tek.expires > now);
        let role = |index| if index == 0 { TekRole::Sending } else { TekRole::Receiving };
        live.enumerate()
            .map(|(index, tek)| TekStatus {
                spi: tek.spi,
                transform: tek.transform,
                replay_window: tek.senders.map_or(0, |terms| terms.replay_window),
                expires: self.clock.local(tek.expires),
                role: role(index),
            })
            .collect()
    }
}
