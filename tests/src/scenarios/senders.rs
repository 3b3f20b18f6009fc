//! Groups in which each sender has its own key: what a sending state has counted is known to the kernel alone, so that a
//! member which loses one needs new sender IDs.

use crate::capture::Capture;
use crate::cell::Cell;
use crate::corp::{self, protection, registered, Crossed, REGISTRATION};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{group, key_server_of, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS};
use std::collections::BTreeSet;
use std::time::Instant;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::of_cell(
        "sender-lost",
        "somebody deletes what a member sends with: it is blocked and gets new sender IDs by itself",
        lost,
        Cell::BASIC,
    ),
    Scenario::of_cell(
        "sender-detached",
        "a member that was detached or killed comes back with new sender IDs",
        detached,
        Cell::BASIC,
    ),
];

/// Where the first interface's sending states lead.
const OUTBOUND_ANCHOR: &str = "192.0.0.85";

/// A group that encrypts, watched in the core.
struct Watched {
    core: Capture,
    key_server: Daemon,
    members: Vec<Daemon>,
}

/// What a member sends with.
#[derive(Debug)]
struct Identity {
    sender_ids: BTreeSet<String>,
    spis: BTreeSet<String>,
}

/// Somebody deletes what a member sends with: it says so, is blocked, and has new sender IDs as soon as there is a key
/// server.
fn lost(site: &Site, cell: Cell) -> Outcome {
    let mut watched = Watched::start(site, cell)?;
    let before = identity(&watched.members[0])?;
    delete_sending(&mut watched.members[0])?;
    let begun = Instant::now();
    eventually_true("h1 reaches h2 again", REGISTRATION, || Ok(site.host("h1")?.ping(HOSTS[1].1)? > 0))?;
    println!("   traffic is back after {} ms", begun.elapsed().as_millis());
    let between = watched.is_somebody_else(site, &before)?;
    watched.key_server.kill()?;
    delete_sending(&mut watched.members[0])?;
    protection(&watched.members[0], "blocked")?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(answers == 0, "{answers} of 3 requests were answered without a sending state");
    watched.key_server.start_again()?;
    watched.is_somebody_else(site, &between).map(drop)
}

/// A member that is detached removes what it sends with, and gets new sender IDs when it registers.
fn detached(site: &Site, cell: Cell) -> Outcome {
    let mut watched = Watched::start(site, cell)?;
    let before = identity(&watched.members[0])?;
    watched.members[0].control("gm detach corp --yes-send-in-clear")?;
    protection(&watched.members[0], "detached")?;
    watched.members[0].control("gm register")?;
    let between = watched.is_somebody_else(site, &before)?;
    watched.members[0].kill()?;
    watched.members[0].start_again()?;
    registered(&mut watched.members[0])?;
    watched.is_somebody_else(site, &between).map(drop)
}

impl Watched {
    fn start(site: &Site, cell: Cell) -> Outcome<Self> {
        let core = Capture::start(site.host("core")?, &site.places.out, &site.places.next_name("core"))?;
        let key_server = site.key_server("ks1", key_server_of(site, Transport::Unicast, cell)?)?;
        let start_member = |host| site.member(host, corp::member(&[KS1]));
        let mut members = MEMBERS.into_iter().map(start_member).collect::<Outcome<Vec<_>>>()?;
        members.iter_mut().try_for_each(registered)?;
        Ok(Watched { core, key_server, members })
    }

    /// The first member encrypts with nothing that it had before, and is understood; nothing was clear.
    fn is_somebody_else(&mut self, site: &Site, before: &Identity) -> Outcome<Identity> {
        let member = &self.members[0];
        eventually_true("the member has new sender IDs", REGISTRATION, || {
            Ok(identity(member)?.sender_ids.is_disjoint(&before.sender_ids))
        })?;
        protection(member, "encrypting")?;
        eventually_true("h1 reaches h2", SOON, || Ok(site.host("h1")?.ping(HOSTS[1].1)? == 3))?;
        let after = identity(member)?;
        ensure!(after.spis.is_disjoint(&before.spis), "a key is used again: {before:?}, {after:?}");
        Crossed::sort(self.core.fresh()?).none_clear()?;
        Ok(after)
    }
}

fn delete_sending(member: &mut Daemon) -> Outcome {
    member.host().must(&format!("ip xfrm state deleteall dst {OUTBOUND_ANCHOR}"))?;
    member.says(&["ERROR GM_SENDER_LOST"], SOON).map(drop)
}

fn identity(member: &Daemon) -> Outcome<Identity> {
    let shown = group(member)?;
    let ids = shown["sender_ids"].as_array().into_iter().flatten().map(ToString::to_string);
    let states = member.host().must("ip -o xfrm state")?;
    let sending = states.lines().filter(|line| line.contains(&format!("dst {OUTBOUND_ANCHOR}")));
    let spis = sending.filter_map(|line| line.split("spi ").nth(1)?.split('(').next());
    Ok(Identity { sender_ids: ids.collect(), spis: spis.map(str::to_owned).collect() })
}
