//! A core that splits: key servers on both sides make keys of their own, and must come together again.

use crate::cooperating::{configurations, in_step, life, seconds, Cooperating};
use crate::eventually::eventually_true;
use crate::host::Host;
use crate::machine;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{keys, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1};
use crate::stream::Mark;
use crate::tally::Tallies;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "coop-partition",
    "a core that splits for longer than a key lives: each side goes on, and after the healing all reach all",
    partition,
)];

/// The first key server, the first member and its LANs.
const ONE_SIDE: &str = "192.0.2.10, 198.51.100.1, 10.1.0.0/16";
/// Everybody else.
const OTHER_SIDE: &str = "192.0.2.14, 192.0.2.18, 198.51.100.5, 198.51.100.9, 10.2.0.0/16, 10.3.0.0/16";
/// What links and the election may take after the healing; a roll-over comes on top.
fn reunion() -> Duration {
    machine::limit(Duration::from_secs(5), Duration::from_secs(40))
}

/// Moments of the streams.
struct Marks {
    cut: Mark,
    healed: Mark,
    settled: Mark,
}

fn partition(site: &Site) -> Outcome {
    let mut shared = Cooperating::start(site, configurations(site)?)?;
    let cut = shared.streams.mark();
    let apart = split(site, &shared)?;
    let healed = shared.streams.mark();
    eventually_true("all pairs reach each other", SOON, || Ok(shared.streams.all_heard_since(&healed)))?;
    in_step(&shared.servers, KS1)?;
    shared.agrees(0)?;
    let marks = Marks { cut, healed, settled: shared.streams.mark() };
    shared.next_rekey_from(0)?;
    in_step(&shared.servers, KS1)?;
    let tallies = shared.finish_lossy()?;
    print(&tallies, &marks, apart);
    judge(&tallies, &marks)
}

/// Splits the core for more than a key's life and until no key is left that both sides have; how long that was.
fn split(site: &Site, shared: &Cooperating) -> Outcome<Duration> {
    let (begin, split) = (Instant::now(), Split::begin(site.host("core")?)?);
    eventually_true("both sides have keys of their own only", life() + SOON, || {
        let [one, other] = [0, 1].map(|server| shared.servers[server].show("ks"));
        let (one, other) = (one?["groups"][0].clone(), other?["groups"][0].clone());
        let led = one["role"] == "primary" && other["role"] == "primary";
        Ok(begin.elapsed() > life() && led && keys(&one).is_disjoint(&keys(&other)))
    })?;
    split.end()?;
    Ok(begin.elapsed())
}

fn print(tallies: &Tallies, marks: &Marks, apart: Duration) {
    println!(
        "   apart for {} s; lost in that time / after the healing, and for how long after it:",
        seconds(apart)
    );
    for tally in &tallies.pairs {
        let (cut, after) = (tally.lost_between(&marks.cut, &marks.healed), tally.lost_since(&marks.healed));
        let gap = seconds(tally.gap_after(&marks.healed));
        println!("   {} > {}: {cut} / {after}, {gap} s", tally.pair.0, tally.pair.1);
    }
    let last = tallies.pairs.iter().map(|tally| tally.gap_after(&marks.healed)).max().unwrap_or_default();
    println!("   the last pair worked {} s after the healing; {tallies}, 0 clear", seconds(last));
}

fn judge(tallies: &Tallies, marks: &Marks) -> Outcome {
    tallies.nearly_all_arrived_among(&[HOSTS[1].1, HOSTS[2].1])?;
    for tally in &tallies.pairs {
        let (gap, late) = (tally.gap_after(&marks.healed), tally.lost_since(&marks.settled));
        let pair = format!("{} > {}", tally.pair.0, tally.pair.1);
        ensure!(gap < reunion() + life(), "{pair} did not work for {} s after the healing", seconds(gap));
        ensure!(late == 0, "{pair} has lost {late} after all servers were in step");
        ensure!(tally.duplicated == 0, "{pair}: {} came twice", tally.duplicated);
    }
    Ok(())
}

/// The core forwards nothing from one side to the other.
struct Split {
    core: Arc<Host>,
}

impl Split {
    fn begin(core: Arc<Host>) -> Outcome<Self> {
        core.nft(&format!(
            "add table ip lab-split
             add set ip lab-split one {{ type ipv4_addr; flags interval; elements = {{ {ONE_SIDE} }}; }}
             add set ip lab-split other {{ type ipv4_addr; flags interval; elements = {{ {OTHER_SIDE} }}; }}
             add chain ip lab-split forwarding {{ type filter hook forward priority 0; }}
             add rule ip lab-split forwarding ip saddr @one ip daddr @other drop
             add rule ip lab-split forwarding ip saddr @other ip daddr @one drop\n"
        ))?;
        Ok(Split { core })
    }

    fn end(self) -> Outcome {
        self.core.must("nft delete table ip lab-split").map(drop)
    }
}

impl Drop for Split {
    /// A scenario that fails leaves the core whole.
    fn drop(&mut self) {
        let _ = self.core.run("nft delete table ip lab-split");
    }
}
