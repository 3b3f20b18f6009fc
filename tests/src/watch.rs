//! What crosses the core during a long stream: counted by nftables, and captured only where it is not ESP.

use crate::capture::Capture;
use crate::cell::Cell;
use crate::corp::Crossed;
use crate::host::Host;
use crate::outcome::{ensure, Outcome, Stop};
use crate::packet::Packet;
use crate::site::{Site, HOSTS};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The exchange types of ISAKMP that say how keys came.
pub mod exchange {
    /// Main Mode, RFC 2408.
    pub const MAIN_MODE: u8 = 2;
    /// GROUPKEY-PUSH, RFC 6407.
    pub const PUSH: u8 = 33;
}

/// The magic of streams behind ESP header, vector of 8 or 16 octets, IP and UDP header is counted, too: somebody framed a
/// packet and did not encrypt it.
const RULES: &str = "add table inet lab-watch
add set inet lab-watch keys { typeof ip saddr . esp spi; size 4096; flags dynamic; counter; }
add set inet lab-watch keys6 { typeof ip6 saddr . esp spi; size 4096; flags dynamic; counter; }
add counter inet lab-watch clear
add counter inet lab-watch framed
add counter inet lab-watch anchors
add chain inet lab-watch crossing { type filter hook prerouting priority -310; }
add rule inet lab-watch crossing ip protocol esp add @keys { ip saddr . esp spi }
add rule inet lab-watch crossing ip6 nexthdr esp add @keys6 { ip6 saddr . esp spi }
add rule inet lab-watch crossing ip saddr 192.0.0.84-192.0.0.167 counter name anchors
add rule inet lab-watch crossing ip daddr 192.0.0.84-192.0.0.167 counter name anchors
add rule inet lab-watch crossing ip6 saddr 100::/64 counter name anchors
add rule inet lab-watch crossing ip6 daddr 100::/64 counter name anchors
add rule inet lab-watch crossing ip protocol esp @th,352,64 0x47444f492d6c6162 counter name framed
add rule inet lab-watch crossing ip protocol esp @th,416,64 0x47444f492d6c6162 counter name framed
add rule inet lab-watch crossing ip6 nexthdr esp @th,512,64 0x47444f492d6c6162 counter name framed
add rule inet lab-watch crossing ip6 nexthdr esp @th,576,64 0x47444f492d6c6162 counter name framed
add rule inet lab-watch crossing ip protocol != esp ip saddr 10.0.0.0/8 ip daddr { 10.0.0.0/8, 239.10.0.0/16 } counter name clear
add rule inet lab-watch crossing ip6 nexthdr != esp ip6 saddr fd0a::/16 ip6 daddr { fd0a::/16, ff15::/16 } counter name clear
";

/// The eye on the core. One at a time.
#[derive(Debug)]
pub struct Watch {
    host: Arc<Host>,
    others: Capture,
    /// What crossed that was not ESP.
    crossed: Vec<Packet>,
}

impl Watch {
    /// Begins to watch.
    pub fn start(site: &Site) -> Outcome<Self> {
        let host = site.host("core")?;
        let name = site.places.next_name("core");
        host.run("nft delete table inet lab-watch")?;
        host.nft(RULES)?;
        let others = Capture::start_filtered(host.clone(), &site.places.out, &name, "not esp")?;
        Ok(Watch { host, others, crossed: Vec::new() })
    }

    /// The SPIs of each source so far, with their packets.
    pub fn keys(&self) -> Outcome<BTreeMap<IpAddr, BTreeMap<u32, u64>>> {
        let mut keys = BTreeMap::<_, BTreeMap<_, _>>::new();
        for set in ["keys", "keys6"] {
            let text = self.host.must(&format!("nft -j list set inet lab-watch {set}"))?;
            for (source, spi, packets) in elements(&serde_json::from_str(&text)?) {
                keys.entry(source).or_default().insert(spi, packets);
            }
        }
        Ok(keys)
    }

    /// How many keys every one of the protected hosts' packets has been encrypted with.
    pub fn generations(&self) -> Outcome<usize> {
        self.generations_of(Cell::BASIC)
    }

    /// The same for a cell of the matrix.
    pub fn generations_of(&self, cell: Cell) -> Outcome<usize> {
        let keys = self.keys()?;
        let different =
            |spis: &BTreeMap<u32, u64>| spis.keys().map(|spi| key_of(*spi)).collect::<BTreeSet<_>>().len();
        let counts = (0..HOSTS.len()).map(|number| keys.get(&cell.host(number)).map_or(0, different));
        Ok(counts.min().unwrap_or(0))
    }

    /// All SPIs that crossed.
    pub fn spis(&self) -> Outcome<BTreeSet<u32>> {
        Ok(self.keys()?.into_values().flat_map(BTreeMap::into_keys).collect())
    }

    /// Fails if protected traffic was readable, by the counter or by the capture.
    pub fn none_clear(&mut self) -> Outcome {
        self.take()?;
        for counter in ["clear", "framed"] {
            let packets = self.count(counter)?;
            ensure!(packets == 0, "the core counted {packets} packets as {counter}");
        }
        Crossed::sort(self.crossed.clone()).none_clear()
    }

    /// How many packets from or to an anchor address, which nobody outside a member should see, came into the core.
    pub fn anchors(&self) -> Outcome<u64> {
        self.count("anchors")
    }

    fn count(&self, counter: &str) -> Outcome<u64> {
        let text = self.host.must(&format!("nft list counter inet lab-watch {counter}"))?;
        let number = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        number.ok_or_else(|| Stop::Failed(format!("no counter: {text}")))
    }

    /// How many messages of this exchange type crossed between these two, in this direction, or to all (multicast).
    pub fn messages(&mut self, exchange: u8, from: Ipv4Addr, to: Option<Ipv4Addr>) -> Outcome<usize> {
        self.take()?;
        let is = |packet: &&Packet| {
            let kind = packet.udp_payload().and_then(|payload| payload.get(18));
            let there = to.is_none_or(|to| packet.destination == to);
            !packet.outgoing && packet.source == from && there && gdoi(packet) && kind == Some(&exchange)
        };
        Ok(self.crossed.iter().filter(is).count())
    }

    fn take(&mut self) -> Outcome {
        self.crossed.extend(self.others.fresh()?);
        Ok(())
    }

    /// Ends the capture; fails if it is not complete.
    pub fn close(self) -> Outcome {
        self.host.must("nft delete table inet lab-watch")?;
        self.others.close()
    }
}

fn gdoi(packet: &Packet) -> bool {
    packet.udp_ports().is_some_and(|(_, port)| port == 848)
}

fn elements(listing: &Value) -> Vec<(IpAddr, u32, u64)> {
    let sets = listing["nftables"].as_array().into_iter().flatten().map(|entry| &entry["set"]["elem"]);
    let elements = sets.filter_map(Value::as_array).flatten();
    elements.filter_map(element).collect()
}

/// Which key of the group an SPI is of: senders differ in the low 20 bits.
pub const fn key_of(spi: u32) -> u32 {
    spi >> 20
}

fn element(entry: &Value) -> Option<(IpAddr, u32, u64)> {
    let key = entry["elem"]["val"]["concat"].as_array()?;
    let source = key.first()?.as_str()?.parse().ok()?;
    let spi = u32::try_from(key.get(1)?.as_u64()?).ok()?;
    Some((source, spi, entry["elem"]["counter"]["packets"].as_u64().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_listing() {
        let listing = serde_json::json!({"nftables": [{"metainfo": {}}, {"set": {"elem": [
            {"elem": {"val": {"concat": ["10.1.1.10", 7]}, "counter": {"packets": 3, "bytes": 9}}},
        ]}}]});
        assert_eq!(elements(&listing), [([10, 1, 1, 10].into(), 7, 3)]);
        assert_eq!(elements(&serde_json::json!({"nftables": [{"set": {"name": "keys"}}]})), []);
    }
}
