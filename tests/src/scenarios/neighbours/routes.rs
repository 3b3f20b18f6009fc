//! Routes to anchors that somebody removes.

use crate::corp::Corp;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::Site;
use crate::stream::Streams;
use crate::watch::Watch;
use std::thread;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::registered(
    "anchor-routes",
    "a route to an anchor that somebody removes is back at once; routes of others are no reason to look",
    removed,
)];

const DEEDS: [&str; 3] = [
    "ip route del 192.0.0.85/32",
    "ip route del table local local 192.0.0.84",
    "ip route flush table all root 192.0.0.0/24",
];
/// The next look without news comes after ten seconds.
const PAUSE: Duration = Duration::from_millis(2_500);

fn removed(site: &Site, corp: &mut Corp) -> Outcome {
    let gm1 = site.host("gm1")?;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    let mut marks = Vec::new();
    for deed in DEEDS {
        corp.members[0].is_silent(PAUSE)?;
        marks.push(streams.mark());
        gm1.must(deed)?;
        thread::sleep(limit(Duration::from_secs(9), Duration::from_secs(15)));
        gm1.must("ip route get 192.0.0.85")?;
    }
    marks.push(streams.mark());
    let tallies = streams.end(watch)?;
    let most = limit(Duration::from_secs(1), Duration::from_secs(4));
    let mut longest = Duration::ZERO;
    for (deed, span) in DEEDS.iter().zip(marks.windows(2)) {
        let lost = tallies
            .pairs
            .iter()
            .map(|tally| tally.lost_between(&span[0], &span[1]))
            .max()
            .unwrap_or_default();
        let gap = Duration::from_secs(lost as u64) / crate::stream::rate();
        println!("   `{deed}`: {lost} lost of a pair, {} ms; 0 clear", gap.as_millis());
        longest = longest.max(gap);
    }
    ensure!(longest < most, "a pair was silent for {} ms", longest.as_millis());
    Ok(())
}
