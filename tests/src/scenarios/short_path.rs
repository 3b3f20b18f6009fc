//! IPv6 where the core carries less than what IPv6 needs inside (1,280 octets and what encryption adds).

use super::narrow::told;
use super::reach::transfer_to;
use crate::cell::{Cell, Family};
use crate::corp::{self, has_problem, registered};
use crate::daemon::Daemon;
use crate::host::{answers, Host};
use crate::outcome::{ensure, failed, Outcome};
use crate::packet::Packet;
use crate::reinjection::{recorded, send_again};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS_IPV6, KS1, MEMBERS};
use crate::stream::{Streams, MAGIC};
use crate::topology::batch;
use crate::watch::Watch;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::of_cell(
        "short-ipv6",
        "a core link of MTU 1300: nobody is told less than 1280, TCP goes on, and the member says what does not",
        short,
        CELL,
    ),
    Scenario::of_cell(
        "short-link",
        "the same where the interface itself has an MTU of 1300: nothing is clear, not even in pieces",
        short_link,
        CELL,
    ),
    Scenario::of_cell(
        "forged-too-big",
        "a forged `too big` of 1280 with an SPI of the member costs no host a packet",
        forged,
        CELL,
    ),
];

const CELL: Cell = Cell { family: Family::V6, ..Cell::BASIC };
/// Between what every link of IPv6 carries and that with ESP.
const MTU: u16 = 1300;
/// What every host may send without asking (RFC 8200 section 5).
const LEAST: u16 = 1280;
/// IPv6 and ICMPv6 header before the data of an echo request.
const ECHO_HEADERS: u16 = 48;
const ROUTE: &str = "fd0a:2::/32 via 2001:db8:100:2::1";

fn group(site: &Site) -> Outcome<(Daemon, Vec<Daemon>)> {
    let key_server = site.key_server("ks1", corp::key_server_of(KS1, CELL))?;
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["mss-clamp"] = "auto".into();
    let members = MEMBERS.map(|host| site.member(host, config.clone()));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    Ok((key_server, members))
}

fn short(site: &Site, _: Cell) -> Outcome {
    let (_key_server, mut members) = group(site)?;
    let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, CELL)?);
    site.host("core")?.inside(|| batch(&format!("route replace {ROUTE} mtu lock {MTU}\n")))?;
    let shown = is_told(site, &mut members[0]);
    site.restore("core")?;
    site.host("h1")?.must("ip -6 route flush cache")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    shown?;
    tallies.all_arrived()
}

fn short_link(site: &Site, _: Cell) -> Outcome {
    let (_key_server, members) = group(site)?;
    let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, CELL)?);
    let links = [("gm1", "wan"), ("core", "gm1")];
    for (host, interface) in links {
        site.host(host)?.must(&format!("ip link set {interface} mtu {MTU}"))?;
    }
    let shown = has_problem(&members[0], "cannot carry all IPv6").and_then(|()| readable_requests(site));
    links.into_iter().try_for_each(|(host, _)| site.restore(host))?;
    site.host("h1")?.must("ip -6 route flush cache")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    shown?;
    tallies.all_arrived()
}

/// Requests that would be known wherever they can be read, of all lengths around those that fit.
fn readable_requests(site: &Site) -> Outcome {
    let (h1, gm1) = (site.host("h1")?, site.host("gm1")?);
    let pattern: String = MAGIC.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut answered = Vec::new();
    for length in (1180..=MTU).step_by(20) {
        for (host, source) in [(&h1, "fd0a:1:1::10"), (&gm1, "fd0a:1:1::1")] {
            let data = length - ECHO_HEADERS;
            let line = format!("ping -n -c 1 -W 1 -p {pattern} -s {data} -I {source} {}", HOSTS_IPV6[1]);
            let answer = host.run(&line)?;
            answered.extend((answers(&answer.stdout) == 1).then_some((host.name().to_owned(), length)));
        }
    }
    println!("   answered: {answered:?}");
    Ok(())
}

fn is_told(site: &Site, member: &mut Daemon) -> Outcome {
    let h1 = site.host("h1")?;
    for _ in 0..3 {
        let (_, said) = echo(&h1, LEAST)?;
        ensure!(told(&said).is_none_or(|mtu| mtu >= LEAST), "h1 is told less than {LEAST}: {said}");
    }
    println!("   {}", member.says(&["GM_PATH_MTU", "cannot carry"], SOON)?);
    has_problem(member, "cannot carry all IPv6")?;
    // Longer than hosts may send unasked: they are told what they listen to.
    let (_, said) = echo(&h1, 1400)?;
    ensure!(told(&said).is_some_and(|mtu| (LEAST..MTU).contains(&mtu)), "of 1400 octets h1 hears {said}");
    transfer_to(site, HOSTS_IPV6[1].into(), "")
}

/// Whether it was answered, and what was said of it.
fn echo(host: &Host, length: u16) -> Outcome<(bool, String)> {
    let answer =
        host.run(&format!("ping -n -M do -c 1 -W 1 -s {} {}", length - ECHO_HEADERS, HOSTS_IPV6[1]))?;
    Ok((answers(&answer.stdout) == 1, answer.stdout + &answer.stderr))
}

fn forged(site: &Site, cell: Cell) -> Outcome {
    let (_key_server, mut members) = group(site)?;
    let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, cell)?);
    let h1 = site.host("h1")?;
    let lie = too_big(&recorded(site, cell)?, LEAST)?;
    ensure!(echo(&h1, LEAST)?.0, "requests of {LEAST} octets do not pass at first");
    send_again(site, &lie, 3)?;
    println!("   {}", members[0].says(&["GM_PATH_MTU"], SOON)?);
    let lost = (0..10).map(|_| echo(&h1, LEAST)).collect::<Outcome<Vec<_>>>()?;
    let lost: Vec<_> = lost.into_iter().filter(|(answered, _)| !answered).collect();
    h1.must("ip -6 route flush cache")?;
    let tallies = streams.end(watch)?;
    println!("   {} of 10 requests of {LEAST} octets were lost; {tallies}", lost.len());
    ensure!(lost.is_empty(), "h1 hears {:?}", lost[0].1);
    tallies.all_arrived()
}

/// What a router of the core could say of this packet to its sender (RFC 4443 section 3.2).
fn too_big(about: &Packet, mtu: u16) -> Outcome<Packet> {
    let router = "2001:db8:100:1::2".parse::<std::net::Ipv6Addr>().unwrap_or(std::net::Ipv6Addr::UNSPECIFIED);
    let std::net::IpAddr::V6(to) = about.source else { return failed("the packet is of IPv4") };
    let quoted = &about.octets[..about.octets.len().min(96)];
    let mut message = vec![2, 0, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quoted);
    let length = message.len() as u16;
    let pseudo =
        [&router.octets()[..], &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 58]].concat();
    let checksum = !sum(&[&pseudo[..], &message].concat());
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut octets = vec![0x60, 0, 0, 0];
    octets.extend(length.to_be_bytes());
    octets.extend([58, 64]);
    octets.extend(router.octets());
    octets.extend(to.octets());
    octets.extend(message);
    match Packet::of_ipv6(&octets) {
        Some(packet) => Ok(packet),
        None => failed("the forged message is cut short"),
    }
}

/// The sum of RFC 1071.
fn sum(octets: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = octets.chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
