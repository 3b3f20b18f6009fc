//! Packets that come again.

use crate::cell::{Cell, Transform};
use crate::corp::{self, registered};
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::reinjection::{recorded, send_again};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, KS1, MEMBERS};
use crate::stream::Streams;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::of_cell(
    "replay",
    "a packet that comes 1,000 times more is delivered once",
    refused,
    Cell { transform: Transform::AesGcm256, ..Cell::BASIC },
)];

/// How often one packet comes again.
const TIMES: usize = 1000;
/// What the kernel counts of packets whose number has come before, or is so old that it must be one of another time.
const REFUSALS: [&str; 2] = ["XfrmInStateSeqError", "XfrmInStateProtoError"];

/// One packet, recorded in the core and sent to its receiver many times more, is delivered once.
///
/// Only where each sender has a key of its own: senders that share one share no sequence, so that receivers cannot tell what
/// came before. A group with a shared key delivers what comes again.
fn refused(site: &Site, cell: Cell) -> Outcome {
    let _key_server = site.key_server("ks1", corp::key_server_of(KS1, cell))?;
    let start_member = |host| site.member(host, corp::member(&[KS1]));
    let mut members = MEMBERS.into_iter().map(start_member).collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    let streams = Streams::warmed(site, cell)?;
    let packet = recorded(site, cell)?;
    let before = refusals(site)?;
    send_again(site, &packet, TIMES)?;
    let counted =
        eventually_true("gm2 refuses every repetition", SOON, || Ok(refusals(site)? >= before + TIMES));
    let tallies = streams.stop()?;
    println!("   {TIMES} repetitions of one packet: {tallies}");
    tallies.all_arrived()?;
    counted
}

fn refusals(site: &Site) -> Outcome<usize> {
    let text = site.host("gm2")?.must("cat /proc/net/xfrm_stat")?;
    let mut counts = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|name| REFUSALS.contains(&name)) {
            counts.push(words.next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0));
        }
    }
    ensure!(counts.len() == REFUSALS.len(), "the kernel does not count: {text}");
    Ok(counts.iter().sum())
}
