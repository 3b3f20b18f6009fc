//! Clear packets of protected hosts that the core sends to a member: what somebody there can forge.

use crate::capture::Capture;
use crate::outcome::{ensure, failed, Outcome};
use crate::packet::Packet;
use crate::reinjection::send_again;
use crate::site::{Site, HOSTS};

const PORT: u16 = 9999;
const TIMES: usize = 20;

/// Listens at h1 for packets that come from the core in clear, as if h2 had sent them.
#[derive(Debug)]
pub struct Injection {
    arrived: Capture,
    packet: Packet,
}

impl Injection {
    /// Begins to listen.
    pub fn start(site: &Site) -> Outcome<Self> {
        let (host, name) = (site.host("h1")?, site.places.next_name("h1"));
        let filter = format!("udp port {PORT} or udp port 9");
        let arrived = Capture::start_filtered(host, &site.places.out, &name, &filter)?;
        let Some(packet) = Packet::of_ipv4(&forged()) else {
            return failed("the forged packet is cut short");
        };
        Ok(Injection { arrived, packet })
    }

    /// How many of twenty arrive.
    pub fn try_in(&mut self, site: &Site) -> Outcome<usize> {
        self.arrived.fresh()?;
        send_again(site, &self.packet, TIMES)?;
        // What the core has sent is at h1 or lost when a later packet has been there and back.
        site.host("core")?.run("ping -n -c 1 -W 1 198.51.100.1")?;
        let arrived = self.arrived.fresh()?;
        Ok(arrived.iter().filter(|packet| packet.destination == HOSTS[0].1 && !packet.outgoing).count())
    }

    /// Fails if one arrives.
    pub fn none_comes_in(&mut self, site: &Site) -> Outcome {
        let arrived = self.try_in(site)?;
        ensure!(arrived == 0, "{arrived} of {TIMES} clear packets came in");
        Ok(())
    }

    /// Fails unless all arrive: where nothing is guarded, so that silence elsewhere means something.
    pub fn all_come_in(&mut self, site: &Site) -> Outcome {
        let arrived = self.try_in(site)?;
        ensure!(arrived == TIMES, "only {arrived} of {TIMES} clear packets came into an open router");
        Ok(())
    }
}

/// An IPv4 and a UDP header (RFC 791 and 768), without checksums: the kernel adds the first.
fn forged() -> Vec<u8> {
    let [(_, to), (_, from), _] = HOSTS;
    let mut octets = vec![0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0];
    octets.extend(from.octets());
    octets.extend(to.octets());
    octets.extend([PORT.to_be_bytes(), PORT.to_be_bytes(), 16u16.to_be_bytes(), [0, 0]].concat());
    octets.extend(b"in clear");
    octets
}
