//! Faults without end, and never a clear packet.

use crate::cell::{Cell, Transform};
use crate::dice::Dice;
use crate::eventually::eventually_true;
use crate::fault::Fault;
use crate::machine;
use crate::outcome::{Outcome, Stop};
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
    let mut anchors = 0;
    for number in 1..=faults {
        let fault = Fault::draw(&mut dice);
        let tell = |reason: Stop| Stop::Failed(format!("fault {number}, {fault:?}: {reason}"));
        fault.happen(site, &mut members, &mut dice).map_err(tell)?;
        let took = match dice.below(HASTY) {
            0 if number < faults => Duration::ZERO,
            _ => recovered(&members).map_err(tell)?,
        };
        let shown = std::mem::replace(&mut anchors, members.watch.anchors()?);
        println!(
            "   {number}: {fault:?}, traffic of all pairs after {:.1} s, {} to or from an anchor",
            took.as_secs_f32(),
            anchors - shown
        );
        longest = longest.max(took);
        members.watch.none_clear().map_err(tell)?;
    }
    let tallies = members.finish_lossy()?;
    println!(
        "   {faults} faults, all pairs again after {:.1} s at most; 0 clear, {anchors} to or from an anchor",
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

/// Waits until every host hears every other one and all members say that all is well; how long that took.
fn recovered(members: &Rekeyed) -> Outcome<Duration> {
    let (begin, mark) = (Instant::now(), members.streams.mark());
    let limit = machine::limit(Duration::from_secs(90), Duration::from_secs(300));
    eventually_true("every host hears every other one again", limit, || {
        Ok(members.streams.all_heard_since(&mark))
    })?;
    let took = begin.elapsed();
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
