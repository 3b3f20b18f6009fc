//! The group of the lab: 10.0.0.0/8 among all members, and its configuration files.

use crate::capture::Capture;
use crate::cell::{protected, protected_group, Cell};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::host::Host;
use crate::outcome::{ensure, failed, Outcome};
use crate::packet::{protocol, Packet};
use crate::site::{Site, HOSTS, KS1, MEMBERS};
use crate::stream;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

/// Long enough for a registration on an emulated processor.
pub const REGISTRATION: Duration = Duration::from_secs(120);
/// The key that all members share with the key servers.
pub const KEY: &str = "the lab's key, 32 octets of text";

/// gm.yaml of a member that asks these key servers in this order.
pub fn member(servers: &[Ipv4Addr]) -> Value {
    json!({ "groups": [{
        "name": "corp",
        "identity-number": 100,
        "servers": servers,
        "interfaces": ["wan"],
        "pre-shared-key": KEY,
    }] })
}

/// ks.yaml of a key server.
pub fn key_server(address: Ipv4Addr) -> Value {
    key_server_of(address, Cell::BASIC)
}

/// The same for another cell of the matrix.
pub fn key_server_of(address: Ipv4Addr, cell: Cell) -> Value {
    json!({
        "address": address,
        "pre-shared-keys": [{ "address": "198.51.100.0/24", "key": KEY }],
        "groups": [{
            "name": "corp",
            "identity-number": 100,
            "server-local": {
                "sa-ipsec": {
                    "transform": cell.transform.to_string(),
                    "lifetime": 3600,
                    "match-address": cell.access_list(),
                },
            },
        }],
    })
}

/// One key server and three registered members, watched in the core.
#[derive(Debug)]
pub struct Corp {
    /// What crosses the core.
    pub core: Capture,
    /// On ks1.
    pub key_server: Daemon,
    /// On gm1, gm2 and gm3.
    pub members: Vec<Daemon>,
}

impl Corp {
    /// Starts the daemons and waits until all members are registered.
    pub fn start(site: &Site) -> Outcome<Self> {
        Self::start_with(site, key_server(KS1))
    }

    /// The same with another ks.yaml.
    pub fn start_with(site: &Site, config: Value) -> Outcome<Self> {
        let name = site.places.next_name("core");
        let core = Capture::start(site.host("core")?, &site.places.out, &name)?;
        let key_server = site.key_server("ks1", config)?;
        let start_member = |host| site.member(host, member(&[KS1]));
        let members = MEMBERS.into_iter().map(start_member).collect::<Outcome<_>>()?;
        let mut corp = Corp { core, key_server, members };
        corp.members.iter_mut().try_for_each(registered)?;
        Ok(corp)
    }
}

/// Waits until a member has registered and the kernel has what it needs.
pub fn registered(member: &mut Daemon) -> Outcome {
    member.says(&["GM_REGS_COMPL"], REGISTRATION)?;
    protection(member, "encrypting")
}

/// Waits until gdoictl says that a member's traffic is treated so, and that the kernel holds what it should.
pub fn protection(member: &Daemon, wanted: &str) -> Outcome {
    let what = format!("{}'s protection is {wanted}", member.host().name());
    eventually_true(&what, REGISTRATION, || {
        let Ok(report) = member.show("gm") else { return Ok(false) };
        Ok(report["groups"][0]["protection"] == wanted && report["dataplane_error"].is_null())
    })
}

/// Waits until gdoictl tells this of a member's data plane.
pub fn has_problem(member: &Daemon, words: &str) -> Outcome {
    let what = format!("{} tells: {words}", member.host().name());
    eventually_true(&what, REGISTRATION, || {
        let report = member.show("gm")?;
        Ok(format!("{}{}", report["dataplane_problems"], report["dataplane_error"]).contains(words))
    })
}

/// How many [`pairs`] there are.
pub const PAIRS: usize = HOSTS.len() * (HOSTS.len() - 1);

/// All pairs of protected hosts, both directions.
pub fn pairs() -> impl Iterator<Item = (&'static str, Ipv4Addr, Ipv4Addr)> {
    HOSTS.into_iter().flat_map(|(name, source)| {
        let others = HOSTS.into_iter().filter(move |(_, other)| *other != source);
        others.map(move |(_, destination)| (name, source, destination))
    })
}

/// A source and a destination as [`Crossed::esp_flows`] has them.
pub fn flow(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> (IpAddr, IpAddr) {
    (source.into(), destination.into())
}

/// How many of the six pairs got answers, all asked at once.
pub fn ping_all(site: &Site) -> Outcome<usize> {
    let results: Vec<Outcome<u32>> = thread::scope(|scope| {
        let pings: Vec<_> = pairs()
            .map(|(name, _, destination)| scope.spawn(move || site.host(name)?.ping(destination)))
            .collect();
        pings.into_iter().map(|ping| ping.join().unwrap_or_else(|_| failed("ping panicked"))).collect()
    });
    let answered = results.into_iter().collect::<Outcome<Vec<_>>>()?;
    Ok(answered.into_iter().filter(|answers| *answers == 3).count())
}

/// What came into the core, sorted by what the group's policy says about it.
#[derive(Debug, Default)]
pub struct Crossed {
    /// ESP packets.
    pub esp: Vec<Packet>,
    /// Packets of protected hosts to protected hosts that are not ESP, and others that show a piece of one: there must be
    /// none, ever.
    pub clear: Vec<Packet>,
    /// All others.
    pub other: Vec<Packet>,
}

impl Crossed {
    /// Sorts packets; those that the core sends on are the same once more and do not count.
    pub fn sort(packets: Vec<Packet>) -> Self {
        let mut crossed = Crossed::default();
        for packet in packets.into_iter().filter(|packet| !packet.outgoing) {
            let kind = match packet {
                _ if packet.protocol == protocol::ESP => &mut crossed.esp,
                _ if is_clear(&packet) => &mut crossed.clear,
                _ => &mut crossed.other,
            };
            kind.push(packet);
        }
        crossed
    }

    /// Fails if protected traffic was readable.
    pub fn none_clear(&self) -> Outcome {
        match self.clear.first() {
            None => Ok(()),
            Some(first) => failed(format!("{} clear packets in the core, first {first:?}", self.clear.len())),
        }
    }

    /// The source and destination addresses of the ESP packets.
    pub fn esp_flows(&self) -> BTreeSet<(IpAddr, IpAddr)> {
        self.esp.iter().map(|packet| (packet.source, packet.destination)).collect()
    }
}

fn is_clear(packet: &Packet) -> bool {
    let (to, quoted) = (packet.destination, packet.shows(&stream::MAGIC));
    quoted || protected(packet.source) && (protected(to) || protected_group(to))
}

/// What the kernel of a member holds for ESP.
#[derive(Debug, PartialEq, Eq)]
pub struct States {
    /// How many states send.
    pub outbound: usize,
    /// How many states receive.
    pub inbound: usize,
    /// The group's keys that they are of: senders differ in the low 20 bits of the SPI.
    pub keys: BTreeSet<u32>,
}

impl States {
    /// Whether one state sends, others receive, and all are of the same key.
    pub fn are_of_one_key(&self) -> bool {
        self.outbound == 1 && self.inbound > 0 && self.keys.len() == 1
    }
}

/// Counts the states of a member: those that receive have no source address.
pub fn states(member: &Host) -> Outcome<States> {
    let text = member.must("ip xfrm state")?;
    let from = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let inbound = from("src 0.0.0.0 ") + from("src :: ");
    Ok(States { outbound: from("src ") - inbound, inbound, keys: text.lines().filter_map(key).collect() })
}

fn key(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once(" spi 0x")?;
    let spi = u32::from_str_radix(rest.split(' ').next()?, 16).ok()?;
    Some(spi >> 20)
}

/// Fails unless a member's kernel holds no state at all.
pub fn nothing_installed(member: &Host) -> Outcome {
    let found = states(member)?;
    ensure!(found.outbound + found.inbound == 0, "{} has states: {found:?}", member.name());
    Ok(())
}
