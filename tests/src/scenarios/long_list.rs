//! An access list that is longer than a packet, through a core that lets no piece of a packet pass.

use crate::capture::Capture;
use crate::corp::{self, ping_all, registered, Crossed, REGISTRATION};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::machine;
use crate::outcome::{ensure, Outcome};
use crate::packet::Packet;
use crate::rekeying::{self, never_registered_again, Transport};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, MEMBERS};
use serde_json::{json, Value};
use std::net::IpAddr;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "long-list",
    "a long list, 500 entries of which permit, comes by registration and by rekey where no fragment of a packet passes",
    crosses,
)];

/// Before connection tracking puts anything together.
const RULES: &str = "
add table inet lab-pieces
add chain inet lab-pieces pieces { type filter hook prerouting priority -450; }
add rule inet lab-pieces pieces ip frag-off & 0x3fff != 0 counter drop
";
/// Headers of IPv4 and UDP before what is at most 1,200 octets.
const LONGEST: u16 = 20 + 8 + 1_200;

/// So many entries permit, the last one what the hosts send.
const PERMITS: usize = 500;

/// With those that deny as many entries as there can be, but none of them where a processor is emulated, which is busy with the
/// others for a minute.
fn length() -> usize {
    match machine::emulated() {
        true => PERMITS,
        false => 1_000,
    }
}

fn list(port: u16) -> Value {
    let others = (1..length()).map(|number| {
        let action = if number > length() - PERMITS { "permit" } else { "deny" };
        let (high, low) = (number / 256, number % 256);
        format!("{action} tcp host 10.250.{high}.{low} 10.251.0.0/16 eq {port}")
    });
    others.chain(["permit ip 10.0.0.0/8 10.0.0.0/8".into()]).collect()
}

fn crosses(site: &Site) -> Outcome {
    let core = site.host("core")?;
    core.nft(RULES)?;
    let result = registers_and_rekeys(site);
    core.must("nft delete table inet lab-pieces")?;
    result
}

fn registers_and_rekeys(site: &Site) -> Outcome {
    let name = site.places.next_name("core");
    let mut core = Capture::start(site.host("core")?, &site.places.out, &name)?;
    let mut config = rekeying::key_server(site, Transport::Unicast)?;
    let ipsec = &mut config["groups"][0]["server-local"]["sa-ipsec"];
    (ipsec["lifetime"], ipsec["match-address"]) = (json!(3600), list(81));
    let key_server = site.key_server("ks1", config.clone())?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    all_hold(&members, "eq 81")?;
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = list(82);
    key_server.configure(config)?;
    key_server.control("reload")?;
    key_server.control("ks rekey")?;
    all_hold(&members, "eq 82")?;
    never_registered_again(&members)?;
    let answered = ping_all(site)?;
    ensure!(answered == 6, "{answered} of 6 pairs answer");
    let crossed = Crossed::sort(core.fresh()?);
    crossed.none_clear()?;
    spoken_in_short_packets(&crossed.other)
}

fn all_hold(members: &[Daemon], words: &str) -> Outcome {
    eventually_true(&format!("all members have the list with `{words}`"), REGISTRATION, || {
        for member in members {
            if !list_of(member)?.contains(words) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// A daemon on an emulated processor installs so many entries for longer than gdoictl waits for it.
fn list_of(member: &Daemon) -> Outcome<String> {
    match member.control("show gm acl") {
        Err(_) if machine::emulated() => Ok(String::new()),
        answer => answer,
    }
}

/// The list went to each member twice, and no packet with it was longer than every path carries, or a piece of one.
fn spoken_in_short_packets(packets: &[Packet]) -> Outcome {
    let server = IpAddr::from(KS1);
    let sent: Vec<_> = packets.iter().filter(|packet| packet.source == server).collect();
    ensure!(!sent.iter().any(|packet| packet.fragment), "the key server's packets were cut on the way");
    let longest = sent.iter().map(|packet| packet.length).max().unwrap_or_default();
    let full = sent.iter().filter(|packet| packet.length == LONGEST).count();
    ensure!(
        longest == LONGEST && full >= 2 * 3 * length() / 200,
        "{full} packets of {LONGEST} octets, the longest has {longest}"
    );
    println!("   {full} packets of {LONGEST} octets from the key server, none longer");
    Ok(())
}
