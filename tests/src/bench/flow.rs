//! What iperf3 gets through from h1 to h2.

use crate::iperf::{report, Server};
use crate::outcome::{ensure, Outcome};
use crate::site::{Site, HOSTS};
use serde_json::Value;
use std::time::Duration;

/// Octets in each datagram of the stream of small packets.
const SMALL: u32 = 64;

/// What got through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// TCP, one stream, megabits per second at the receiver.
    pub megabits: f64,
    /// Small datagrams per second at the receiver.
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
    let (client, time) = (site.host("h1")?, seconds.as_secs());
    let _server = Server::start(site, site.host("h2")?.as_ref())?;
    let tcp = report(&client, HOSTS[1].1.into(), &format!("--time {time}"))?;
    let udp =
        report(&client, HOSTS[1].1.into(), &format!("--time {time} --udp --bitrate 0 --length {SMALL}"))?;
    let rates = Rates { megabits: megabits(&tcp), packets: packets(&udp) };
    ensure!(rates.megabits > 0.0 && rates.packets > 0.0, "iperf3 got nothing through: {tcp} {udp}");
    Ok(rates)
}

fn megabits(report: &Value) -> f64 {
    report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default() / 1e6
}

fn packets(report: &Value) -> f64 {
    let sum = &report["end"]["sum"];
    let number = |name: &str| sum[name].as_f64().unwrap_or_default();
    match number("seconds") {
        seconds if seconds > 0.0 => (number("packets") - number("lost_packets")) / seconds,
        _ => 0.0,
    }
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
    fn what_was_lost_does_not_count() {
        let report = json!({"end": {"sum": {"seconds": 2.0, "packets": 100, "lost_packets": 40}}});
        assert_eq!((packets(&report), packets(&json!({}))), (30.0, 0.0));
        assert_eq!(megabits(&json!({"end": {"sum_received": {"bits_per_second": 2e6}}})), 2.0);
    }
}
