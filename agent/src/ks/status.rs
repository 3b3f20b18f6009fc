//! What `gdoictl show ks` and its parts are told.

use super::keeper::{Durability, Keeper};
use super::reload::OwnSettings;
use crate::clock::Timestamp;
use crate::report::{
    GroupLabel, KekEntry, KeyServerAcl, KeyServerAcls, KeyServerGroup, KeyServerPolicies, KeyServerPolicy,
    KeyServerRekey, KeyServerRekeys, KeyServerReport, MemberEntry, MemberList, MembersReport, RekeyEntry,
    RekeyTransport, SenderIdEntry, TekEntry,
};
use gdoi::endpoint::Instant;
use gdoi::{GroupStatus, KeyServerStatus, MemberRecord, RekeyStatus, Transport};
use std::net::SocketAddr;

/// The answer to `show ks`.
pub fn overview(
    status: &KeyServerStatus,
    address: SocketAddr,
    keeper: &Keeper,
    now: Instant,
) -> KeyServerReport {
    KeyServerReport {
        generated_at: Timestamp::now(),
        address: address.to_string(),
        identity: status.identity.to_string(),
        half_open: status.half_open,
        established: status.established,
        links: status.links,
        rejected: status.rejected,
        state_file: keeper.place(),
        state_durable: keeper.durability() == Durability::Durable,
        groups: status.groups.iter().map(|group| summary(group, now)).collect(),
    }
}

fn summary(group: &GroupStatus, now: Instant) -> KeyServerGroup {
    KeyServerGroup {
        group: GroupLabel::from(&group.group),
        role: group.coop.as_ref().map(|coop| coop.role.into()),
        primary: group.coop.as_ref().and_then(|coop| coop.primary).map(|primary| primary.to_string()),
        members: group.members.len(),
        forgotten: group.forgotten,
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
        removed: group.revoked.iter().map(ToString::to_string).collect(),
    };
    MembersReport { generated_at: Timestamp::now(), groups: status.groups.iter().map(list).collect() }
}

fn entry(member: &MemberRecord, now: Instant) -> MemberEntry {
    MemberEntry {
        address: member.address.to_string(),
        identity: member.identity.to_string(),
        key_server: member.owner.map(|owner| owner.to_string()),
        first_registered_at: Timestamp::at(member.first_registered, now),
        last_registered_at: Timestamp::at(member.last_registered, now),
        registrations: member.registrations,
        rekeys_acknowledged: member.rekeys_acknowledged,
        rekeys_missed: member.rekeys_missed,
        last_acknowledged_at: member.last_acknowledged.map(|moment| Timestamp::at(moment, now)),
        same_software: member.ours,
    }
}

/// The answer to `show ks acl`.
pub fn acls(status: &KeyServerStatus) -> KeyServerAcls {
    let list = |group: &GroupStatus| KeyServerAcl {
        group: GroupLabel::from(&group.group),
        acl: entries(group),
        sending: group.mode.into(),
    };
    KeyServerAcls { generated_at: Timestamp::now(), groups: status.groups.iter().map(list).collect() }
}

fn entries(group: &GroupStatus) -> Vec<String> {
    group.acl.entries().iter().map(ToString::to_string).collect()
}

/// The answer to `show ks policy`.
pub fn policies(status: &KeyServerStatus, own: &OwnSettings, now: Instant) -> KeyServerPolicies {
    let policy = |group: &GroupStatus| policy(group, own.signing_key(group.group.id), now);
    KeyServerPolicies { generated_at: Timestamp::now(), groups: status.groups.iter().map(policy).collect() }
}

fn policy(group: &GroupStatus, signing_key: Option<String>, now: Instant) -> KeyServerPolicy {
    KeyServerPolicy {
        group: GroupLabel::from(&group.group),
        transform: group.transform.to_string(),
        replay_window: group.replay_window,
        sender_ids: SenderIdEntry {
            bits: group.sids.bits,
            generation: group.sids.generation,
            used: group.sids.given,
            of: group.sids.of,
        },
        signing_key,
        tek_lifetime_seconds: group.tek_lifetime.as_secs(),
        acl: entries(group),
        sending: group.mode.into(),
        authorized_addresses: group.authorization.addresses.iter().map(ToString::to_string).collect(),
        authorized_identities: group.authorization.identities.iter().map(ToString::to_string).collect(),
        teks: teks(group, now),
        kek: kek(group, now),
    }
}

/// The answer to `show ks rekey`.
pub fn rekeys(status: &KeyServerStatus, now: Instant) -> KeyServerRekeys {
    let group = |group: &GroupStatus| KeyServerRekey {
        group: GroupLabel::from(&group.group),
        members: group.members.len(),
        kek: kek(group, now),
        rekey: group.rekey.as_ref().map(|rekey| rekey_entry(rekey, now)),
    };
    KeyServerRekeys { generated_at: Timestamp::now(), groups: status.groups.iter().map(group).collect() }
}

fn rekey_entry(rekey: &RekeyStatus, now: Instant) -> RekeyEntry {
    let moment = |instant: Option<Instant>| instant.map(|instant| Timestamp::at(instant, now));
    RekeyEntry {
        transport: match rekey.transport {
            Transport::Unicast => RekeyTransport::Unicast,
            Transport::Multicast(group) => RekeyTransport::Multicast(group.to_string()),
        },
        retransmit_interval_seconds: rekey.retransmit.interval.as_secs(),
        retransmit_number: rekey.retransmit.number,
        rekeys: rekey.rekeys,
        last_at: moment(rekey.last),
        next_at: moment(rekey.next),
        reminder_at: moment(rekey.reminder),
        waiting_for: rekey.waiting_for,
        transmissions: rekey.transmissions,
        acks: rekey.acks,
    }
}
