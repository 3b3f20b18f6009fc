//! What can go wrong with a group: daemons, the kernel's tables, links.

use crate::corp::has_problem;
use crate::daemon::Daemon;
use crate::dice::Dice;
use crate::eventually::eventually_true;
use crate::host::Host;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{self, Rekeyed, LIFE, SOON};
use crate::site::{Site, MEMBERS, WAN};
use serde_json::json;
use std::thread;
use std::time::Duration;

/// What is done to a member's kernel by hand. One thing at a time: policies and table both hold what must not be clear, and
/// when both are gone at once, nothing does until the agent has noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One XFRM state is deleted.
    OneState,
    /// What the member sends with.
    SendingStates,
    /// One XFRM policy is deleted.
    OnePolicy,
    /// All of them.
    AllStates,
    /// All of them.
    AllPolicies,
    /// Our table has no rules any more.
    EmptyTable,
    /// Our table is gone.
    NoTable,
    /// All tables are gone.
    NoTables,
    /// One route to an anchor address is gone.
    NoAnchor,
}

/// One thing that happens to the group, to the member of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kill -9 of the agent, and a restart.
    Killed(usize),
    /// SIGTERM, and a restart.
    Stopped(usize),
    /// Kill -9 of the agent, damage while it is dead, and a restart.
    KilledAnd(usize, Damage),
    /// Damage under a running agent.
    Damaged(usize, Damage),
    /// The protected interface goes down and comes up again.
    InterfaceDown(usize),
    /// The interface loses its address and gets it back.
    AddressRemoved(usize),
    /// The link is cut on the core's side.
    LinkCut(usize),
    /// Kill -9 of the key server, and a restart.
    ServerKilled,
    /// The key server is away until all traffic keys have ended.
    KeysExpired,
    /// A reload with another local list.
    Reloaded(usize),
    /// A reload of a file that cannot be read.
    BadReload(usize),
}

const DAMAGES: [Damage; 9] = [
    Damage::OneState,
    Damage::SendingStates,
    Damage::OnePolicy,
    Damage::AllStates,
    Damage::AllPolicies,
    Damage::EmptyTable,
    Damage::NoTable,
    Damage::NoTables,
    Damage::NoAnchor,
];
/// How long a cause stays at most, where nothing has to be seen meanwhile.
const LONGEST: Duration = Duration::from_secs(3);

impl Fault {
    /// Any of them. Damage, of which there are many kinds, comes more often; an end of all keys, which takes long, less.
    pub fn draw(dice: &mut Dice) -> Self {
        let member = dice.below(MEMBERS.len());
        let damage = dice.pick(&DAMAGES).copied().unwrap_or(Damage::NoTables);
        match dice.below(21) {
            0 | 1 => Fault::Killed(member),
            2 => Fault::Stopped(member),
            3..=5 => Fault::KilledAnd(member, damage),
            6..=11 => Fault::Damaged(member, damage),
            12 | 13 => Fault::InterfaceDown(member),
            14 | 15 => Fault::AddressRemoved(member),
            16 => Fault::LinkCut(member),
            17 => Fault::ServerKilled,
            18 => Fault::KeysExpired,
            19 => Fault::Reloaded(member),
            _ => Fault::BadReload(member),
        }
    }

    /// Happens, is seen by who should see it, and is over when this returns.
    pub fn happen(self, site: &Site, group: &mut Rekeyed, dice: &mut Dice) -> Outcome {
        let pause = dice.pause(LONGEST);
        let Rekeyed { key_server, members, .. } = group;
        match self {
            Fault::Killed(member) => members[member].kill()?,
            Fault::Stopped(member) => {
                let status = members[member].terminate()?;
                ensure!(status.success(), "gdoi-gm ended with {status}");
            }
            Fault::KilledAnd(member, damage) => {
                members[member].kill()?;
                damage.happen(site.host(MEMBERS[member])?.as_ref(), dice)?;
            }
            Fault::Damaged(member, damage) => damaged(site, &members[member], damage, dice)?,
            Fault::InterfaceDown(member) => {
                site.host(MEMBERS[member])?.must("ip link set wan down")?;
                has_problem(&members[member], "wan is down")?;
            }
            Fault::AddressRemoved(member) => {
                site.host(MEMBERS[member])?.must(&format!("ip address del {}/30 dev wan", WAN[member]))?;
                has_problem(&members[member], "is not an address of this router")?;
            }
            Fault::LinkCut(member) => {
                site.host("core")?.must(&format!("ip link set {} down", MEMBERS[member])).map(drop)?;
            }
            Fault::ServerKilled => key_server.kill()?,
            Fault::KeysExpired => {
                key_server.kill()?;
                eventually_true("no member has a key any more", LIFE * 3, || {
                    Ok(members
                        .iter()
                        .map(is_without_key)
                        .collect::<Outcome<Vec<_>>>()?
                        .iter()
                        .all(|one| *one))
                })?;
            }
            Fault::Reloaded(member) => reload(&members[member], dice.below(200))?,
            Fault::BadReload(member) => bad_reload(&members[member])?,
        }
        thread::sleep(pause);
        self.end(site, group)
    }

    fn end(self, site: &Site, group: &mut Rekeyed) -> Outcome {
        match self {
            Fault::Killed(member) | Fault::Stopped(member) | Fault::KilledAnd(member, _) => {
                group.members[member].start_again()?;
                group.members[member].says(&[" GM_"], SOON).map(drop)
            }
            Fault::InterfaceDown(member) | Fault::AddressRemoved(member) => site.restore(MEMBERS[member]),
            Fault::LinkCut(_) => site.restore("core"),
            Fault::ServerKilled | Fault::KeysExpired => group.key_server.start_again(),
            Fault::Damaged(..) | Fault::Reloaded(_) | Fault::BadReload(_) => Ok(()),
        }
    }
}

/// One that the fault before this killed may not have registered again, and is closed then.
fn is_without_key(member: &Daemon) -> Outcome<bool> {
    let group = rekeying::group(member)?;
    Ok(group["protection"] == "blocked" || group["protection"] == "closed")
}

impl Damage {
    /// Does it; whether there was something to damage.
    fn happen(self, host: &Host, dice: &mut Dice) -> Outcome<bool> {
        let lines = match self {
            Damage::OneState => one(host, "ip -o xfrm state", dice, state_deletion)?,
            Damage::SendingStates => all(host, "ip -o xfrm state", sending_state_deletion)?,
            Damage::OnePolicy => one(host, "ip -o -s xfrm policy", dice, policy_deletion)?,
            Damage::NoAnchor => one(host, "ip route list table all proto 148", dice, route_deletion)?,
            Damage::AllStates => vec!["ip xfrm state flush".into()],
            Damage::AllPolicies => vec!["ip xfrm policy flush".into()],
            Damage::EmptyTable => vec!["nft flush table inet gdoi".into()],
            Damage::NoTable => vec!["nft delete table inet gdoi".into()],
            Damage::NoTables => vec!["nft flush ruleset".into()],
        };
        let mut done = false;
        for line in lines {
            done |= host.run(&line)?.success;
        }
        Ok(done)
    }
}

/// How a thing is deleted, by the words of its line in a list.
type Deletion = fn(&[&str]) -> Option<String>;

/// The command that deletes one of the things that another one lists a line each.
fn one(host: &Host, listing: &str, dice: &mut Dice, deletion: Deletion) -> Outcome<Vec<String>> {
    Ok(dice.pick(&all(host, listing, deletion)?).cloned().into_iter().collect())
}

/// The commands that delete all of them.
fn all(host: &Host, listing: &str, deletion: Deletion) -> Outcome<Vec<String>> {
    let text = host.must(listing)?;
    let lines = text.lines().map(|line| line.split([' ', '\t', '\\']).filter(|word| !word.is_empty()));
    Ok(lines.filter_map(|words| deletion(&words.collect::<Vec<_>>())).collect())
}

fn state_deletion(words: &[&str]) -> Option<String> {
    let (source, destination) = (after(words, "src")?, after(words, "dst")?);
    let spi = after(words, "spi")?.split('(').next()?;
    Some(format!("ip xfrm state delete src {source} dst {destination} proto esp spi {spi}"))
}

/// States that receive have no source.
fn sending_state_deletion(words: &[&str]) -> Option<String> {
    state_deletion(words).filter(|_| !matches!(after(words, "src"), Some("0.0.0.0" | "::")))
}

fn policy_deletion(words: &[&str]) -> Option<String> {
    let (direction, index) = (after(words, "dir")?, after(words, "index")?);
    Some(format!("ip xfrm policy delete index {index} dir {direction}"))
}

fn route_deletion(words: &[&str]) -> Option<String> {
    (!words.is_empty()).then(|| format!("ip route del {}", words.join(" ")))
}

fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().skip_while(|word| **word != name).nth(1).copied()
}

/// What a member logs when it changes its kernel, whether somebody else did or its keys.
const CHANGES: [&str; 2] = ["GM_POLICIES_REPAIRED", "GM_INSTALL_POLICIES_SUCCESS"];

fn changes(member: &Daemon) -> Outcome<usize> {
    let log = member.log()?;
    Ok(CHANGES.iter().map(|name| log.matches(name).count()).sum())
}

fn damaged(site: &Site, member: &Daemon, damage: Damage, dice: &mut Dice) -> Outcome {
    let before = changes(member)?;
    if !damage.happen(site.host(member.host().name())?.as_ref(), dice)? {
        return Ok(());
    }
    let what = format!("{} repairs its kernel and says so", member.host().name());
    eventually_true(&what, SOON, || Ok(changes(member)? > before))
}

/// Another entry of the local list, which changes nothing for protected hosts.
fn reload(member: &Daemon, number: usize) -> Outcome {
    let entry = format!("deny icmp any host 203.0.113.{}", number + 1);
    member.reconfigure(|config| config["groups"][0]["match-address"] = json!([entry]))?;
    member.control("reload")?;
    ensure!(member.control("show gm acl")?.contains(&entry), "a reload has not changed the local list");
    Ok(())
}

fn bad_reload(member: &Daemon) -> Outcome {
    let mut good = None;
    member.reconfigure(|config| {
        good = Some(config.clone());
        config["groups"][0]["match-address"] = json!(["permit everything"]);
    })?;
    let refused = member.refusal("reload");
    good.map_or(Ok(()), |config| member.configure(config))?;
    refused.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_what_is_listed() {
        let state =
            ["src", "0.0.0.0", "dst", "192.0.0.84", "proto", "esp", "spi", "0x01(1)", "reqid", "84800"];
        let wanted = "ip xfrm state delete src 0.0.0.0 dst 192.0.0.84 proto esp spi 0x01";
        assert_eq!(state_deletion(&state).as_deref(), Some(wanted));
        assert_eq!(sending_state_deletion(&state), None);
        let sending = [&["src", "192.0.2.1"], &state[2..]].concat();
        assert!(sending_state_deletion(&sending).is_some_and(|line| line.contains("src 192.0.2.1 dst")));
        let policy =
            ["src", "10.0.0.0/8", "dst", "10.0.0.0/8", "dir", "out", "action", "allow", "index", "77"];
        assert_eq!(policy_deletion(&policy).as_deref(), Some("ip xfrm policy delete index 77 dir out"));
        assert_eq!(policy_deletion(&policy[..4]), None);
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let mut dice = Dice::of(1);
        let drawn: Vec<_> = (0..2000).map(|_| Fault::draw(&mut dice)).collect();
        assert!(drawn.contains(&Fault::KeysExpired) && drawn.contains(&Fault::BadReload(2)));
        assert!(DAMAGES.iter().all(|damage| drawn.contains(&Fault::Damaged(0, *damage))));
    }
}
