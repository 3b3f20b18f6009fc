//! Three key servers, 200 members and somebody who forges first messages, on the loopback interface of a network namespace
//! of its own: `scripts/bench hostile`. Fails where a member does not register, misses a rekey, the servers elect anybody,
//! or a server needs more memory than README says.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;
mod flood;
mod place;
mod servers;

use fleet::Fleet;
use flood::Flood;
use place::Place;
use servers::Servers;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// First messages in a second.
const RATE: u64 = 50_000;
const MEMBERS: u16 = 200;
/// The resident memory that a key server may need, KiB; README names it.
const MEMORY: u64 = 64 * 1024;

fn main() -> ExitCode {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(20);
    let span = Duration::from_secs(seconds);
    println!(
        "{RATE} forged first messages a second for {seconds} s, {MEMBERS} members, 3 key servers, one rekey"
    );
    let met = [Place::RANDOM, Place::NETWORK].map(|place| trial(&place, span));
    match met.into_iter().all(|met| met) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One trial; whether all was as it should be.
fn trial(place: &Place, span: Duration) -> bool {
    place.prepare();
    let servers = Servers::start(place);
    let before = servers.elections();
    let mut fleet = Fleet::of(place, MEMBERS);
    let flood = Flood::begin(place, RATE, span);
    let begun = Instant::now();
    // In the first half of the time they register, then comes the rekey.
    fleet.register_within(span / 2, span);
    fleet.live_until(begun + span * 6 / 10);
    servers.rekey();
    let rekeyed = fleet.await_rekey(begun + span);
    fleet.live_until(begun + span);
    let flooded = flood.end();
    fleet.live_until(Instant::now() + Duration::from_secs(1));
    let outcome = Outcome {
        registered: fleet.registered(),
        failures: fleet.failures(),
        rekeyed,
        elections: servers.elections() - before,
        memory: servers.memory(),
    };
    println!("{}:", place.name);
    println!("  sent                {:.0} a second", flooded.sent as f64 / span.as_secs_f64());
    println!("  answered            {:.0} a second", flooded.answered as f64 / span.as_secs_f64());
    println!(
        "  registered          {} of {MEMBERS}, {} attempts failed",
        outcome.registered, outcome.failures
    );
    println!("  registration took   {}", fleet.registration_times());
    println!("  rekeyed             {} of {MEMBERS}, {}", outcome.rekeyed, fleet.rekey_times());
    println!("  elections           {}", outcome.elections);
    println!("  datagrams dropped   {} by the kernel, before the servers read them", servers.dropped());
    println!("  processor time      {}", servers.processor_times(span));
    println!("  resident memory     {} KiB at most, {MEMORY} allowed", outcome.memory);
    let met = outcome.is_met();
    println!("  {}", if met { "met" } else { "NOT MET" });
    met
}

struct Outcome {
    registered: usize,
    failures: u64,
    rekeyed: usize,
    elections: u64,
    memory: u64,
}

impl Outcome {
    fn is_met(&self) -> bool {
        let all = usize::from(MEMBERS);
        self.registered == all && self.rekeyed == all && self.elections == 0 && self.memory <= MEMORY
    }
}
