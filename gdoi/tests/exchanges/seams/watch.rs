//! For how long somebody sends what somebody else cannot read.

use crate::bench::World;
use gdoi::{Instant, View};
use std::time::Duration;

/// The longest time at a stretch in which not all that are registered held what each of them sends with, or one had
/// nothing to send with.
pub fn longest_deafness(world: &mut World, span: Duration) -> Duration {
    let end = world.now + span;
    let (mut since, mut longest) = (None::<Instant>, Duration::ZERO);
    world.changed.clear();
    let mut note = |world: &World| {
        let deaf = somebody_is_deaf(&world.views());
        longest = since.map_or(longest, |since| longest.max(world.now.saturating_since(since)));
        since = deaf.then(|| since.unwrap_or(world.now));
    };
    note(world);
    while world.step(end) {
        if !std::mem::take(&mut world.changed).is_empty() {
            note(world);
        }
    }
    note(world);
    longest
}

pub fn somebody_is_deaf(views: &[View]) -> bool {
    let registered = || views.iter().filter(|view| view.registered);
    let reads = |view: &View, sent: &gdoi::Sa| {
        view.inbound.iter().any(|sa| (sa.spi, &sa.keys) == (sent.spi, &sent.keys))
    };
    registered().any(|sender| match &sender.outbound {
        Some(sent) => registered().any(|view| !reads(view, sent)),
        None => true,
    })
}
