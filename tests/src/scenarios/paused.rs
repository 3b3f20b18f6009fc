//! Machines that stood still while the group went on, as virtual machines do.
//!
//! One kernel carries all hosts of the lab, so none of them can stand still alone. Two members' daemons are stopped and all of
//! their packets are dropped. What the clocks of a machine that is resumed show depends on the hypervisor: on gm1
//! they have stood still, which libfaketime shows its daemon; on gm2 they have gone on. The states in their kernels live on as
//! they would in a machine that stands still, because their keys are old before these end.

use crate::corp::{self, registered};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome, Stop};
use crate::rekeying::{key_server, repetitions, Transport};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS};
use crate::stream::Streams;
use crate::watch::Watch;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "paused",
    "a machine that stood still for 180 s while keys changed comes back by itself, whatever its clock shows",
    paused,
)];

/// In a folder of the machine's architecture.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// What nothing comes through from or to the paused machines.
const PAUSED: &str = "add table inet lab-paused
add chain inet lab-paused crossing { type filter hook prerouting priority -400; }
add chain inet lab-paused leaving { type filter hook postrouting priority 400; }
add rule inet lab-paused crossing iifname { gm1, gm2 } drop
add rule inet lab-paused leaving oifname { gm1, gm2 } drop
";

fn paused(site: &Site) -> Outcome {
    let Some(library) = library() else {
        return Err(Stop::Skipped("libfaketime is not installed: no clock can stand still".into()));
    };
    let result = stands_still(site, library);
    site.host("core")?.run("nft delete table inet lab-paused")?;
    result
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join(LIBRARY)).find(|library| library.exists())
}

fn stands_still(site: &Site, library: PathBuf) -> Outcome {
    let watch = Watch::start(site)?;
    let mut config = key_server(site, Transport::Unicast)?;
    config["groups"][0]["server-local"]["sa-ipsec"]["lifetime"] = json!(3600);
    let key_server = site.key_server("ks1", config)?;
    let clock = fs::canonicalize(&site.places.out)?.join("gm1-clock");
    fs::write(&clock, "-0")?;
    let mut members = vec![site.member_with(MEMBERS[0], corp::member(&[KS1]), &shown(&clock, library))?];
    for host in &MEMBERS[1..] {
        members.push(site.member(host, corp::member(&[KS1]))?);
    }
    members.iter_mut().try_for_each(registered)?;
    let streams = Streams::warmed(site, crate::cell::Cell::BASIC)?;
    let pause = Duration::from_secs(repetitions("LAB_PAUSE", 180) as u64);
    let begun = Instant::now();
    signal(&members[..2], Signal::SIGSTOP)?;
    site.host("core")?.nft(PAUSED)?;
    // Twice, so that they know none of the keys that are used.
    for _ in 0..2 {
        key_server.control("ks rekey --replace-now")?;
        thread::sleep(pause.saturating_sub(begun.elapsed()) / 2);
    }
    thread::sleep(pause.saturating_sub(begun.elapsed()));
    fs::write(&clock, format!("-{}", begun.elapsed().as_secs()))?;
    site.host("core")?.must("nft delete table inet lab-paused")?;
    signal(&members[..2], Signal::SIGCONT)?;
    comes_back(&mut members, &streams, pause)?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}, 0 clear");
    Ok(())
}

/// The environment of a process that sees a clock of its own.
fn shown(clock: &Path, library: PathBuf) -> [(&'static str, PathBuf); 3] {
    [("LD_PRELOAD", library), ("FAKETIME_TIMESTAMP_FILE", clock.into()), ("FAKETIME_NO_CACHE", "1".into())]
}

fn signal(members: &[Daemon], signal: Signal) -> Outcome {
    members.iter().try_for_each(|member| Ok(kill(Pid::from_raw(member.pid() as i32), signal)?))
}

fn comes_back(members: &mut [Daemon], streams: &Streams, pause: Duration) -> Outcome {
    let (mark, begun) = (streams.mark(), Instant::now());
    let bound = limit(Duration::from_secs(15), Duration::from_secs(45));
    let back = eventually_true("every host hears every other one again", bound * 4, || {
        Ok(streams.all_heard_since(&mark))
    });
    let took = begun.elapsed();
    for (member, (host, _)) in members.iter().zip(HOSTS) {
        let log = member.log()?;
        let noticed = log.lines().find(|line| line.contains("GM_BEHIND") || line.contains("GM_KEYS_EXPIRED"));
        println!("   {host}: {}", noticed.unwrap_or("nothing was noticed"));
    }
    println!("   after {} s all hear each other {:.1} s later", pause.as_secs(), took.as_secs_f32());
    back?;
    ensure!(took <= bound, "it took longer than 10 s and a registration");
    Ok(())
}
