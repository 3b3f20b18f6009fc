//! Daemons that end because others take their places: restarts and upgrades while traffic flows.

use crate::corp::registered;
use crate::daemon::Daemon;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{key_server, repetitions, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, KS2, MEMBERS};
use serde_json::json;
use std::time::Instant;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "restart",
    "restarts, other programs in the daemons' places and other settings, again and again: nothing is lost",
    restarts,
)];

/// Why a daemon is started anew.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// `systemctl restart`.
    Restart,
    /// A package brings another program.
    Upgrade,
    /// Settings that need a restart have changed.
    Settings,
}

const WHYS: [Why; 3] = [Why::Restart, Why::Upgrade, Why::Settings];

fn restarts(site: &Site) -> Outcome {
    let mut group = group(site)?;
    let begun = Instant::now();
    let times = repetitions("LAB_RESTARTS", 10);
    for number in 0..times {
        let member = &mut group.members[number % MEMBERS.len()];
        replace(member, WHYS[number % WHYS.len()])?;
        registered(member)?;
    }
    let seconds = begun.elapsed().as_secs();
    group.key_server.replace_program()?;
    ends(&mut group.key_server)?;
    group.key_server.start_again()?;
    group.key_server.says(&["KS_STATE_LOADED"], SOON)?;
    group.agrees()?;
    println!("   {times} restarts of members in {seconds} s, one of the key server: {}", group.finish()?);
    Ok(())
}

/// A group whose keys live long enough.
fn group(site: &Site) -> Outcome<Rekeyed> {
    let mut config = key_server(site, Transport::Unicast)?;
    config["groups"][0]["server-local"]["sa-ipsec"]["lifetime"] = json!(3600);
    Rekeyed::with(site, Transport::Unicast, config)
}

fn replace(member: &mut Daemon, why: Why) -> Outcome {
    match why {
        Why::Restart => {}
        Why::Upgrade => member.replace_program()?,
        Why::Settings => {
            member.reconfigure(|config| {
                let servers = &mut config["groups"][0]["servers"];
                *servers = if *servers == json!([KS1]) { json!([KS1, KS2]) } else { json!([KS1]) };
            })?;
            let said = member.control("reload")?;
            ensure!(said.contains("servers"), "reload says {said}");
        }
    }
    ends(member)?;
    member.start_again()
}

fn ends(daemon: &mut Daemon) -> Outcome {
    let status = daemon.terminate()?;
    ensure!(status.success(), "{} ended with {status}", daemon.host().name());
    Ok(())
}
