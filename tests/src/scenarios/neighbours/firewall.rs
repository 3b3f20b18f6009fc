//! Other users of nftables, and an nft that does not answer.

use crate::corp::{self, has_problem, registered};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::machine::{emulated, limit};
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, KS1, MEMBERS};
use crate::stream::Streams;
use crate::watch::Watch;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "foreign-transactions",
        "somebody's nft transaction every second costs a member with a long list nothing to speak of",
        transactions,
    ),
    Scenario::empty(
        "hanging-nft",
        "an nft that hangs is ended and told of; gdoictl and SIGTERM are answered meanwhile",
        hanging,
    ),
];

/// Seconds of somebody else's work.
const SECONDS: u32 = 20;

fn list() -> Value {
    let entries = if emulated() { 200 } else { 400 };
    let others = (1..entries).map(|number| {
        format!("permit tcp host 10.250.{}.{} 10.251.0.0/16 eq 81", number / 256, number % 256)
    });
    others.chain(["permit ip 10.0.0.0/8 10.0.0.0/8".to_owned()]).collect()
}

fn group(site: &Site) -> Outcome<(Daemon, Vec<Daemon>)> {
    let mut config = corp::key_server(KS1);
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = list();
    let key_server = site.key_server("ks1", config)?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    Ok((key_server, members))
}

fn transactions(site: &Site) -> Outcome {
    let (_key_server, members) = group(site)?;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    let gm1 = site.host("gm1")?;
    gm1.nft("add table ip banned\nadd set ip banned hosts { type ipv4_addr; }\n")?;
    members[0].is_silent(limit(Duration::from_secs(4), Duration::from_secs(8)))?;
    let before = processor_time(&members[0])?;
    let mut shell = command("sh -c");
    shell.arg(format!(
        "for i in $(seq {SECONDS}); do nft add element ip banned hosts {{ 203.0.113.$i }}; sleep 1; done"
    ));
    gm1.spawn(shell)?.wait()?;
    let spent = processor_time(&members[0])? - before;
    println!(
        "   {SECONDS} transactions in as many seconds cost the member {} ms of processor time",
        spent.as_millis()
    );
    gm1.must("nft delete table ip banned")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    let most = limit(Duration::from_secs(2), Duration::from_secs(10));
    ensure!(spent < most, "the transactions cost {} ms", spent.as_millis());
    tallies.all_arrived()?;
    let repaired = repairs_table(&members[0])?;
    println!("   its own table, changed by hand, is repaired after {} ms", repaired.as_millis());
    Ok(())
}

/// What concerns it is noticed.
fn repairs_table(member: &Daemon) -> Outcome<Duration> {
    let begun = Instant::now();
    member.host().must("nft add rule inet gdoi hold_out_0 counter")?;
    let most = limit(Duration::from_secs(40), Duration::from_secs(120));
    eventually_true("the table is repaired", most, || Ok(member.log()?.contains("GM_POLICIES_REPAIRED")))?;
    Ok(begun.elapsed())
}

/// Of the daemon and of all that it started and that has ended.
fn processor_time(member: &Daemon) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", member.pid()))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

const NFT: &str = "/usr/sbin/nft";
const REAL: &str = "/run/lab-nft";
const DOOR: &str = "/run/lab-nft-door";
const HANGS: &str = "/run/lab-nft-hangs";

fn hanging(site: &Site) -> Outcome {
    fs::copy(NFT, REAL)?;
    fs::write(
        DOOR,
        format!("#!/bin/sh\n[ -e {HANGS} ] && [ -n \"$LC_ALL\" ] && sleep 1000\nexec {REAL} \"$@\"\n"),
    )?;
    fs::set_permissions(DOOR, fs::Permissions::from_mode(0o755))?;
    let host = site.host("gm1")?;
    host.must(&format!("mount --bind {DOOR} {NFT}"))?;
    let done = answers_meanwhile(site, &host);
    let _ = fs::remove_file(HANGS);
    // One that the daemon has just started may still run.
    host.must(&format!("umount --lazy {NFT}"))?;
    done
}

fn answers_meanwhile(site: &Site, host: &Host) -> Outcome {
    let corp = corp::Corp::start(site)?;
    let mut members = corp.members;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    members[0].is_silent(limit(Duration::from_secs(4), Duration::from_secs(8)))?;
    fs::write(HANGS, "")?;
    host.must(&format!("{REAL} add rule inet gdoi hold_out_0 counter"))?;
    let begun = Instant::now();
    let told = eventually_true("the hanging program is told of", SOON, || {
        let asked = Instant::now();
        let report = members[0].show("gm")?;
        ensure!(
            asked.elapsed() < limit(Duration::from_secs(1), Duration::from_secs(4)),
            "gdoictl waited {} ms",
            asked.elapsed().as_millis()
        );
        Ok(report["dataplane_error"].to_string().contains("nft"))
    });
    told?;
    println!(
        "   gdoictl is answered at once all the time; the hang is told after {} ms",
        begun.elapsed().as_millis()
    );
    members[0].says(&["GM_INSTALL_POLICIES_FAILED", "nft"], SOON)?;
    has_problem(&members[0], "did not")?;
    // In the next attempt.
    std::thread::sleep(Duration::from_secs(12));
    let begun = Instant::now();
    let status = members[0].terminate()?;
    println!("   SIGTERM is answered after {} ms: {status}", begun.elapsed().as_millis());
    ensure!(
        begun.elapsed() < limit(Duration::from_secs(8), Duration::from_secs(20)),
        "SIGTERM was not answered"
    );
    fs::remove_file(HANGS)?;
    members[0].start_again()?;
    registered(&mut members[0])?;
    let mark = streams.mark();
    eventually_true("every host hears every other one", SOON, || Ok(streams.all_heard_since(&mark)))?;
    println!("   {}", streams.end(watch)?);
    Ok(())
}
