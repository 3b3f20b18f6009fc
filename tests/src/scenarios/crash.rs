//! Members that end, in one way or another, while traffic flows.

use crate::corp::{protection, registered, states, Corp, Crossed};
use crate::eventually::eventually_true;
use crate::host::{answers, command};
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, OUTSIDE};
use std::process::{Child, Stdio};
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "killed-member",
        "after kill -9 the kernel goes on, and a restart leaks nothing",
        killed_member,
    ),
    Scenario::empty(
        "adopted-damaged",
        "what a killed member left protects without a key server, and where it is damaged nothing passes",
        damaged_adoption,
    ),
];

const SETTLING: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);

fn killed_member(site: &Site, corp: &mut Corp) -> Outcome {
    let h1 = site.host("h1")?;
    corp.core.fresh()?;
    corp.members[0].kill()?;
    let without = h1.ping(HOSTS[1].1)?;
    ensure!(without == 3, "{without} of 3 requests were answered while no daemon ran");
    let stream = Stream::start(site)?;
    corp.members[0].start_again()?;
    registered(&mut corp.members[0])?;
    settled(site)?;
    let (sent, answered) = stream.stop()?;
    // The last request may still be under way.
    ensure!(answered + 1 >= sent, "{answered} of {sent} requests were answered while the daemon came back");
    Crossed::sort(corp.core.fresh()?).none_clear()?;
    let after = h1.ping(HOSTS[1].1)?;
    ensure!(after == 3, "{after} of 3 requests were answered after the restart");
    Ok(())
}

fn settled(site: &Site) -> Outcome {
    let gm1 = site.host("gm1")?;
    eventually_true("one outbound and one inbound state after the restart", SETTLING, || {
        Ok(states(&gm1)?.are_of_one_key())
    })
}

/// Echo requests from h1 to h2 all the time.
struct Stream {
    ping: Child,
}

impl Stream {
    fn start(site: &Site) -> Outcome<Self> {
        let mut ping = command(&format!("ping -n -i 0.1 -W 2 {}", HOSTS[1].1));
        ping.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Stream { ping: site.host("h1")?.spawn(ping)? })
    }

    /// How many were sent, how many answered.
    fn stop(self) -> Outcome<(u32, u32)> {
        let pid = nix::unistd::Pid::from_raw(self.ping.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
        let output = self.ping.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let summary = text.lines().find(|line| line.contains("transmitted")).unwrap_or_default();
        let sent = summary.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        ensure!(sent > 0, "ping sent nothing: {text}");
        Ok((sent, answers(&text)))
    }
}

/// A member that cannot register protects with what it found; when somebody damages that, nothing passes any more, whatever
/// else is taken away.
fn damaged_adoption(site: &Site) -> Outcome {
    let mut corp = Corp::start(site)?;
    corp.key_server.kill()?;
    adopts(site, &mut corp)?;
    corp.members[0].host().must("ip xfrm policy flush")?;
    corp.members[0].says(&["GM_ADOPTION_ENDED"], SOON)?;
    protection(&corp.members[0], "closed")?;
    nothing_passes(site)?;
    corp.members[0].host().must("nft flush ruleset")?;
    nothing_passes(site)?;
    corp.key_server.start_again()?;
    registered(&mut corp.members[0])?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}

fn nothing_passes(site: &Site) -> Outcome {
    let answers = site.host("h1")?.ping(HOSTS[1].1)? + site.host("h1")?.ping(OUTSIDE)?;
    ensure!(answers == 0, "{answers} of 6 requests were answered");
    Ok(())
}

fn adopts(site: &Site, corp: &mut Corp) -> Outcome {
    // Who was not heard before is not received without keys.
    site.host("h1")?.ping(HOSTS[1].1)?;
    corp.members[0].kill()?;
    corp.members[0].start_again()?;
    protection(&corp.members[0], "adopted")?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(answers == 3, "{answers} of 3 requests were answered by what a killed member left");
    Ok(())
}
