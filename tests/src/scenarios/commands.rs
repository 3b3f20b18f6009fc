//! What operators make a key server do, while streams flow.

use crate::corp::{nothing_installed, ping_all, protection, states};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{self, group, keys, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, WAN};
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("ks-rekey", "`ks rekey` under streams: all members change keys, nothing is lost", rekey),
    Scenario::empty(
        "ks-replace-now",
        "`ks rekey --replace-now`: the old key is gone at once, nothing is clear; losses are printed",
        replace_now,
    ),
    Scenario::empty(
        "ks-remove",
        "`ks remove`: the member is out when the old key has ended, the others lose nothing; `ks readmit`",
        remove,
    ),
    Scenario::empty(
        "ks-remove-now",
        "`ks remove --now`: the member is out at once, the others come back",
        remove_now,
    ),
    Scenario::empty("ks-remove-all", "`ks remove --all`: all register again and lose nothing", remove_all),
    Scenario::empty(
        "ks-reload",
        "a changed policy: `reload --dry-run` says when it holds, and with `ks rekey` it does",
        reload,
    ),
];

/// How long replaced keys live on: members must have registered again by then.
fn deactivation() -> Duration {
    limit(Duration::from_secs(6), Duration::from_secs(15))
}

/// What a member adds to a key's end, and what it takes until the key is out of the kernel.
fn grace() -> Duration {
    limit(Duration::from_secs(4), Duration::from_secs(12))
}

/// A group whose keys live so long that nothing but commands changes them.
fn configuration(site: &Site) -> Outcome<Value> {
    let mut config = rekeying::key_server(site, Transport::Unicast)?;
    let local = &mut config["groups"][0]["server-local"];
    local["sa-ipsec"]["lifetime"] = json!(3600);
    local["activation-delay"] = json!(2);
    local["deactivation-delay"] = json!(deactivation().as_secs());
    local["rekey"]["retransmit"] = json!({ "interval": 1, "number": 2 });
    Ok(config)
}

/// A group with streams that all have begun, and the SPI of its only key.
fn start(site: &Site) -> Outcome<(Rekeyed, BTreeSet<String>)> {
    start_with(site, configuration(site)?)
}

fn start_with(site: &Site, config: Value) -> Outcome<(Rekeyed, BTreeSet<String>)> {
    let rekeyed = Rekeyed::with(site, Transport::Unicast, config)?;
    all_have_sent_with(&rekeyed, 1)?;
    let old = keys(&rekeyed.key_server.show("ks")?["groups"][0]);
    ensure!(old.len() == 1, "the group has {} keys", old.len());
    Ok((rekeyed, old))
}

/// Waits until packets of all hosts have been encrypted with so many keys.
fn all_have_sent_with(rekeyed: &Rekeyed, number: usize) -> Outcome {
    let what = format!("all hosts have sent with {number} keys");
    eventually_true(&what, SOON, || Ok(rekeyed.watch.generations()? == number))
}

/// What gdoictl says about a command must have these words.
fn command(rekeyed: &Rekeyed, arguments: &str, words: &str) -> Outcome {
    let said = rekeyed.key_server.control(arguments)?;
    ensure!(said.contains(words), "`{arguments}` says {said}");
    Ok(())
}

/// Waits until these members have one key, which is none of these, and the kernel nothing else.
fn changed(members: &[Daemon], old: &BTreeSet<String>, limit: Duration) -> Outcome {
    eventually_true("only the new key is left", limit, || {
        for member in members {
            let held = keys(&group(member)?);
            let alone = states(member.host())?.are_of_one_key();
            if held.len() != 1 || !held.is_disjoint(old) || !alone {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Fails unless every one of these members has registered so often.
fn registered(members: &[Daemon], times: u64) -> Outcome {
    for member in members {
        let registrations = &group(member)?["registrations"];
        ensure!(*registrations == times, "{} has registered {registrations} times", member.host().name());
    }
    Ok(())
}

fn rekey(site: &Site) -> Outcome {
    let (rekeyed, old) = start(site)?;
    command(
        &rekeyed,
        "ks rekey",
        "goes to 3 members by unicast; the old keys are received until all have it",
    )?;
    changed(&rekeyed.members, &old, deactivation() + grace())?;
    all_have_sent_with(&rekeyed, 2)?;
    rekeyed.never_registered_again()?;
    println!("   {}", rekeyed.finish()?);
    Ok(())
}

fn replace_now(site: &Site) -> Outcome {
    let (rekeyed, old) = start(site)?;
    command(&rekeyed, "ks rekey --replace-now", "goes to 3 members by unicast; the old keys end now")?;
    changed(&rekeyed.members, &old, grace())?;
    rekeyed.never_registered_again()?;
    // The keys are in the kernel a moment after the member has them.
    eventually_true("all pairs answer under the new key", grace(), || Ok(ping_all(site)? == 6))?;
    println!("   {}, 0 clear", rekeyed.finish_lossy()?);
    Ok(())
}

fn remove(site: &Site) -> Outcome {
    let (mut rekeyed, old) = start(site)?;
    let said =
        "is removed and may not register again; 2 members are told to register again; their keys live on";
    command(&rekeyed, &format!("ks remove {}", WAN[2]), said)?;
    is_out(&mut rekeyed, deactivation() + grace())?;
    changed(&rekeyed.members[..2], &old, grace())?;
    registered(&rekeyed.members[..2], 2)?;
    comes_back(site, &rekeyed)?;
    let tallies = rekeyed.finish_lossy()?;
    tallies.nearly_all_arrived_among(&[HOSTS[0].1, HOSTS[1].1])?;
    println!("   those who stayed went on; with the removed member's {tallies}, 0 clear");
    Ok(())
}

fn remove_now(site: &Site) -> Outcome {
    let (mut rekeyed, old) = start(site)?;
    let said =
        "is removed and may not register again; 2 members are told to register again; their keys end now";
    command(&rekeyed, &format!("ks remove {} --now", WAN[2]), said)?;
    is_out(&mut rekeyed, grace())?;
    changed(&rekeyed.members[..2], &old, SOON)?;
    registered(&rekeyed.members[..2], 2)?;
    let answers = site.host(HOSTS[0].0)?.ping(HOSTS[1].1)?;
    ensure!(answers == 3, "{answers} of 3 pings between those who stayed are answered");
    println!("   {}, 0 clear", rekeyed.finish_lossy()?);
    Ok(())
}

/// Waits until the third member has no key any more. It is told why, and has never had another key.
fn is_out(rekeyed: &mut Rekeyed, limit: Duration) -> Outcome {
    let member = &mut rekeyed.members[2];
    eventually_true("the removed member is out", limit, || {
        Ok(group(member)?["registration"] == "expired" && nothing_installed(member.host()).is_ok())
    })?;
    member.says(&["GM_REGS_FAILED", "AUTHENTICATION-FAILED"], SOON)?;
    let used = rekeyed.watch.keys()?.get(&IpAddr::from(HOSTS[2].1)).map_or(0, |keys| keys.len());
    ensure!(used == 1, "the removed member's host has sent with {used} keys");
    let removed = &rekeyed.key_server.show("ks members")?["groups"][0]["removed"];
    ensure!(*removed == json!([WAN[2]]), "the key server has removed {removed}");
    Ok(())
}

fn comes_back(site: &Site, rekeyed: &Rekeyed) -> Outcome {
    let removed = WAN[2];
    command(rekeyed, &format!("ks readmit {removed}"), &format!("{removed} may register again"))?;
    let member = &rekeyed.members[2];
    member.control("gm register")?;
    protection(member, "encrypting")?;
    let answered = ping_all(site)?;
    ensure!(answered == 6, "{answered} of 6 pairs answer after {removed} was readmitted");
    Ok(())
}

fn remove_all(site: &Site) -> Outcome {
    let (rekeyed, old) = start(site)?;
    let said = "3 members are told to register again; their keys live on for the deactivation-delay";
    command(&rekeyed, "ks remove --all", said)?;
    changed(&rekeyed.members, &old, deactivation() + grace())?;
    all_have_sent_with(&rekeyed, 2)?;
    registered(&rekeyed.members, 2)?;
    println!("   {}", rekeyed.finish()?);
    Ok(())
}

/// What is changed: the access list, and the lifetime in seconds.
const ENTRY: &str = "permit ip 10.0.0.0/9 10.0.0.0/9";
const LIFETIME: u64 = 1800;

fn reload(site: &Site) -> Outcome {
    let mut config = configuration(site)?;
    let (rekeyed, _) = start_with(site, config.clone())?;
    let ipsec = &mut config["groups"][0]["server-local"]["sa-ipsec"];
    (ipsec["lifetime"], ipsec["match-address"]) = (json!(LIFETIME), json!([ENTRY]));
    rekeyed.key_server.configure(config)?;
    let applied = tells(&rekeyed, "reload --dry-run")?;
    ensure!(!applied, "a dry run says that it has changed something");
    ensure!(
        !rekeyed.key_server.control("show ks policy")?.contains(ENTRY),
        "a dry run has changed the policy"
    );
    ensure!(tells(&rekeyed, "reload")?, "a reload says that it has changed nothing");
    ensure!(rekeyed.key_server.control("show ks policy")?.contains(ENTRY), "the policy has not changed");
    ensure!(holders(&rekeyed.members)? == 0, "members hold the changed policy before a rekey");
    rekeyed.key_server.control("ks rekey")?;
    eventually_true("all members hold the changed policy", SOON, || Ok(holders(&rekeyed.members)? == 3))?;
    all_have_sent_with(&rekeyed, 2)?;
    rekeyed.never_registered_again()?;
    println!("   {}", rekeyed.finish()?);
    Ok(())
}

/// A reload tells that both changes come with the next rekey. Whether it says that it has applied them.
fn tells(rekeyed: &Rekeyed, command: &str) -> Outcome<bool> {
    let report: Value = serde_json::from_str(&rekeyed.key_server.control(&format!("--json {command}"))?)?;
    let changes = report["changes"].as_array().into_iter().flatten();
    let told: Vec<_> = changes.map(|change| (&change["what"], &change["effect"])).collect();
    let next = json!("next_rekey");
    let wanted = [(&json!("match-address"), &next), (&json!("sa-ipsec lifetime"), &next)];
    ensure!(told == wanted, "`{command}` tells {report}");
    Ok(report["applied"] == true)
}

/// How many members have the changed access list and a key with the changed lifetime.
fn holders(members: &[Daemon]) -> Outcome<usize> {
    let mut holders = 0;
    for member in members {
        let list = member.control("show gm acl")?.contains(ENTRY);
        let shown = member.control("show gm")?;
        let has_key = minutes_left(&shown).any(|minutes| (LIFETIME / 120..=LIFETIME / 60).contains(&minutes));
        holders += usize::from(list && has_key);
    }
    Ok(holders)
}

/// The numbers in what gdoictl shows as `ends in 29m3s`: keys of the earlier lifetime have twice as many, or seconds only.
fn minutes_left(shown: &str) -> impl Iterator<Item = u64> + '_ {
    shown.split(" ends in ").skip(1).filter_map(|rest| rest.split_once('m')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_that_keys_have_left_are_read() {
        let shown = "KEK ends in 23h59m (x)\nTEK 0x1 ends in 29m3s (x)\nTEK 0x2 ends in 5s (x)\nTEK 0x3 ends in 30m (x)";
        assert!(minutes_left(shown).eq([29, 30]));
    }
}
