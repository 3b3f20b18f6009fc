//! Starts that fail after a boot: nothing is open until one succeeds.

use crate::corp::{self, key_server, protection, registered};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::injection::Injection;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS, OUTSIDE, WAN};
use crate::stream::Streams;
use crate::watch::Watch;
use serde_json::json;
use std::fs;
use std::thread;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "closed-start",
        "a start that fails at boot leaves nothing open, in or out, and the next one opens as it should",
        fails_closed,
    ),
    Scenario::empty(
        "second-start",
        "a second daemon on one host is refused before it touches anything",
        second,
    ),
    Scenario::empty("open-start", "a start that fails leaves a fail-open group open", fails_open),
];

/// So long the streams try to get through.
const WHILE: Duration = Duration::from_secs(3);

/// What is wrong at a start, and the words of its refusal.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// A key that there is not.
    Key,
    /// A list without its end.
    Syntax,
    /// The key of the interfaces themselves.
    Interface,
    /// A file of nothing.
    Gone,
    /// A check of what the file says: the member would be its own key server.
    Check,
}

fn fails_closed(site: &Site) -> Outcome {
    let result = closed_while_it_fails(site);
    site.restore(MEMBERS[0])?;
    result
}

fn closed_while_it_fails(site: &Site) -> Outcome {
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let mut watch = Watch::start(site)?;
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    let start = |host| site.member(host, corp::member(&[KS1]));
    let mut members = MEMBERS.into_iter().map(start).collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    let streams = Streams::warmed(site, crate::cell::Cell::BASIC)?;
    let member = &mut members[0];
    member.terminate()?;
    for wrong in [Wrong::Key, Wrong::Syntax, Wrong::Gone, Wrong::Check] {
        boots(site, member, wrong)?;
        nothing_passes(site, &mut injection, &mut watch)?;
        println!("   {wrong:?}, with what was stored: nothing passes in {} s", WHILE.as_secs());
    }
    for wrong in [Wrong::Key, Wrong::Syntax, Wrong::Interface, Wrong::Check] {
        // A start that fails stores nothing.
        let _ = fs::remove_dir_all(site.places.state_of(MEMBERS[0]));
        boots(site, member, wrong)?;
        nothing_passes(site, &mut injection, &mut watch)?;
        println!("   {wrong:?}, at the first boot: nothing passes in {} s", WHILE.as_secs());
    }
    member.start_again()?;
    registered(member)?;
    let mark = streams.mark();
    eventually_true("every host hears every other one again", SOON, || Ok(streams.all_heard_since(&mark)))?;
    injection.none_comes_in(site)?;
    let outside = site.host("h1")?.ping(OUTSIDE)?;
    ensure!(outside == 3, "{outside} of 3 requests to the host outside were answered in the end");
    println!("   {}", streams.end(watch)?);
    Ok(())
}

/// By its control socket or, where that is another one, by its port.
fn second(site: &Site) -> Outcome {
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    let mut first = site.member(MEMBERS[0], corp::member(&[KS1]))?;
    registered(&mut first)?;
    let events = first.log()?;
    let mut second = site.member(MEMBERS[0], corp::member(&[KS1]))?;
    second.fails(&["START_FAILED", "a daemon is running already"])?;
    second.misspell(&format!("/run/lab-{}.sock", MEMBERS[0]), "/run/lab-second.sock")?;
    second.start_again()?;
    second.fails(&["START_FAILED", "another daemon speaks GDOI here"])?;
    let said = second.log()?;
    ensure!(said.lines().count() == 1, "the second daemon says besides: {said}");
    let since = first.log()?[events.len()..].to_owned();
    ensure!(since.is_empty(), "the first daemon noticed it: {since}");
    protection(&first, "encrypting")
}

/// A boot with something wrong, which is right again when this returns; the WAN comes up after the daemon.
fn boots(site: &Site, member: &mut Daemon, wrong: Wrong) -> Outcome {
    let good = corp::member(&[KS1]);
    member.configure(good.clone())?;
    let reason = match wrong {
        Wrong::Key => {
            member.reconfigure(|config| config["groups"][0]["identity-nummer"] = json!(100))?;
            "unknown field"
        }
        Wrong::Syntax => {
            member.misspell("\"wan\"\n", "\"wan\"\n \"x\"\n")?;
            "did not find expected"
        }
        Wrong::Interface => {
            member.misspell("\"interfaces\"", "\"interface\"")?;
            "unknown field"
        }
        Wrong::Gone => {
            member.misspell("{", "")?;
            "START_FAILED"
        }
        Wrong::Check => {
            member.reconfigure(|config| config["groups"][0]["servers"] = json!([WAN[0]]))?;
            "is an address of this host"
        }
    };
    site.boot(MEMBERS[0])?;
    member.start_again()?;
    member.fails(&["START_FAILED", reason])?;
    site.restore(MEMBERS[0])?;
    member.configure(good)
}

fn nothing_passes(site: &Site, injection: &mut Injection, watch: &mut Watch) -> Outcome {
    thread::sleep(WHILE);
    injection.none_comes_in(site)?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)? + site.host("h1")?.ping(OUTSIDE)?;
    ensure!(answers == 0, "{answers} of 6 requests were answered");
    watch.none_clear()
}

fn fails_open(site: &Site) -> Outcome {
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["fail-close"] = json!(false);
    let mut member = site.member(MEMBERS[0], config)?;
    protection(&member, "open")?;
    for stored in [true, false] {
        member.terminate()?;
        if !stored {
            fs::remove_dir_all(site.places.state_of(MEMBERS[0]))?;
        }
        site.boot(MEMBERS[0])?;
        member.reconfigure(|config| config["groups"][0]["identity-nummer"] = json!(100))?;
        member.start_again()?;
        member.fails(&["START_FAILED", "unknown field"])?;
        site.restore(MEMBERS[0])?;
        let outside = site.host("h1")?.ping(OUTSIDE)?;
        ensure!(outside == 3, "{outside} of 3 requests were answered, stored {stored}");
        member.reconfigure(|config| {
            drop(config["groups"][0].as_object_mut().map(|all| all.remove("identity-nummer")))
        })?;
        member.start_again()?;
        protection(&member, "open")?;
    }
    is_told_of_nothing(site, &mut member)
}

/// A fail-close group at its first boot, whose interfaces cannot be found.
fn is_told_of_nothing(site: &Site, member: &mut Daemon) -> Outcome {
    member.terminate()?;
    fs::remove_dir_all(site.places.state_of(MEMBERS[0]))?;
    site.boot(MEMBERS[0])?;
    member.configure(corp::member(&[KS1]))?;
    member.misspell("\"interfaces\"", "\"links\"")?;
    member.start_again()?;
    member.fails(&["CRITICAL GM_NOT_CLOSED", "names no interface that can be read", "all is OPEN"])?;
    site.restore(MEMBERS[0])
}
