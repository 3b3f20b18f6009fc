//! Who has registered, and how they answer to rekey messages.

use crate::endpoint::Instant;
use crate::phase1::IsakmpSa;
use crate::status::MemberRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const MAX_MEMBERS: usize = 16_384;

/// After so many rekeys without an answer a member gets no more of them, if it ever answered.
const SILENT_REKEYS: u32 = 3;

/// The members of a group by address.
#[derive(Default)]
pub(super) struct Members {
    records: BTreeMap<IpAddr, MemberRecord>,
    /// Who was removed and must not come back.
    revoked: BTreeSet<IpAddr>,
}

impl Members {
    pub(super) fn restore(records: Vec<MemberRecord>, revoked: Vec<IpAddr>) -> Self {
        let records = records.into_iter().map(|record| (record.address, record)).collect();
        Members { records, revoked: revoked.into_iter().collect() }
    }

    /// Whether there is no room for a member that is not known.
    pub(super) fn is_full_for(&self, address: IpAddr) -> bool {
        self.records.len() >= MAX_MEMBERS && !self.records.contains_key(&address)
    }

    pub(super) fn is_revoked(&self, address: IpAddr) -> bool {
        self.revoked.contains(&address)
    }

    /// A member has proved to be alive.
    pub(super) fn register(&mut self, from: SocketAddr, sa: &IsakmpSa, now: Instant) {
        let record = self.records.entry(from.ip()).or_insert_with(|| MemberRecord {
            address: from.ip(),
            port: from.port(),
            identity: sa.peer.clone(),
            owner: None,
            first_registered: now,
            last_registered: now,
            registrations: 0,
            ours: sa.ours,
            rekeys_acknowledged: 0,
            rekeys_missed: 0,
            last_acknowledged: None,
        });
        record.port = from.port();
        record.last_registered = now;
        record.registrations += 1;
        record.identity = sa.peer.clone();
        record.ours = sa.ours;
        record.rekeys_missed = 0;
    }

    pub(super) fn acknowledged(&mut self, member: IpAddr, now: Instant) {
        if let Some(record) = self.records.get_mut(&member) {
            record.rekeys_acknowledged += 1;
            record.rekeys_missed = 0;
            record.last_acknowledged = Some(now);
        }
    }

    /// A member did not answer; whether it is dropped over it.
    pub(super) fn missed(&mut self, member: IpAddr) -> bool {
        let Some(record) = self.records.get_mut(&member) else { return false };
        record.rekeys_missed += 1;
        // Not before its first acknowledgement: it may be one that cannot give any (RFC 8263 section 6).
        let dropped = record.rekeys_missed >= SILENT_REKEYS && record.rekeys_acknowledged > 0;
        if dropped {
            self.records.remove(&member);
        }
        dropped
    }

    pub(super) fn forget(&mut self, member: IpAddr) {
        self.records.remove(&member);
    }

    pub(super) fn forget_all(&mut self) {
        self.records.clear();
    }

    pub(super) fn revoke(&mut self, member: IpAddr) {
        self.revoked.insert(member);
    }

    /// Whether it was revoked.
    pub(super) fn readmit(&mut self, member: IpAddr) -> bool {
        self.revoked.remove(&member)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.records.values().map(|record| SocketAddr::new(record.address, record.port)).collect()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &MemberRecord> {
        self.records.values()
    }

    pub(super) fn revoked(&self) -> impl Iterator<Item = &IpAddr> {
        self.revoked.iter()
    }

    /// Whether private attributes may go to all of them.
    pub(super) fn are_all_ours(&self) -> bool {
        self.records.values().all(|record| record.ours)
    }
}
