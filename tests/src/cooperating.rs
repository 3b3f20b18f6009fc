//! A group that three key servers share: who of them is primary, and whose rekey messages members get.

use crate::corp::{self, registered};
use crate::daemon::Daemon;
use crate::eventually::{eventually, eventually_true};
use crate::machine;
use crate::outcome::{ensure, failed, Outcome};
use crate::rekeying::{self, group, keys, Transport, SOON};
use crate::site::{Site, HOSTS, KS1, KS2, KS3, MEMBERS, WAN};
use crate::stream::Streams;
use crate::tally::Tallies;
use crate::watch::{exchange, key_of, Watch};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

/// The servers' hosts and addresses, the best first.
pub const SERVERS: [(&str, Ipv4Addr); 3] = [("ks1", KS1), ("ks2", KS2), ("ks3", KS3)];
const PRIORITIES: [u8; 3] = [100, 75, 50];
/// How long a server is back before it takes its role again, in seconds.
pub const HOLD_DOWN: u64 = 5;
/// The life of a traffic key: long enough for a server to come back and take its role before the next one is due.
pub fn life() -> Duration {
    machine::limit(rekeying::LIFE, Duration::from_secs(90))
}

/// Known to all servers and to no member.
const SERVERS_KEY: &str = "the key servers' own key, which no member has";

/// Three key servers and three members, each of which prefers another one, with streams between their hosts.
#[derive(Debug)]
pub struct Cooperating {
    /// What crosses the core.
    pub watch: Watch,
    /// On ks1, ks2 and ks3.
    pub servers: Vec<Daemon>,
    /// On gm1, gm2 and gm3.
    pub members: Vec<Daemon>,
    /// Between all pairs of hosts.
    pub streams: Streams,
}

/// What a server has done to change keys.
#[derive(Clone, Copy, Debug)]
pub struct Rekeys {
    made: usize,
    pushes: usize,
}

impl Cooperating {
    /// Starts the servers, waits until the first is primary of all, and goes on with members and streams.
    pub fn start(site: &Site, configs: Vec<Value>) -> Outcome<Self> {
        let watch = Watch::start(site)?;
        let servers = start_servers(site, configs)?;
        Self::start_members(site, watch, servers)
    }

    /// The same, but no server may take the role from another: the first one has it before the others come.
    pub fn start_in_order(site: &Site, mut configs: Vec<Value>) -> Outcome<Self> {
        let watch = Watch::start(site)?;
        let others = configs.split_off(1);
        let mut servers = start_servers(site, configs)?;
        servers[0].says(&["COOP_KS_TRANS_TO_PRI"], SOON)?;
        for ((host, _), config) in SERVERS.into_iter().skip(1).zip(others) {
            servers.push(site.key_server(host, config)?);
        }
        Self::start_members(site, watch, servers)
    }

    fn start_members(site: &Site, watch: Watch, servers: Vec<Daemon>) -> Outcome<Self> {
        in_step(&servers, KS1)?;
        let start_member = |number| site.member(MEMBERS[number], corp::member(&preferring(number)));
        let mut members = (0..MEMBERS.len()).map(start_member).collect::<Outcome<Vec<_>>>()?;
        members.iter_mut().try_for_each(registered)?;
        all_know(&servers, members.len())?;
        let group = Cooperating { watch, servers, members, streams: Streams::start(site)? };
        eventually_true("all hosts send", SOON, || Ok(group.watch.generations()? > 0))?;
        Ok(group)
    }

    /// Kills these servers at once; how long it takes until the heir is primary.
    pub fn lose(&mut self, dead: &[usize], heir: usize) -> Outcome<Duration> {
        let before = reigns(&self.servers[heir])?;
        let begin = Instant::now();
        dead.iter().try_for_each(|server| self.servers[*server].kill())?;
        let what = format!("{} is primary", SERVERS[heir].0);
        eventually_true(&what, SOON, || Ok(reigns(&self.servers[heir])? > before))?;
        let took = begin.elapsed();
        let limit = machine::limit(Duration::from_secs(5), Duration::from_secs(15));
        ensure!(took < limit, "{what} only after {} s", seconds(took));
        Ok(took)
    }

    /// Waits until a server has made a new key, members have it by that server's message, and all hosts send with it.
    pub fn next_rekey_from(&mut self, server: usize) -> Outcome {
        let before = self.rekeys_of(server)?;
        let newest = self.rekey_after(server, before)?;
        self.all_send_with(newest)
    }

    /// How many keys a server has made, and how many rekey messages of it the core has seen.
    pub fn rekeys_of(&mut self, server: usize) -> Outcome<Rekeys> {
        let pushes = self.watch.messages(exchange::PUSH, SERVERS[server].1, None)?;
        Ok(Rekeys { made: keys_made(&self.servers[server])?, pushes })
    }

    /// Waits until a server has made a new key since then, and members have it by that server's message; its SPI.
    pub fn rekey_after(&mut self, server: usize, before: Rekeys) -> Outcome<u32> {
        let name = SERVERS[server].0;
        let what = format!("{name} makes a new key");
        let due = life() + SOON;
        eventually_true(&what, due, || Ok(keys_made(&self.servers[server])? > before.made))?;
        self.agrees(server)?;
        let pushes = self.rekeys_of(server)?.pushes;
        ensure!(pushes > before.pushes, "the core has seen no rekey message of {name}");
        newest_key(&self.servers[server])
    }

    /// Waits until all hosts send with this key.
    pub fn all_send_with(&self, spi: u32) -> Outcome {
        eventually_true(&format!("all hosts send with {spi:#010x}"), SOON, || {
            let keys = self.watch.keys()?;
            let sends = |spis: &BTreeMap<u32, u64>| spis.keys().any(|one| key_of(*one) == key_of(spi));
            Ok(HOSTS.iter().all(|(_, host)| keys.get(&IpAddr::from(*host)).is_some_and(sends)))
        })
    }

    /// How many messages of phase 1 all members have sent.
    pub fn phase1(&mut self) -> Outcome<usize> {
        WAN.into_iter().map(|member| self.watch.messages(exchange::MAIN_MODE, member, None)).sum()
    }

    /// Waits until every member has all keys that this server has.
    pub fn agrees(&self, server: usize) -> Outcome {
        let what = format!("all members have the keys of {}", SERVERS[server].0);
        eventually_true(&what, SOON, || {
            let wanted = keys(&self.servers[server].show("ks")?["groups"][0]);
            for member in &self.members {
                if !keys(&group(member)?).is_superset(&wanted) {
                    return Ok(false);
                }
            }
            Ok(!wanted.is_empty())
        })
    }

    /// Ends the streams; nothing was lost, nothing was clear. The numbers for people.
    pub fn finish(self) -> Outcome<String> {
        let tallies = self.finish_lossy()?;
        tallies.nearly_all_arrived_among(&HOSTS.map(|(_, address)| address))?;
        Ok(format!("{tallies}, 0 clear"))
    }

    /// Ends the streams; nothing was clear, whatever was lost.
    pub fn finish_lossy(self) -> Outcome<Tallies> {
        self.streams.end(self.watch)
    }
}

/// As many as there are configurations.
fn start_servers(site: &Site, configs: Vec<Value>) -> Outcome<Vec<Daemon>> {
    SERVERS.into_iter().zip(configs).map(|((host, _), config)| site.key_server(host, config)).collect()
}

/// All servers, beginning with the one of this number.
fn preferring(number: usize) -> Vec<Ipv4Addr> {
    SERVERS.iter().cycle().skip(number).take(SERVERS.len()).map(|(_, address)| *address).collect()
}

/// ks.yaml of all servers, with one signing key, which is copied.
pub fn configurations(site: &Site) -> Outcome<Vec<Value>> {
    let mut first = rekeying::key_server(site, Transport::Unicast)?;
    first["groups"][0]["server-local"]["sa-ipsec"]["lifetime"] = json!(life().as_secs());
    (0..SERVERS.len()).map(|number| configuration(first.clone(), number)).collect()
}

fn configuration(mut config: Value, number: usize) -> Outcome<Value> {
    let (host, address) = SERVERS[number];
    let others: Vec<_> = SERVERS.iter().map(|(_, other)| *other).filter(|other| *other != address).collect();
    let keys = others.iter().map(|other| json!({ "address": other, "key": SERVERS_KEY }));
    let keys: Vec<_> = [config["pre-shared-keys"][0].clone()].into_iter().chain(keys).collect();
    config["address"] = json!(address);
    config["pre-shared-keys"] = json!(keys);
    let directory = config["state-directory"].as_str().unwrap_or_default();
    config["state-directory"] = json!(format!("{directory}-{host}"));
    let local = &mut config["groups"][0]["server-local"];
    let signing = Path::new(local["rekey"]["authentication"].as_str().unwrap_or_default()).to_owned();
    let copy = signing.with_file_name(format!("{host}.pem"));
    fs::copy(&signing, &copy)?;
    local["rekey"]["authentication"] = json!(copy);
    local["redundancy"] =
        json!({ "local-priority": PRIORITIES[number], "peers": others, "hold-down": HOLD_DOWN });
    Ok(config)
}

/// What a server says about those that share its only group.
pub fn standing(server: &Daemon) -> Outcome<Value> {
    Ok(server.show("ks coop")?["groups"][0]["redundancy"].clone())
}

/// Waits until all of these servers have this one for primary, hear each other and have the same keys.
pub fn in_step(servers: &[Daemon], primary: Ipv4Addr) -> Outcome {
    let what = format!("{primary} is primary and all are in step");
    let others_of = |own: usize| (0..servers.len()).filter(move |other| *other != own);
    let mut said = Vec::new();
    let done = eventually_true(&what, SOON, || {
        let Ok(standings) = servers.iter().map(standing).collect::<Outcome<Vec<_>>>() else {
            return Ok(false);
        };
        said = standings;
        let address = |number: usize| address(&servers[number]);
        Ok((0..servers.len()).all(|own| {
            let role = if address(own) == primary { "primary" } else { "secondary" };
            let stands = said[own]["role"] == role && said[own]["primary"] == json!(primary);
            stands && others_of(own).all(|other| follows(peer(&said[own], address(other))))
        }))
    });
    done.or_else(|stop| failed(format!("{stop}; they say {}", json!(said))))
}

/// Waits until all of these servers know so many members: who dies before has told nobody of them.
pub fn all_know(servers: &[Daemon], members: usize) -> Outcome {
    eventually_true(&format!("all servers know {members} members"), SOON, || {
        let known = servers.iter().map(|server| Ok(server.show("ks")?["groups"][0]["members"].clone()));
        Ok(known.collect::<Outcome<Vec<_>>>()?.iter().all(|known| *known == members))
    })
}

/// What a server says of another.
pub fn peer(standing: &Value, address: Ipv4Addr) -> &Value {
    let peers = standing["peers"].as_array().into_iter().flatten();
    peers.into_iter().find(|peer| peer["address"] == json!(address)).unwrap_or(&Value::Null)
}

fn follows(peer: &Value) -> bool {
    peer["state"] == "alive"
        && peer["linked"] == true
        && peer["in_step"] == true
        && peer["configured_alike"] == true
}

fn address(server: &Daemon) -> Ipv4Addr {
    let known = SERVERS.iter().find(|(host, _)| *host == server.host().name());
    known.map_or(Ipv4Addr::UNSPECIFIED, |(_, address)| *address)
}

/// How often a server has become primary since its start.
pub fn reigns(server: &Daemon) -> Outcome<usize> {
    Ok(server.log()?.matches("COOP_KS_TRANS_TO_PRI").count())
}

/// How many traffic keys a server has made since its start.
pub fn keys_made(server: &Daemon) -> Outcome<usize> {
    Ok(server.log()?.matches("KS_NEW_TEK").count())
}

/// The SPI of the traffic key that a server sends with last.
pub fn newest_key(server: &Daemon) -> Outcome<u32> {
    eventually("the server has a key", SOON, || {
        let said = server.show("ks")?;
        let newest = said["groups"][0]["teks"].as_array().and_then(|teks| teks.last());
        let spi = newest.and_then(|tek| tek["spi"].as_str()).and_then(|spi| spi.strip_prefix("0x"));
        Ok(spi.and_then(|spi| u32::from_str_radix(spi, 16).ok()))
    })
}

/// For people, with tenths.
pub fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
