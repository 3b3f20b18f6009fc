//! What `gdoictl show gm` and its parts are told.

mod counters;
mod lengths;

use super::dataplane::DataPlane;
use super::desired::Guarded;
use super::doors::Doors;
use crate::clock::Timestamp;
use crate::report::{
    AccessList, AclReport, GroupLabel, KekEntry, KeyOrigin, KeyWay, MemberGroup, MemberRekey, MemberRekeys,
    MemberReport, Protection, Registration, RekeyTransport, TekEntry,
};
use gdoi::endpoint::Instant;
use gdoi::{MemberStatus, RegistrationState};
use std::net::SocketAddr;

pub use counters::dataplane;

/// The answer to `show gm`.
pub fn overview(doors: &Doors, dataplane: &mut DataPlane, now: Instant) -> MemberReport {
    let seen = lengths::of_all(dataplane, now).into_iter().zip(dataplane.obstacles());
    let rows = doors.statuses(now).into_iter().zip(dataplane.groups());
    let rows = rows.zip(dataplane.protections(now)).zip(seen);
    MemberReport {
        generated_at: Timestamp::now(),
        groups: rows
            .map(|(((status, group), protection), (lengths, obstacles))| MemberGroup {
                lengths,
                obstacles,
                ..member_group(&status, group, protection, now)
            })
            .collect(),
        dataplane_error: dataplane.error().map(str::to_owned),
        dataplane_problems: doors.problems().into_iter().chain(dataplane.problems().to_vec()).collect(),
    }
}

fn member_group(status: &MemberStatus, group: &Guarded, protection: Protection, now: Instant) -> MemberGroup {
    let (registration, retries_at) = registration(status.registration, now);
    MemberGroup {
        group: GroupLabel::from(&status.group),
        registration,
        retries_at,
        server: status.server.to_string(),
        servers: status.servers.iter().map(ToString::to_string).collect(),
        registrations: status.registrations,
        failures: status.failures,
        last_failure: status.last_failure.clone(),
        reregisters_at: status.reregisters_at.map(|moment| Timestamp::at(moment, now)),
        keys_from: keys_from(status, now),
        rekeys: status.rekeys,
        rejected: status.rejected,
        kek: status.kek.as_ref().map(|kek| KekEntry::new(kek, now)),
        teks: status.teks.iter().map(|tek| TekEntry::new(tek, now)).collect(),
        sender_ids: status.sender_ids.iter().map(ToString::to_string).collect(),
        activation_delay_seconds: status.activation_delay.map(|delay| delay.as_secs()),
        deactivation_delay_seconds: status.deactivation_delay.map(|delay| delay.as_secs()),
        interfaces: group.settings.interfaces.iter().map(ToString::to_string).collect(),
        fail_close: group.settings.fail == crate::config::FailMode::Close,
        protection,
        detached: group.detached.clone(),
        lengths: Vec::new(),
        obstacles: Vec::new(),
    }
}

fn registration(state: RegistrationState, now: Instant) -> (Registration, Option<Timestamp>) {
    match state {
        RegistrationState::Registering => (Registration::Registering, None),
        // At no time: there is no address yet from which to register.
        RegistrationState::Waiting { until } if until == Instant::default() => (Registration::Waiting, None),
        RegistrationState::Waiting { until } => (Registration::Waiting, Some(Timestamp::at(until, now))),
        RegistrationState::Registered => (Registration::Registered, None),
        RegistrationState::Reregistering => (Registration::Reregistering, None),
        RegistrationState::Expired => (Registration::Expired, None),
    }
}

/// The later of the last registration and the last rekey message.
fn keys_from(status: &MemberStatus, now: Instant) -> Option<KeyOrigin> {
    let registration = status.last_registered.map(|at| (at, KeyWay::Registration));
    let rekey = status.last_rekey.map(|(at, _)| (at, KeyWay::Rekey));
    let (at, way) = registration.into_iter().chain(rekey).max_by_key(|(at, _)| *at)?;
    Some(KeyOrigin { way, at: Timestamp::at(at, now) })
}

/// The answer to `show gm rekey`.
pub fn rekeys(doors: &Doors, now: Instant) -> MemberRekeys {
    let groups = doors.statuses(now).iter().map(|status| member_rekey(status, now)).collect();
    MemberRekeys { generated_at: Timestamp::now(), groups }
}

fn member_rekey(status: &MemberStatus, now: Instant) -> MemberRekey {
    let transport = |group: Option<SocketAddr>| {
        group.map_or(RekeyTransport::Unicast, |group| RekeyTransport::Multicast(group.to_string()))
    };
    MemberRekey {
        group: GroupLabel::from(&status.group),
        kek: status.kek.as_ref().map(|kek| KekEntry::new(kek, now)),
        transport: status.kek.as_ref().map(|_| transport(status.rekey_group)),
        keys_from: keys_from(status, now),
        last_received_at: status.last_rekey.map(|(moment, _)| Timestamp::at(moment, now)),
        last_sequence: status.last_rekey.map(|(_, sequence)| sequence),
        reregisters_at: status.reregisters_at.map(|moment| Timestamp::at(moment, now)),
        counts: status.rekeys,
    }
}

/// The answer to `show gm acl`.
pub fn access_lists(doors: &Doors, dataplane: &DataPlane, now: Instant) -> AclReport {
    let list = |(status, group): (MemberStatus, &Guarded)| AccessList {
        group: GroupLabel::from(&status.group),
        local: group.settings.clear.iter().map(|selector| format!("deny {selector}")).collect(),
        downloaded: status.acl.entries().iter().map(ToString::to_string).collect(),
        sending: status.mode.into(),
    };
    let groups = doors.statuses(now).into_iter().zip(dataplane.groups()).map(list).collect();
    AclReport { generated_at: Timestamp::now(), groups }
}
