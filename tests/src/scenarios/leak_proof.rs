//! Faults without end, and never a clear packet.

use crate::cell::{Cell, Transform};
use crate::dice::Dice;
use crate::eventually::eventually_true;
use crate::fault::Fault;
use crate::machine;
use crate::outcome::{ensure, Outcome, Stop};
use crate::rekeying::{group, key_server_of, repetitions, Rekeyed, Transport};
use crate::scenario::Scenario;
use crate::site::Site;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "leak-proof",
    "random faults under streams: nothing is ever clear, and traffic comes back by itself",
    random_faults,
)];

/// One in so many faults comes before the group has recovered from the one before it.
const HASTY: usize = 4;
/// What a group is without a transform of its own: each sender has its own key, so that a lost sending state cannot come back.
const CELL: Cell = Cell { transform: Transform::AesGcm256, ..Cell::BASIC };

fn random_faults(site: &Site) -> Outcome {
    let (mut dice, faults) = (Dice::of_this_run(), repetitions("LAB_FAULTS", usual()));
    let config = key_server_of(site, Transport::Unicast, CELL)?;
    let mut members = Rekeyed::of(site, Transport::Unicast, config, CELL)?;
    let mut longest = Duration::ZERO;
    for number in 1..=faults {
        let fault = Fault::draw(&mut dice);
        let tell = |reason: Stop| Stop::Failed(format!("fault {number}, {fault:?}: {reason}"));
        fault.happen(site, &mut members, &mut dice).map_err(tell)?;
        let took = match dice.below(HASTY) {
            0 if number < faults => Duration::ZERO,
            _ => recovered(&members).map_err(tell)?,
        };
        println!("   {number}: {fault:?}, traffic of all pairs after {:.1} s", took.as_secs_f32());
        longest = longest.max(took);
        members.watch.none_clear().map_err(tell)?;
        none_anchored(&members).map_err(tell)?;
    }
    none_anchored(&members)?;
    let tallies = members.finish_lossy()?;
    println!(
        "   {faults} faults, all pairs again after {:.1} s at most; 0 clear, 0 to or from an anchor",
        longest.as_secs_f32()
    );
    println!("   {tallies}");
    Ok(())
}

fn usual() -> usize {
    if machine::emulated() {
        6
    } else {
        12
    }
}

/// Fails if a packet came into the core that shows an address which is for inside members only.
fn none_anchored(members: &Rekeyed) -> Outcome {
    let anchored = members.watch.anchors()?;
    ensure!(anchored == 0, "{anchored} packets to or from an anchor address in the core");
    Ok(())
}

/// Waits until every host hears every other one, which must be soon, and all members say that all is well, who tell of a
/// fight for a minute; how long the first took.
fn recovered(members: &Rekeyed) -> Outcome<Duration> {
    let (begin, mark) = (Instant::now(), members.streams.mark());
    let soon = machine::limit(Duration::from_secs(10), Duration::from_secs(60));
    eventually_true("every host hears every other one again", soon, || {
        Ok(members.streams.all_heard_since(&mark))
    })?;
    let took = begin.elapsed();
    let limit = machine::limit(Duration::from_secs(90), Duration::from_secs(300));
    eventually_true("all members encrypt and have no problem", limit, || {
        let sound = members.members.iter().map(|member| {
            let Ok(report) = member.show("gm") else { return Ok(false) };
            let quiet = report["dataplane_error"].is_null()
                && report["dataplane_problems"].as_array().is_none_or(Vec::is_empty);
            Ok(quiet && group(member)?["protection"] == "encrypting")
        });
        Ok(sound.collect::<Outcome<Vec<bool>>>()?.into_iter().all(|sound| sound))
    })?;
    Ok(took)
}
