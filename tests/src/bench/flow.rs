//! What gets through from h1 to h2.

use crate::host::Host;
use crate::iperf::{report, Server};
use crate::outcome::{ensure, Outcome};
use crate::site::{Site, HOSTS};
use serde_json::Value;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// Octets in each small datagram.
const SMALL: usize = 64;
/// Datagrams that are sent one after the other before it is looked how many have arrived; they fit the receiver's buffer.
const BURST: u32 = 100;
/// What has not arrived so long after the burst is lost.
const PATIENCE: Duration = Duration::from_millis(200);
const PORT: u16 = 7001;

/// What got through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// TCP, one stream, megabits per second at the receiver.
    pub megabits: f64,
    /// Small datagrams per second at the receiver, in the quickest quarter of the bursts: whatever else the machine does
    /// only makes bursts slower.
    pub packets: f64,
}

impl Rates {
    /// The median of each.
    pub fn median(rates: &[Rates]) -> Rates {
        let middle = |part: fn(&Rates) -> f64| {
            let mut sorted: Vec<_> = rates.iter().map(part).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        Rates { megabits: middle(|rates| rates.megabits), packets: middle(|rates| rates.packets) }
    }
}

/// Measures both, one after the other, for so long each.
pub fn rates(site: &Site, seconds: Duration) -> Outcome<Rates> {
    let (client, server) = (site.host("h1")?, site.host("h2")?);
    let packets = quickest(bursts(&client, &server, seconds)?);
    let _server = Server::start(site, server.as_ref())?;
    let tcp = report(&client, HOSTS[1].1.into(), &format!("--time {}", seconds.as_secs()))?;
    let rates = Rates { megabits: megabits(&tcp), packets };
    ensure!(rates.megabits > 0.0 && rates.packets > 0.0, "nothing got through: {rates:?} {tcp}");
    Ok(rates)
}

/// Datagrams per second in each burst.
fn bursts(client: &Host, server: &Host, seconds: Duration) -> Outcome<Vec<f64>> {
    let receiver = server.inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let sender = client.inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    sender.connect((HOSTS[1].1, PORT))?;
    let mut rates = Vec::new();
    let end = Instant::now() + seconds;
    while Instant::now() < end {
        rates.extend(burst(&sender, &receiver)?);
    }
    Ok(rates)
}

/// None when something was lost.
fn burst(sender: &UdpSocket, receiver: &UdpSocket) -> Outcome<Option<f64>> {
    let start = Instant::now();
    for _ in 0..BURST {
        sender.send(&[0; SMALL])?;
    }
    for _ in 0..BURST {
        if receiver.recv(&mut [0; SMALL]).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(f64::from(BURST) / start.elapsed().as_secs_f64()))
}

/// The median of the quickest quarter; 0 without any.
fn quickest(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(|one, other| other.total_cmp(one));
    rates.get(rates.len() / 8).copied().unwrap_or_default()
}

fn megabits(report: &Value) -> f64 {
    report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_median_is_of_each_part() {
        let rates = |megabits, packets| Rates { megabits, packets };
        assert_eq!(Rates::median(&[rates(1.0, 9.0), rates(5.0, 1.0), rates(3.0, 2.0)]), rates(3.0, 2.0));
    }

    #[test]
    fn slow_bursts_do_not_count() {
        assert_eq!(quickest((1..=80).map(f64::from).collect()), 70.0);
        assert_eq!((quickest(vec![3.0]), quickest(Vec::new())), (3.0, 0.0));
    }

    #[test]
    fn the_receiver_counts() {
        let report = json!({"end": {"sum_received": {"bits_per_second": 2e6}}});
        assert_eq!(megabits(&report), 2.0);
    }
}
