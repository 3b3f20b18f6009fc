//! A group that is rekeyed, with short lives: its daemons, and how keys came to its members.

use crate::cell::Cell;
use crate::corp::{self, registered, REGISTRATION};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::machine;
use crate::multicast::{protected_way, Routing};
use crate::outcome::{ensure, Outcome};
use crate::site::{Site, KS1, MEMBERS};
use crate::stream::Streams;
use crate::tally::Tallies;
use crate::watch::Watch;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The life of a traffic key.
pub const LIFE: Duration = Duration::from_secs(30);
/// Longer than any wait for a rekey that must come.
pub const SOON: Duration = Duration::from_secs(60);
/// The group of multicast rekey messages.
const MULTICAST: Ipv4Addr = Ipv4Addr::new(239, 192, 1, 190);

/// How rekey messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One to each member, acknowledged.
    Unicast,
    /// One to all, repeated.
    Multicast,
}

/// Three members of a rekeyed group, with streams between their hosts, watched in the core.
#[derive(Debug)]
pub struct Rekeyed {
    /// What crosses the core.
    pub watch: Watch,
    /// On ks1.
    pub key_server: Daemon,
    /// On gm1, gm2 and gm3.
    pub members: Vec<Daemon>,
    /// Of what the hosts send to groups.
    pub routing: Routing,
    /// Between all pairs of hosts.
    pub streams: Streams,
}

impl Rekeyed {
    /// Starts the daemons, waits until all members are registered, and starts the streams.
    pub fn start(site: &Site, transport: Transport) -> Outcome<Self> {
        Self::with(site, transport, key_server(site, transport)?)
    }

    /// The same with another configuration of the key server.
    pub fn with(site: &Site, transport: Transport, config: Value) -> Outcome<Self> {
        Self::of(site, transport, config, Cell::BASIC)
    }

    /// The same with the streams of a cell of the matrix.
    pub fn of(site: &Site, transport: Transport, config: Value, cell: Cell) -> Outcome<Self> {
        let watch = Watch::start(site)?;
        if transport == Transport::Multicast {
            copy_multicast(site, MULTICAST.into())?;
        }
        let key_server = site.key_server("ks1", config)?;
        let start_member = |host| site.member(host, corp::member(&[KS1]));
        let mut members = MEMBERS.into_iter().map(start_member).collect::<Outcome<Vec<_>>>()?;
        members.iter_mut().try_for_each(registered)?;
        let routing = Routing::start(site, cell, protected_way(cell))?;
        Ok(Rekeyed { watch, key_server, members, routing, streams: Streams::warmed(site, cell)? })
    }

    /// What each member says of its group.
    pub fn groups(&self) -> Outcome<Vec<Value>> {
        self.members.iter().map(group).collect()
    }

    /// Fails unless every member has registered once and had all later keys by rekey.
    pub fn never_registered_again(&self) -> Outcome {
        never_registered_again(&self.members)
    }

    /// Waits until every member has all keys that the key server has.
    pub fn agrees(&self) -> Outcome {
        eventually_true("all members have the key server's keys", SOON, || {
            let wanted = keys(&self.key_server.show("ks")?["groups"][0]);
            Ok(self.groups()?.iter().all(|group| keys(group).is_superset(&wanted)) && !wanted.is_empty())
        })
    }

    /// Ends the streams; nothing was lost, nothing was clear. The numbers for people.
    pub fn finish(self) -> Outcome<String> {
        let tallies = self.finish_lossy()?;
        tallies.all_arrived()?;
        Ok(format!("{tallies}, 0 clear"))
    }

    /// Ends the streams; nothing was clear, whatever was lost.
    pub fn finish_lossy(self) -> Outcome<Tallies> {
        let tallies = self.streams.end(self.watch);
        drop(self.routing); // not before the streams have ended
        tallies
    }
}

/// Fails unless every one of these members has registered once and had all later keys by rekey.
pub fn never_registered_again(members: &[Daemon]) -> Outcome {
    for member in members {
        let (name, group) = (member.host().name(), group(member)?);
        ensure!(group["registrations"] == 1, "{name} has registered {} times", group["registrations"]);
        ensure!(group["keys_from"]["way"] == "rekey", "{name} has its keys from {}", group["keys_from"]);
    }
    Ok(())
}

/// The SPIs of the traffic keys in what a daemon says of a group.
pub fn keys(group: &Value) -> BTreeSet<String> {
    group["teks"].as_array().into_iter().flatten().map(|tek| tek["spi"].to_string()).collect()
}

/// What a member says of its only group.
pub fn group(member: &Daemon) -> Outcome<Value> {
    Ok(member.show("gm")?["groups"][0].clone())
}

/// The new rekey messages that a member has received since its start.
pub fn received(member: &Daemon) -> Outcome<u64> {
    Ok(group(member)?["rekeys"]["received"].as_u64().unwrap_or(0))
}

/// Waits until a member has received more than this.
pub fn receives(member: &Daemon, more_than: u64) -> Outcome {
    let what = format!("{} receives its rekey number {}", member.host().name(), more_than + 1);
    eventually_true(&what, SOON.max(REGISTRATION), || Ok(received(member)? > more_than))
}

/// A number from the environment, for longer runs than the usual ones.
pub fn repetitions(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How often keys change while streams run: $LAB_ROLLOVERS.
pub fn rollovers() -> usize {
    repetitions("LAB_ROLLOVERS", if machine::emulated() { 1 } else { 2 })
}

/// ks.yaml of the key server, with a signing key and stored state.
pub fn key_server(site: &Site, transport: Transport) -> Outcome<Value> {
    key_server_of(site, transport, Cell::BASIC)
}

/// The same for a cell of the matrix.
pub fn key_server_of(site: &Site, transport: Transport, cell: Cell) -> Outcome<Value> {
    let folder = site.places.out.join(site.places.next_name("state"));
    fs::create_dir_all(&folder)?;
    let folder = fs::canonicalize(folder)?;
    let (signing, sealing) = (folder.join("rekey.pem"), folder.join("state.key"));
    let gdoictl = site.places.programs.join("gdoictl");
    site.host("ks1")?.must(&format!("{} ks key generate {}", gdoictl.display(), signing.display()))?;
    fs::write(&sealing, "0123456789abcdef".repeat(4))?;
    let mut config = corp::key_server_of(KS1, cell);
    config["lab-timers"] = json!(true);
    config["state-directory"] = json!(folder.join("state"));
    config["state-key-file"] = json!(sealing);
    let local = &mut config["groups"][0]["server-local"];
    local["sa-ipsec"]["lifetime"] = json!(LIFE.as_secs());
    local["rekey"] = match transport {
        Transport::Unicast => json!({ "authentication": signing }),
        Transport::Multicast => {
            json!({ "authentication": signing, "transport": "multicast", "address": MULTICAST })
        }
    };
    Ok(config)
}

/// A multicast router of a few words: the core copies what ks1 sends to the group to the members' links.
pub fn copy_multicast(site: &Site, group: IpAddr) -> Outcome {
    let core = site.host("core")?;
    let family = if group.is_ipv4() { "ip" } else { "ip6" };
    core.run("nft delete table netdev lab-multicast")?;
    let copies: String = MEMBERS.iter().map(|member| format!(" dup to \"{member}\"")).collect();
    core.nft(&format!(
        "add table netdev lab-multicast
         add chain netdev lab-multicast copies {{ type filter hook ingress device \"ks1\" priority 0; }}
         add rule netdev lab-multicast copies {family} daddr {group}{copies}\n"
    ))
}
