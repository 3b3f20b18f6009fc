//! What else on the router eats packets of the groups.

use super::DataPlane;
use crate::clock::Timestamp;
use crate::events::{Event, Journal, Severity};
use crate::gm::desired::Guarded;
use crate::report::{Obstacle, ObstaclePlace};
use gdoi::endpoint::Instant;
use xfrm::{Finding, Obstacles, Reading, Slot};

/// What is known of it.
#[derive(Debug, Default)]
pub struct Standing {
    judge: Obstacles,
    found: Vec<(Slot, Obstacle)>,
}

impl DataPlane {
    /// Of each group, in the configuration's order.
    pub fn obstacles(&self) -> Vec<Vec<Obstacle>> {
        let of_group = |group: &Guarded| {
            let own = self.standing.found.iter().filter(|(slot, _)| group.slots.contains(slot));
            own.map(|(_, obstacle)| obstacle.clone()).collect()
        };
        self.groups.iter().map(of_group).collect()
    }

    /// Judges what was read; tells what is new, and what is over.
    pub(super) fn watch_out(&mut self, reading: &Reading, now: Instant, journal: &mut Journal) {
        let findings = self.standing.judge.judge(reading);
        let found: Vec<_> = findings.iter().filter_map(|finding| self.obstacle(finding)).collect();
        let before = std::mem::take(&mut self.standing.found);
        let has = |all: &[(Slot, Obstacle)], one: &(Slot, Obstacle)| {
            all.iter().any(|(slot, other)| (*slot, other.place) == (one.0, one.1.place))
        };
        for new in found.iter().filter(|one| !has(&before, one)) {
            self.tell(dropped(&new.1), new.0, now, journal);
        }
        let watched = |slot: &Slot| reading.counters.planes.iter().any(|plane| plane.slot == *slot);
        for over in before.iter().filter(|one| watched(&one.0) && !has(&found, one)) {
            self.tell(passes(&over.1), over.0, now, journal);
        }
        let since = |one: (Slot, Obstacle)| {
            let known = before.iter().find(|(slot, other)| (*slot, other.place) == (one.0, one.1.place));
            let since = known.map_or(one.1.since, |(_, other)| other.since);
            (one.0, Obstacle { since, ..one.1 })
        };
        self.standing.found = found.into_iter().map(since).collect();
    }

    fn obstacle(&self, finding: &Finding) -> Option<(Slot, Obstacle)> {
        let mut places = self.groups.iter().flat_map(Guarded::places);
        let (slot, interface) = places.find(|(slot, _)| *slot == finding.slot)?;
        let link = self.links.of(slot, interface);
        let obstacle = Obstacle {
            interface: link.map_or(interface.to_string(), |link| link.name.clone()),
            place: place(finding.obstacle),
            lost_packets: finding.lost,
            of_packets: finding.of,
            since: Timestamp::now(),
        };
        Some((slot, obstacle))
    }

    fn tell(&self, event: Event, slot: Slot, now: Instant, journal: &mut Journal) {
        if let Some(group) = self.groups.iter().find(|group| group.slots.contains(&slot)) {
            journal.record(event.of_group(&group.settings.group.name), now);
        }
    }
}

fn dropped(obstacle: &Obstacle) -> Event {
    let severity = if obstacle.place.may_be_meant() { Severity::Warning } else { Severity::Error };
    Event::new(severity, "GM_TRAFFIC_DROPPED", obstacle.text())
}

fn passes(obstacle: &Obstacle) -> Event {
    let message = format!("Packets pass again where they were dropped: {}", obstacle.label());
    Event::new(Severity::Notice, "GM_TRAFFIC_PASSES", message)
}

fn place(obstacle: xfrm::Obstacle) -> ObstaclePlace {
    match obstacle {
        xfrm::Obstacle::PreroutingRaw => ObstaclePlace::PreroutingRaw,
        xfrm::Obstacle::Prerouting => ObstaclePlace::Prerouting,
        xfrm::Obstacle::ReversePath => ObstaclePlace::ReversePath,
        xfrm::Obstacle::Routing => ObstaclePlace::Routing,
        xfrm::Obstacle::Input => ObstaclePlace::Input,
        xfrm::Obstacle::PreroutingDecrypted => ObstaclePlace::PreroutingDecrypted,
        xfrm::Obstacle::Policy => ObstaclePlace::Policy,
        xfrm::Obstacle::Forwarding => ObstaclePlace::Forwarding,
        xfrm::Obstacle::Forward => ObstaclePlace::Forward,
        xfrm::Obstacle::DisableXfrm => ObstaclePlace::DisableXfrm,
        xfrm::Obstacle::PostroutingClear => ObstaclePlace::PostroutingClear,
        xfrm::Obstacle::Output => ObstaclePlace::Output,
        xfrm::Obstacle::Postrouting => ObstaclePlace::Postrouting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_may_want_is_a_warning_and_the_rest_an_error() {
        let obstacle = |place| Obstacle {
            interface: "wan0".into(),
            place,
            lost_packets: 40,
            of_packets: 40,
            since: Timestamp::now(),
        };
        for (place, severity) in
            [(ObstaclePlace::Input, Severity::Error), (ObstaclePlace::Forward, Severity::Warning)]
        {
            let event = dropped(&obstacle(place));
            assert_eq!((event.severity, event.name.as_str()), (severity, "GM_TRAFFIC_DROPPED"));
        }
        let event = passes(&obstacle(ObstaclePlace::Input));
        assert_eq!(event.severity, Severity::Notice);
        assert!(event.message.ends_with("dropped: wan0, hook input drops ESP"), "{event:?}");
    }
}
