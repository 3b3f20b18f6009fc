//! Servers that are killed while keys change.

use crate::cooperating::{configurations, in_step, keys_made, reigns, seconds, Cooperating, SERVERS};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{group, keys, never_registered_again, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, KS2};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("coop-kill-primary", "kill -9 of the primary key server: another one goes on in seconds, members notice nothing, and it comes back", kill_primary),
    Scenario::empty("coop-no-preempt", "the same without preemption: the server that comes back stays secondary", no_preempt),
    Scenario::empty("coop-last-server", "two of three key servers are killed: the last one registers members and changes keys", last_server),
];

fn kill_primary(site: &Site) -> Outcome {
    let mut shared = Cooperating::start(site, configurations(site)?)?;
    let phase1 = shared.phase1()?;
    let took = shared.lose(&[0], 1)?;
    let before = shared.rekeys_of(1)?;
    let newest = shared.rekey_after(1, before)?;
    // The hand-over is done long before the next key is due.
    shared.servers[0].start_again()?;
    let back = takes_role_back(&shared)?;
    shared.all_send_with(newest)?;
    shared.next_rekey_from(0)?;
    never_registered_again(&shared.members)?;
    ensure!(shared.phase1()? == phase1, "a member has begun another phase 1");
    println!("   a secondary is primary {} s after the kill; {back}", seconds(took));
    println!("   {}", shared.finish()?);
    Ok(())
}

/// Waits until the first server is primary again; it must go on with the keys that the second one made.
fn takes_role_back(shared: &Cooperating) -> Outcome<String> {
    let begin = Instant::now();
    let [first, second, _] = shared.servers.as_slice() else { return Ok(String::new()) };
    let mut before = BTreeSet::new();
    eventually_true("the first server takes its role back", SOON, || {
        before = keys(&second.show("ks")?["groups"][0]);
        Ok(reigns(first)? > 0)
    })?;
    let took = begin.elapsed();
    let after = keys(&first.show("ks")?["groups"][0]);
    ensure!(keys_made(first)? == 0, "the first server has made a key with its role");
    // Old keys may have ended meanwhile.
    let same = !after.is_empty() && after.is_subset(&before);
    ensure!(same, "the keys have changed with the role: {before:?} and {after:?}");
    in_step(&shared.servers, KS1)?;
    Ok(format!("the first one has the role again {} s after its restart, with the same keys", seconds(took)))
}

fn no_preempt(site: &Site) -> Outcome {
    let mut configs = configurations(site)?;
    for config in &mut configs {
        let redundancy = &mut config["groups"][0]["server-local"]["redundancy"];
        redundancy["preempt"] = json!(false);
        redundancy.as_object_mut().map(|redundancy| redundancy.remove("hold-down"));
    }
    let mut shared = Cooperating::start_in_order(site, configs)?;
    let took = shared.lose(&[0], 1)?;
    shared.servers[0].start_again()?;
    in_step(&shared.servers, KS2)?;
    shared.next_rekey_from(1)?;
    in_step(&shared.servers, KS2)?;
    ensure!(reigns(&shared.servers[0])? == 0, "the first server has taken the role back");
    never_registered_again(&shared.members)?;
    println!("   a secondary is primary {} s after the kill and stays it", seconds(took));
    println!("   {}", shared.finish()?);
    Ok(())
}

fn last_server(site: &Site) -> Outcome {
    let mut shared = Cooperating::start(site, configurations(site)?)?;
    let took = shared.lose(&[0, 1], 2)?;
    let before = shared.rekeys_of(2)?;
    let registration = registration_with_last(&shared.members[1])?;
    let newest = shared.rekey_after(2, before)?;
    shared.all_send_with(newest)?;
    let registrations = shared.members.iter().map(|member| Ok(group(member)?["registrations"].clone()));
    let registrations = registrations.collect::<Outcome<Vec<_>>>()?;
    ensure!(registrations == [1, 2, 1], "members have registered {registrations:?} times");
    let (took, registration) = (seconds(took), seconds(registration));
    println!(
        "   the last server is primary {took} s after the kill; a registration there took {registration} s"
    );
    println!("   {}", shared.finish()?);
    Ok(())
}

/// Has a member register again, whose preferred server is dead; how long it takes.
fn registration_with_last(member: &Daemon) -> Outcome<Duration> {
    let begin = Instant::now();
    member.control("gm register")?;
    eventually_true("a member registers with the last server", SOON, || registered_with_last(member))?;
    Ok(begin.elapsed())
}

fn registered_with_last(member: &Daemon) -> Outcome<bool> {
    let said = group(member)?;
    let server = said["server"].as_str().unwrap_or_default();
    let last = server.starts_with(&format!("{}:", SERVERS[2].1));
    Ok(said["registration"] == "registered" && said["registrations"] == 2 && last)
}
