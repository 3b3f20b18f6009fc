//! A link in the core that carries less than all others.

use super::reach::transfer_to;
use crate::cell::Cell;
use crate::corp::{self, Corp, Crossed};
use crate::eventually::eventually_true;
use crate::host::Host;
use crate::outcome::{ensure, failed, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, HOSTS_IPV6, KS1};
use crate::topology::batch;
use std::net::IpAddr;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered("narrow-tcp", "a core link of MTU 1400: TCP recovers", tcp),
    Scenario::registered(
        "narrow-requests",
        "a core link of MTU 1400: the sender of oversized packets is told an MTU that fits",
        requests,
    ),
    Scenario::of_cell(
        "narrow-everything",
        "a core link of MTU 1400, both families, where every packet is to be encrypted",
        everything,
        Cell::BASIC,
    ),
];

/// From the core to gm2; back it is wide.
const MTU: u16 = 1400;
const WIDE: u16 = 1500;
const ROUTES: [&str; 2] = ["10.2.2.0/24 via 198.51.100.5", "fd0a:2::/32 via 2001:db8:100:2::1"];
/// ICMP header before the data of an echo request.
const ECHO_HEADER: u16 = 8;

/// TCP finds the way, whatever its segments were at first.
fn tcp(site: &Site, corp: &mut Corp) -> Outcome {
    narrowed(site, corp, |site, _| transfers(site, HOSTS[1].1.into()))
}

/// A large request that may not be fragmented is lost once at most, and then its sender knows an MTU that fits.
fn requests(site: &Site, corp: &mut Corp) -> Outcome {
    narrowed(site, corp, |site, _| all_sizes(site, HOSTS[1].1.into()))
}

/// Where the list permits every packet, too, so that nothing in clear is for this router but what says that a packet was
/// too big.
fn everything(site: &Site, cell: Cell) -> Outcome {
    let mut config = corp::key_server_of(KS1, cell);
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] =
        vec!["permit ip any any", "permit ipv6 any6 any6"].into();
    let mut corp = Corp::start_with(site, config)?;
    let hosts: [IpAddr; 2] = [HOSTS[1].1.into(), HOSTS_IPV6[1].into()];
    let shown = narrowed(site, &mut corp, |site, _| {
        hosts.into_iter().try_for_each(|host| all_sizes(site, host).and_then(|()| transfers(site, host)))
    });
    shown.and(corp.core.close())
}

fn transfers(site: &Site, destination: IpAddr) -> Outcome {
    ["", "--set-mss 1440"].into_iter().try_for_each(|options| transfer_to(site, destination, options))
}

fn all_sizes(site: &Site, destination: IpAddr) -> Outcome {
    let h1 = site.host("h1")?;
    let longest = longest_answered(&h1, destination)?;
    ensure!(longest < MTU, "requests of {longest} octets cross a link of {MTU} although they are encrypted");
    // The one who answers must learn, too, what fits.
    eventually_true("a request of 3,000 octets that may be fragmented is answered", SOON, || {
        Ok(h1.run(&format!("ping -n -M dont -c 1 -W 1 -s 3000 {destination}"))?.success)
    })
}

/// The length of the first request that is answered, found as hosts find it: from what they are told.
fn longest_answered(host: &Host, destination: IpAddr) -> Outcome<u16> {
    let headers = ECHO_HEADER + if destination.is_ipv4() { 20 } else { 40 };
    let (mut length, mut heard) = (WIDE, String::new());
    let done = eventually_true("a request as long as its sender was told is answered", SOON, || {
        let answer = host.run(&format!("ping -n -M do -c 1 -W 1 -s {} {destination}", length - headers))?;
        heard = answer.stdout + &answer.stderr;
        length = told(&heard).unwrap_or(length);
        Ok(answer.success)
    });
    match done {
        Ok(()) => Ok(length),
        Err(stop) => failed(format!("{stop}; of {length} octets it hears {heard}")),
    }
}

/// `mtu=1400` or `mtu = 1400`.
pub fn told(words: &str) -> Option<u16> {
    let (_, rest) = words.split_once("mtu")?;
    let number = rest.trim_start_matches([' ', '=', ':']);
    number.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}

fn narrowed(site: &Site, corp: &mut Corp, work: impl FnOnce(&Site, &mut Corp) -> Outcome) -> Outcome {
    corp.core.fresh()?;
    let lines = ROUTES.map(|route| format!("route replace {route} mtu lock {MTU}\n")).concat();
    site.host("core")?.inside(|| batch(&lines))?;
    let done = work(site, corp);
    site.restore("core")?;
    for family in ["-4", "-6"] {
        site.host("h1")?.must(&format!("ip {family} route flush cache"))?;
    }
    done?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ping_says_of_an_mtu_is_read() {
        assert_eq!(told("From 10.1.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1446)"), Some(1446));
        assert_eq!(
            told("ping: sendmsg: Message too long\nping: local error: message too long, mtu=1390"),
            Some(1390)
        );
        assert_eq!((told("1 packets transmitted"), told("the mtu of nobody")), (None, None));
    }
}
