//! Members that end and do not come back: what the kernel goes on with has an end, and so has who ends it by an order.

use crate::corp::{self, protection, registered, Corp};
use crate::eventually::{eventually_true, throughout};
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS, OUTSIDE};
use crate::stream::Streams;
use crate::watch::Watch;
use std::fs;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::registered(
    "stopped-member",
    "after `gdoictl gm stop` protected traffic is blocked, other traffic is not",
    stopped_by_order,
)];

/// What takes minutes.
pub const OTHERS: &[Scenario] = &[Scenario::empty(
    "not-back",
    "after SIGTERM all goes on for a minute, is blocked then, and never in clear; without a key server a restart loses \
     nothing, however long it takes",
    not_back,
)];

/// So long the kernel goes on without a daemon.
const WITHOUT_DAEMON: Duration = Duration::from_secs(60);

/// The exit status of a daemon that an operator has ended.
const ENDED_BY_ORDER: i32 = 79;

fn stopped_by_order(site: &Site, corp: &mut Corp) -> Outcome {
    let h1 = site.host("h1")?;
    corp.core.fresh()?;
    let member = &mut corp.members[0];
    let said = member.control("gm stop")?;
    ensure!(said.contains("corp") && said.contains("is blocked"), "gdoictl says {said}");
    let status = member.end()?;
    ensure!(status.code() == Some(ENDED_BY_ORDER), "gdoi-gm ended with {status}");
    corp::nothing_installed(member.host())?;
    let protected = h1.ping(HOSTS[1].1)? + site.host("h2")?.ping(HOSTS[0].1)?;
    let outside = h1.ping(OUTSIDE)?;
    ensure!(protected == 0, "{protected} of 6 protected requests were answered by a stopped member");
    ensure!(outside == 3, "{outside} of 3 requests to the host outside were answered");
    member.start_again()?;
    registered(member)?;
    corp::Crossed::sort(corp.core.fresh()?).none_clear()?;
    let after = h1.ping(HOSTS[1].1)?;
    ensure!(after == 3, "{after} of 3 requests were answered after the restart");
    Ok(())
}

fn not_back(site: &Site) -> Outcome {
    let watch = Watch::start(site)?;
    let mut key_server = site.key_server("ks1", corp::key_server(KS1))?;
    let start = |host| site.member(host, corp::member(&[KS1]));
    let mut members = MEMBERS.into_iter().map(start).collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    let streams = Streams::warmed(site, crate::cell::Cell::BASIC)?;
    key_server.kill()?;
    let member = &mut members[0];
    member.terminate()?;
    member.start_again()?;
    protection(member, "adopted")?;
    throughout(WITHOUT_DAEMON * 3 / 2, || protection(member, "adopted"))?;
    let tallies = streams.stop()?;
    println!("   restarted without a key server, for {} s: {tallies}", (WITHOUT_DAEMON * 3 / 2).as_secs());
    tallies.all_arrived()?;
    let streams = Streams::start(site)?;
    member.terminate()?;
    ends_by_itself(site, &streams)?;
    key_server.start_again()?;
    member.start_again()?;
    registered(member)?;
    let mark = streams.mark();
    eventually_true("every host hears every other one again", SOON, || Ok(streams.all_heard_since(&mark)))?;
    println!("   {}", streams.end(watch)?);
    Ok(())
}

/// The stopped member's traffic: whole until the time is over, and nothing after it.
fn ends_by_itself(site: &Site, streams: &Streams) -> Outcome {
    let (h1, begun) = (site.host("h1")?, Instant::now());
    let early = WITHOUT_DAEMON - limit(Duration::from_secs(10), Duration::from_secs(30));
    throughout(early, || {
        let mark = streams.mark();
        eventually_true("all goes on", Duration::from_secs(2), || Ok(streams.all_heard_since(&mark)))
    })?;
    let late = WITHOUT_DAEMON * 2;
    eventually_true("the kernel has no key any more", late, || {
        Ok(site.host(MEMBERS[0])?.must("ip xfrm state")?.lines().all(|line| !line.contains("spi 0x")))
    })?;
    let seconds = begun.elapsed().as_secs();
    let protected = h1.ping(HOSTS[1].1)? + site.host("h2")?.ping(HOSTS[0].1)?;
    let outside = h1.ping(OUTSIDE)?;
    ensure!(protected == 0, "{protected} of 6 protected requests were answered by a member that is gone");
    ensure!(outside == 3, "{outside} of 3 requests to the host outside were answered");
    println!("   not back: the keys have ended after {seconds} s");
    ensure!(seconds <= WITHOUT_DAEMON.as_secs() + 5, "the keys lived for {seconds} s without a daemon");
    let told = fs::read_to_string(site.places.groups_of(MEMBERS[0]).join("corp"))?;
    println!("   the file of the group says: {}", told.trim().replace('\n', ", "));
    ensure!(told.starts_with("adopted\nuntil "), "the file of the group says {told}");
    Ok(())
}
