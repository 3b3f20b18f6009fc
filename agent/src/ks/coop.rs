//! What `gdoictl show ks coop` is told.

use super::reload::OwnSettings;
use crate::clock::Timestamp;
use crate::fingerprint::hex;
use crate::report::{
    CoopEntry, CoopGroup, CoopPeerEntry, CoopRefusalCounts, CoopReport, GroupLabel, PeerState,
};
use gdoi::coop::{CoopPeerStatus, CoopRefusals, CoopStatus, Preemption};
use gdoi::endpoint::Instant;
use gdoi::{GroupStatus, KeyServerStatus};

/// The answer to `show ks coop`.
pub fn report(status: &KeyServerStatus, own: &OwnSettings, now: Instant) -> CoopReport {
    let group = |group: &GroupStatus| CoopGroup {
        group: GroupLabel::from(&group.group),
        redundancy: group.coop.as_ref().map(|coop| entry(coop, own.signing_key(group.group.id), now)),
    };
    CoopReport { generated_at: Timestamp::now(), groups: status.groups.iter().map(group).collect() }
}

fn entry(coop: &CoopStatus, signing_key: Option<String>, now: Instant) -> CoopEntry {
    let redundancy = &coop.redundancy;
    let hold_down = match redundancy.preemption {
        Preemption::After(hold_down) => Some(hold_down.as_secs()),
        Preemption::Never => None,
    };
    CoopEntry {
        role: coop.role.into(),
        primary: coop.primary.map(|primary| primary.to_string()),
        epoch: coop.epoch,
        local_priority: redundancy.priority,
        preempt: hold_down.is_some(),
        hold_down_seconds: hold_down,
        resigned: coop.resigned,
        pseudotime_seconds: coop.pseudotime / 1_000,
        committing: coop.committing,
        registrations_blocked: coop.blocked,
        elections: coop.elections,
        announcement_interval_seconds: redundancy.interval.as_secs(),
        dead_after: redundancy.dead_after,
        configuration: hex(&coop.configuration),
        signing_key,
        peers: coop.peers.iter().map(|peer| peer_entry(peer, now)).collect(),
    }
}

fn peer_entry(peer: &CoopPeerStatus, now: Instant) -> CoopPeerEntry {
    let CoopRefusals { too_new, too_old, other } = peer.refused;
    CoopPeerEntry {
        address: peer.address.to_string(),
        state: state(peer),
        linked: peer.linked,
        last_heard_at: peer.last_heard.map(|heard| Timestamp::at(heard, now)),
        role: peer.said.map(|said| said.role.into()),
        priority: peer.said.map(|said| said.priority),
        epoch: peer.said.map(|said| said.epoch),
        in_step: peer.said.map(|said| said.in_step),
        configured_alike: peer.said.map(|said| said.configured_alike),
        members: peer.said.map(|said| said.members),
        sent: peer.sent,
        received: peer.received,
        refused: CoopRefusalCounts { too_new, too_old, other },
    }
}

const fn state(peer: &CoopPeerStatus) -> PeerState {
    match (peer.alive, peer.last_heard) {
        (true, _) => PeerState::Alive,
        (false, Some(_)) => PeerState::Dead,
        (false, None) => PeerState::NeverHeard,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{coop, group, own_settings, peer, status};
    use super::*;
    use crate::report::CoopRole;
    use gdoi::coop::Role;
    use std::time::Duration;

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn reported(coop: Option<CoopStatus>) -> Option<CoopEntry> {
        let report = report(&status(vec![group("corp", coop)]), &own_settings(), NOW);
        report.groups.into_iter().next().unwrap().redundancy
    }

    #[test]
    fn a_group_of_one_server_has_no_redundancy() {
        assert_eq!(reported(None), None);
    }

    #[test]
    fn all_that_is_known_is_reported() {
        let entry = reported(Some(coop(Role::Yielding, Some(10)))).unwrap();
        assert_eq!((entry.role, entry.primary.as_deref()), (CoopRole::Yielding, Some("192.0.2.10")));
        assert_eq!((entry.epoch, entry.local_priority, entry.dead_after), (5, 100, 3));
        assert_eq!((entry.preempt, entry.hold_down_seconds), (true, Some(10)));
        assert_eq!((entry.pseudotime_seconds, entry.announcement_interval_seconds), (7_200, 1));
        assert_eq!((entry.registrations_blocked, entry.elections), (4, 2));
        assert_eq!(entry.configuration, "0f".repeat(16));
        assert_eq!(entry.signing_key, None, "the group has no rekey SA here");
    }

    #[test]
    fn who_never_takes_the_role_has_no_hold_down() {
        let mut coop = coop(Role::Secondary, None);
        coop.redundancy.preemption = Preemption::Never;
        let entry = reported(Some(coop)).unwrap();
        assert_eq!((entry.preempt, entry.hold_down_seconds, entry.primary), (false, None, None));
    }

    #[test]
    fn a_peer_is_alive_dead_or_was_never_heard() {
        let mut coop = coop(Role::Secondary, Some(11));
        let mut dead = peer(12);
        (dead.alive, dead.linked) = (false, false);
        let mut strange = peer(13);
        (strange.alive, strange.last_heard, strange.said) = (false, None, None);
        coop.peers = vec![peer(11), dead, strange];
        let peers = reported(Some(coop)).unwrap().peers;
        let states: Vec<_> = peers.iter().map(|peer| peer.state).collect();
        assert_eq!(states, [PeerState::Alive, PeerState::Dead, PeerState::NeverHeard]);
        assert_eq!((peers[1].role, peers[1].members), (Some(CoopRole::Secondary), Some(12)));
        assert_eq!((peers[2].role, peers[2].last_heard_at, peers[2].in_step), (None, None, None));
        assert_eq!((peers[0].sent, peers[0].received), (30, 29));
        assert_eq!(peers[0].refused, CoopRefusalCounts { too_new: 1, too_old: 2, other: 3 });
        let heard = peers[0].last_heard_at.unwrap();
        let now = Timestamp::at(NOW, NOW);
        assert!((1..=3).contains(&now.seconds_after(heard)), "{heard} {now}");
        assert_eq!(Duration::from_secs(2), NOW.saturating_since(peer(11).last_heard.unwrap()));
    }
}
