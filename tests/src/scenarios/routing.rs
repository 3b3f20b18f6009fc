//! Two routers of one site: what one of them tells of its group moves the site's routes to the other one and back. A
//! program of a few lines stands for a routing daemon.

use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, MEMBERS};
use crate::topology::batch;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "two-routers",
    "a router whose group is about to lose its key gives the site's routes to the other one, and takes them back: \
     nothing is lost",
    two_routers,
)];

/// What follows a change of routes is over then.
const LONGER: Duration = Duration::from_secs(3);

/// The second way to h1, by gm3.
const SECOND_WAY: [(&str, &str); 3] = [
    ("gm3", "link add site type veth peer name eth9 netns h1\naddress add 10.1.9.1/30 dev site\nlink set site up\n"),
    ("h1", "address add 10.1.9.2/30 dev eth9\nlink set eth9 up\n"),
    ("gm3", "route replace 10.1.1.10/32 via 10.1.9.2\n"),
];

/// As a routing daemon would do with what its neighbours tell.
const PROGRAM: &str = "#!/bin/sh
echo \"$GROUP $STATE\" >>LOG
case $STATE in
  encrypting) core=198.51.100.1 host=10.1.1.1 ;;
  adopted | displaced) exit 0 ;;
  *) core=198.51.100.9 host=10.1.9.1 ;;
esac
ip -n core route replace 10.1.1.0/24 via $core && ip -n h1 route replace default via $host
";

fn two_routers(site: &Site) -> Outcome {
    for (host, lines) in SECOND_WAY {
        site.host(host)?.inside(|| batch(lines))?;
    }
    let result = gives_and_takes(site);
    let _ = site.host("gm3")?.run("ip link del site");
    site.host("core")?.run("nft delete table inet lab-cut")?;
    ["h1", "core"].into_iter().try_for_each(|host| site.restore(host))?;
    result
}

fn gives_and_takes(site: &Site) -> Outcome {
    let group = Rekeyed::start(site, Transport::Unicast)?;
    let log = has_program(site, &group.members[0])?;
    let told = |words: &'static str| {
        let log = log.clone();
        move || Ok(fs::read_to_string(&log).unwrap_or_default().lines().last() == Some(words))
    };
    let file = site.places.groups_of(MEMBERS[0]).join("corp");
    site.host("core")?.nft(CUT)?;
    eventually_true("the program is told that the key ends", SOON, told("corp expiring"))?;
    eventually_true("the program is told that there is none", SOON, told("corp blocked"))?;
    ensure!(fs::read_to_string(&file)? == "blocked\n", "the file says {}", fs::read_to_string(&file)?);
    let waits = group.members[0].refusal("show gm --wait encrypting --timeout 1 --group corp")?;
    ensure!(waits.contains("not encrypting within 1 s"), "gdoictl says {waits}");
    site.host("core")?.must("nft delete table inet lab-cut")?;
    let shown = group.members[0].control("show gm --wait encrypting --timeout 60")?;
    ensure!(shown.contains("Protection    encrypting"), "gdoictl says {shown}");
    eventually_true("the program is told that there is one again", SOON, told("corp encrypting"))?;
    let mark = group.streams.mark();
    eventually_true("all hear each other the old way", SOON, || Ok(group.streams.all_heard_since(&mark)))?;
    thread::sleep(LONGER);
    let keys = group.watch.keys()?;
    let spis = keys.get(&HOSTS[0].1.into()).map_or(0, |spis| spis.keys().len());
    println!("   the program was told: {}", fs::read_to_string(&log)?.trim().replace('\n', ", "));
    println!("   the site's traffic left under {spis} SPIs; {}", group.finish()?);
    Ok(())
}

/// The router and its key servers do not hear each other.
const CUT: &str = "add table inet lab-cut
add chain inet lab-cut crossing { type filter hook forward priority 0; }
add rule inet lab-cut crossing ip saddr 198.51.100.1 udp dport 848 drop
add rule inet lab-cut crossing ip daddr 198.51.100.1 udp sport 848 drop
";

/// Lets a member run the program, which it is told of by a reload.
fn has_program(site: &Site, member: &Daemon) -> Outcome<PathBuf> {
    let folder = fs::canonicalize(&site.places.out)?;
    let (program, log) = (folder.join("on-change"), folder.join("on-change.log"));
    let _ = fs::remove_file(&log);
    fs::write(&program, PROGRAM.replace("LOG", &log.display().to_string()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    member.reconfigure(|config| config["on-change"] = json!(program))?;
    let said = member.control("reload")?;
    ensure!(said.contains("on-change"), "reload says {said}");
    eventually_true("the program is told what is so", SOON, || {
        Ok(fs::read_to_string(&log).is_ok_and(|text| text == "corp encrypting\n"))
    })?;
    Ok(log)
}
