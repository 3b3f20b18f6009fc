//! What `gdoictl show ks` and its parts are told.

use crate::clock::Timestamp;
use crate::report::{
    GroupLabel, KekEntry, KeyServerGroup, KeyServerPolicies, KeyServerPolicy, KeyServerReport, MemberEntry,
    MemberList, MembersReport, TekEntry,
};
use gdoi::endpoint::Instant;
use gdoi::{GroupStatus, KeyServerStatus, MemberRecord};
use std::net::SocketAddrV4;

/// The answer to `show ks`.
pub fn overview(status: &KeyServerStatus, address: SocketAddrV4, now: Instant) -> KeyServerReport {
    KeyServerReport {
        generated_at: Timestamp::now(),
        address: address.to_string(),
        identity: status.identity.to_string(),
        half_open: status.half_open,
        established: status.established,
        rejected: status.rejected,
        groups: status.groups.iter().map(|group| summary(group, now)).collect(),
    }
}

fn summary(group: &GroupStatus, now: Instant) -> KeyServerGroup {
    KeyServerGroup {
        group: GroupLabel::from(&group.group),
        members: group.members.len(),
        refused: group.refused,
        acl_entries: group.acl.entries().len(),
        transform: group.transform.to_string(),
        teks: teks(group, now),
        kek: kek(group, now),
    }
}

fn teks(group: &GroupStatus, now: Instant) -> Vec<TekEntry> {
    group.teks.iter().map(|tek| TekEntry::new(tek, now)).collect()
}

fn kek(group: &GroupStatus, now: Instant) -> Option<KekEntry> {
    group.kek.as_ref().map(|kek| KekEntry::new(kek, now))
}

/// The answer to `show ks members`.
pub fn members(status: &KeyServerStatus, now: Instant) -> MembersReport {
    let list = |group: &GroupStatus| MemberList {
        group: GroupLabel::from(&group.group),
        members: group.members.iter().map(|member| entry(member, now)).collect(),
    };
    MembersReport { generated_at: Timestamp::now(), groups: status.groups.iter().map(list).collect() }
}

fn entry(member: &MemberRecord, now: Instant) -> MemberEntry {
    MemberEntry {
        address: member.address.to_string(),
        identity: member.identity.to_string(),
        first_registered_at: Timestamp::at(member.first_registered, now),
        last_registered_at: Timestamp::at(member.last_registered, now),
        registrations: member.registrations,
        same_software: member.ours,
    }
}

/// The answer to `show ks policy`.
pub fn policies(status: &KeyServerStatus, now: Instant) -> KeyServerPolicies {
    let groups = status.groups.iter().map(|group| policy(group, now)).collect();
    KeyServerPolicies { generated_at: Timestamp::now(), groups }
}

fn policy(group: &GroupStatus, now: Instant) -> KeyServerPolicy {
    KeyServerPolicy {
        group: GroupLabel::from(&group.group),
        transform: group.transform.to_string(),
        tek_lifetime_seconds: group.tek_lifetime.as_secs(),
        acl: group.acl.entries().iter().map(ToString::to_string).collect(),
        authorized_addresses: group.authorization.addresses.iter().map(ToString::to_string).collect(),
        authorized_identities: group.authorization.identities.iter().map(ToString::to_string).collect(),
        teks: teks(group, now),
        kek: kek(group, now),
    }
}
