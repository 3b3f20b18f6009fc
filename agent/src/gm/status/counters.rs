//! What the kernel holds and has counted.

use crate::clock::Timestamp;
use crate::gm::dataplane::DataPlane;
use crate::gm::desired::Guarded;
use crate::report::{DataplaneReport, GroupLabel, PlaneEntry, Protection, StateEntry, StateSummary, Traffic};
use gdoi::endpoint::Instant;
use xfrm::{Counters, Direction, Family, Lane, PlaneCounters, Slot, StateCounters};

/// The answer to `show gm dataplane`.
///
/// # Errors
/// The kernel does not say.
pub fn dataplane(dataplane: &mut DataPlane, now: Instant) -> Result<DataplaneReport, String> {
    let counters = dataplane.counters().map_err(|error| error.to_string())?;
    let rows = dataplane.groups().iter().zip(dataplane.protections(now));
    Ok(DataplaneReport {
        generated_at: Timestamp::now(),
        planes: rows.flat_map(|(group, protection)| planes(group, protection, &counters)).collect(),
        xfrm_errors: counters.errors.clone(),
        error: dataplane.error().map(str::to_owned),
        problems: dataplane.problems().to_vec(),
    })
}

fn planes(group: &Guarded, protection: Protection, counters: &Counters) -> Vec<PlaneEntry> {
    let plane = |slot: Slot, interface: String| {
        let states: Vec<_> = counters.states.iter().filter(|state| state.slot == slot).collect();
        PlaneEntry {
            group: GroupLabel::from(&group.settings.group),
            interface,
            protection,
            inbound_anchors: Family::ALL.map(|family| slot.inbound_anchor(family).to_string()).into(),
            outbound_anchors: Lane::OF_FAMILIES
                .map(|(family, lane)| slot.outbound_anchor(family, lane).to_string())
                .into(),
            traffic: counters.planes.iter().find(|plane| plane.slot == slot).map(traffic),
            inbound: summary(&states, Direction::Inbound),
            outbound: summary(&states, Direction::Outbound),
            states: states.into_iter().map(state).collect(),
        }
    };
    group.places().map(|(slot, interface)| plane(slot, interface.to_string())).collect()
}

fn traffic(plane: &PlaneCounters) -> Traffic {
    Traffic {
        encrypted_packets: plane.encrypted.packets,
        encrypted_octets: plane.encrypted.bytes,
        decrypted_packets: plane.decrypted.packets,
        decrypted_octets: plane.decrypted.bytes,
        blocked_out_packets: plane.blocked_out.packets,
        blocked_in_packets: plane.blocked_in.packets,
        bypassed_packets: plane.bypassed.packets,
        oversize_packets: plane.oversize.packets,
        unknown_sender_packets: plane.unknown_sender.packets,
        unrestored_packets: plane.unrestored.packets,
    }
}

fn summary(states: &[&StateCounters], direction: Direction) -> StateSummary {
    let directed = states.iter().filter(|state| state.direction == direction);
    directed.fold(StateSummary::default(), |sum, state| StateSummary {
        states: sum.states + 1,
        packets: sum.packets + state.count.packets,
        octets: sum.octets + state.count.bytes,
        integrity_failures: sum.integrity_failures + u64::from(state.integrity_failures),
        replayed: sum.replayed + u64::from(state.replayed),
    })
}

fn state(state: &StateCounters) -> StateEntry {
    StateEntry {
        direction: match state.direction {
            Direction::Inbound => "inbound".into(),
            Direction::Outbound => "outbound".into(),
        },
        spi: state.spi.to_string(),
        packets: state.count.packets,
        octets: state.count.bytes,
        integrity_failures: state.integrity_failures.into(),
        replayed: state.replayed.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfrm::{Count, Spi};

    #[test]
    fn states_of_one_direction_are_summed_up() {
        let state = |direction, packets, integrity_failures| StateCounters {
            slot: Slot::new(0).unwrap(),
            family: Family::V4,
            direction,
            replayed: 5,
            spi: Spi(7),
            count: Count { packets, bytes: packets * 100 },
            integrity_failures,
        };
        let states = [
            state(Direction::Inbound, 1, 1),
            state(Direction::Outbound, 4, 0),
            state(Direction::Inbound, 2, 2),
        ];
        let inbound = summary(&states.iter().collect::<Vec<_>>(), Direction::Inbound);
        assert_eq!(
            inbound,
            StateSummary { states: 2, packets: 3, octets: 300, integrity_failures: 3, replayed: 10 }
        );
    }
}
