//! Registrations that cannot succeed at the first key server: both sides say why, nothing is installed, the member tries
//! again and goes on to the next server.
//!
//! gm1 knows ks1, which refuses or does not answer, and ks2, which at first does not have the group.

use crate::capture::Capture;
use crate::corp::{self, nothing_installed, registered, REGISTRATION};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::packet::Packet;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, KS2, WAN};
use serde_json::{json, Value};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("wrong-key", "a wrong pre-shared key", wrong_key),
    Scenario::empty("unknown-group", "a group that the server does not have", unknown_group),
    Scenario::empty("unauthorized-address", "an address that the group does not admit", unauthorized_address),
    Scenario::empty(
        "unauthorized-identity",
        "an identity that the group does not admit",
        unauthorized_identity,
    ),
    Scenario::empty("no-proposal", "no common phase 1 proposal", no_proposal),
    Scenario::empty("silent-server", "a server that takes everything and says nothing", silent_server),
    Scenario::empty("unreachable-server", "a server address without a route", unreachable_server),
];

/// Two attempts at a server that says nothing, with all retransmissions and the pause between.
const TWO_ATTEMPTS: Duration = Duration::from_secs(240);
/// The members' port and the servers'.
const GDOI: u16 = 848;
/// Nobody has this address, and the core has no route to it.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
/// A key of gm1 alone, so that the server finds one for it and it is the wrong one.
const OTHER_KEY: &str = "another key, which nobody shares";

/// What each side must have in one line of its log about the refusal.
struct Lines<'a> {
    member: &'a [&'a str],
    server: &'a [&'a str],
}

fn wrong_key(site: &Site) -> Outcome {
    let mut server = corp::key_server(KS1);
    server["pre-shared-keys"] = json!([{ "address": WAN[0], "key": OTHER_KEY }]);
    let lines = Lines {
        member: &["GM_REGS_FAILED", "server 192.0.2.10:848 failed"],
        server: &["198.51.100.1", "pre-shared key"],
    };
    refused(site, corp::member(&[KS1, KS2]), server, &lines)
}

fn unknown_group(site: &Site) -> Outcome {
    let server = without_group(KS1);
    let lines = Lines {
        member: &["GM_REGS_FAILED", "server 192.0.2.10:848 failed", "refused"],
        server: &["198.51.100.1", "100"],
    };
    refused(site, corp::member(&[KS1, KS2]), server, &lines)
}

fn unauthorized_address(site: &Site) -> Outcome {
    let mut server = corp::key_server(KS1);
    server["groups"][0]["server-local"]["authorization"] = json!({ "address": ["198.51.100.4/30"] });
    let lines = Lines {
        member: &["GM_REGS_FAILED", "server 192.0.2.10:848 failed", "refused"],
        server: &["UNAUTHORIZED_IPADDR", "198.51.100.1"],
    };
    refused(site, corp::member(&[KS1, KS2]), server, &lines)
}

fn unauthorized_identity(site: &Site) -> Outcome {
    let mut server = corp::key_server(KS1);
    let (shared, name) = (server["pre-shared-keys"][0].clone(), json!({ "fqdn": "gm2.example" }));
    let bound = json!({ "address": "198.51.100.2", "identity": name, "key": "what only gm2 has" });
    server["pre-shared-keys"] = json!([shared, bound]);
    server["groups"][0]["server-local"]["authorization"] = json!({ "identity": [name] });
    let mut member = corp::member(&[KS1, KS2]);
    member["groups"][0]["identity"] = json!({ "fqdn": "gm1.example" });
    let lines = Lines {
        member: &["GM_REGS_FAILED", "server 192.0.2.10:848 failed", "refused"],
        server: &["UNAUTHORIZED_IDENTITY", "gm1.example"],
    };
    refused(site, member, server, &lines)
}

fn no_proposal(site: &Site) -> Outcome {
    let mut server = corp::key_server(KS1);
    server["phase1"] = json!([{ "encryption": "aes-128-cbc", "hash": "sha-512", "group": 14 }]);
    let lines = Lines {
        member: &["GM_REGS_FAILED", "server 192.0.2.10:848 failed", "proposal"],
        server: &["198.51.100.1", "proposal"],
    };
    refused(site, corp::member(&[KS1, KS2]), server, &lines)
}

fn without_group(server: Ipv4Addr) -> Value {
    let mut file = corp::key_server(server);
    file["groups"][0]["identity-number"] = json!(999);
    file
}

fn refused(site: &Site, member: Value, server: Value, lines: &Lines<'_>) -> Outcome {
    let mut watch = Watch::start(site, KS1)?;
    let other = site.key_server("ks2", without_group(KS2))?;
    let mut refusing = site.key_server("ks1", server)?;
    let mut member = site.member("gm1", member)?;
    member.says(lines.member, TWO_ATTEMPTS)?;
    refusing.says(lines.server, TWO_ATTEMPTS)?;
    watch.tries_again(site)?;
    ensure_short(&member, lines.member, watch.attempts.len())?;
    ensure_short(&refusing, lines.server, watch.attempts.len())?;
    drop(other);
    next_server(site, &mut member)
}

/// One line for each attempt, not one for each datagram.
fn ensure_short(daemon: &Daemon, words: &[&str], attempts: usize) -> Outcome {
    let log = daemon.log()?;
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    ensure!(
        lines <= attempts,
        "{}: {lines} lines with {words:?} for {attempts} attempts",
        daemon.host().name()
    );
    Ok(())
}

fn silent_server(site: &Site) -> Outcome {
    let _silent = site.host("ks1")?.inside(|| Ok(UdpSocket::bind((KS1, GDOI))?))?;
    unanswered(site, KS1)
}

fn unreachable_server(site: &Site) -> Outcome {
    unanswered(site, NOWHERE)
}

fn unanswered(site: &Site, server: Ipv4Addr) -> Outcome {
    let mut watch = Watch::start(site, server)?;
    let other = site.key_server("ks2", without_group(KS2))?;
    let mut member = site.member("gm1", corp::member(&[server, KS2]))?;
    member.says(&["GM_REGS_FAILED", &format!("server {server}:848 failed"), "no answer"], TWO_ATTEMPTS)?;
    watch.tries_again(site)?;
    drop(other);
    next_server(site, &mut member)
}

/// The second server of the list comes back with the group: the member ends there, and works.
fn next_server(site: &Site, member: &mut Daemon) -> Outcome {
    let mut key_server = site.key_server("ks2", corp::key_server(KS2))?;
    registered(member)?;
    let mut other = site.member("gm2", corp::member(&[KS2]))?;
    registered(&mut other)?;
    key_server.says(&["KS_REGS_COMPL", &WAN[0].to_string()], REGISTRATION)?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(answers == 3, "{answers} of 3 requests were answered with the second server's keys");
    Ok(())
}

/// The attempts of gm1 to register at a server, as the core sees them.
struct Watch {
    core: Capture,
    server: Ipv4Addr,
    attempts: Vec<Vec<u8>>,
}

impl Watch {
    fn start(site: &Site, server: Ipv4Addr) -> Outcome<Self> {
        let name = site.places.next_name("core");
        let core = Capture::start(site.host("core")?, &site.places.out, &name)?;
        Ok(Watch { core, server, attempts: Vec::new() })
    }

    /// Waits for the second attempt, while nothing must get into the member's kernel.
    fn tries_again(&mut self, site: &Site) -> Outcome {
        let gm1 = site.host("gm1")?;
        eventually_true("a second attempt", TWO_ATTEMPTS, || {
            nothing_installed(&gm1)?;
            self.count()?;
            Ok(self.attempts.len() >= 2)
        })
    }

    /// Each attempt has an initiator cookie of its own (RFC 2408 section 3.1).
    fn count(&mut self) -> Outcome {
        for packet in self.core.fresh()? {
            if !self.concerns(&packet) {
                continue;
            }
            let cookie = packet.udp_payload().and_then(|isakmp| isakmp.get(..8)).unwrap_or_default();
            if !self.attempts.iter().any(|known| known == cookie) {
                self.attempts.push(cookie.to_vec());
            }
        }
        Ok(())
    }

    fn concerns(&self, packet: &Packet) -> bool {
        let gdoi = packet.udp_ports().is_some_and(|(_, destination)| destination == GDOI);
        gdoi && packet.source == WAN[0] && packet.destination == self.server
    }
}
