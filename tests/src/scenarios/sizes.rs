//! Packets that are too large once they are encrypted.

use crate::corp::{Corp, Crossed};
use crate::host::Host;
use crate::outcome::{ensure, failed, Outcome, Stop};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS};
use crate::topology::MTU;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "big-datagrams",
        "oversized datagrams that may be fragmented arrive whole",
        big_datagrams,
    ),
    Scenario::registered(
        "path-mtu",
        "an oversized packet that may not be fragmented is answered with the right MTU",
        path_mtu,
    ),
    Scenario::registered(
        "jumbo-lan",
        "LANs of larger frames: what may be fragmented arrives, what may not is answered with the right MTU",
        jumbo,
    ),
];

const PORT: u16 = 7000;
/// IPv4 and ICMP header before the data of an echo request.
const ECHO_HEADERS: u16 = 28;
/// ESP with a block cipher fills up to a multiple of 16 octets.
const BLOCK: u16 = 16;
/// Fits a LAN of larger frames.
const JUMBO: usize = 3000;
/// One packet that just does not fit, and one of several fragments.
const SIZES: [usize; 2] = [1460, 5000];

fn big_datagrams(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    for (from, to) in [(0, 1), (1, 0)] {
        let (sender, receiver) = (site.host(HOSTS[from].0)?, site.host(HOSTS[to].0)?);
        let one = |size| datagram(&sender, &receiver, HOSTS[to].1, size);
        without_df(&sender, || SIZES.into_iter().try_for_each(one))?;
    }
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    let strange = crossed.esp_flows().into_iter().find(|flow| !between_hosts(*flow));
    ensure!(strange.is_none(), "ESP with addresses of nobody: {strange:?}");
    Ok(())
}

fn between_hosts((source, destination): (IpAddr, IpAddr)) -> bool {
    let is_host = |address: IpAddr| HOSTS.iter().any(|(_, host)| *host == address);
    is_host(source) && is_host(destination)
}

fn datagram(sender: &Host, receiver: &Host, destination: Ipv4Addr, size: usize) -> Outcome {
    let sent: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
    let socket = receiver.inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    sender
        .inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(&sent, (destination, PORT))?))?;
    let mut buffer = vec![0; 1 << 16];
    let Ok(length) = socket.recv(&mut buffer) else {
        return failed(format!("a datagram of {size} octets did not reach {destination}"));
    };
    ensure!(buffer[..length] == sent, "a datagram of {size} octets came to {destination} changed");
    Ok(())
}

/// Larger frames on the LANs than to the core: what may be fragmented arrives, what may not is answered with an MTU that
/// fits exactly.
fn jumbo(site: &Site, corp: &mut Corp) -> Outcome {
    let links = [("h1", "eth0"), ("gm1", "lan"), ("h2", "eth0"), ("gm2", "lan")];
    for (host, interface) in links {
        site.host(host)?.must(&format!("ip link set {interface} mtu 9000"))?;
    }
    let done = oversized(site, corp);
    links.into_iter().try_for_each(|(host, _)| site.restore(host))?;
    done
}

fn oversized(site: &Site, corp: &mut Corp) -> Outcome {
    let (h1, h2) = (site.host("h1")?, site.host("h2")?);
    corp.core.fresh()?;
    without_df(&h1, || datagram(&h1, &h2, HOSTS[1].1, JUMBO))?;
    Crossed::sort(corp.core.fresh()?).none_clear()?;
    exact_mtu(&h1, corp, JUMBO as u16)
}

fn without_df(sender: &Host, work: impl FnOnce() -> Outcome) -> Outcome {
    sender.set("net/ipv4/ip_no_pmtu_disc", "1")?;
    let done = work();
    sender.set("net/ipv4/ip_no_pmtu_disc", "0")?;
    done
}

fn path_mtu(site: &Site, corp: &mut Corp) -> Outcome {
    exact_mtu(site.host("h1")?.as_ref(), corp, MTU - ECHO_HEADERS)
}

/// A request with so many octets of data gets an MTU, a request of that MTU fits the link exactly.
fn exact_mtu(h1: &Host, corp: &mut Corp, data: u16) -> Outcome {
    let (_, h2) = HOSTS[1];
    h1.must("ip route flush cache")?; // forgets what earlier scenarios taught it
    let mtu = announced_mtu(h1, h2, data)?;
    corp.core.fresh()?;
    let largest = echo(h1, h2, mtu - ECHO_HEADERS)?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    h1.must("ip route flush cache")?;
    ensure!(
        largest.contains(" 1 received"),
        "a packet of the announced MTU {mtu} was not answered: {largest}"
    );
    crossed.none_clear()?;
    ensure!(
        crossed.esp.iter().all(|packet| !packet.fragment),
        "packets of the announced MTU {mtu} were fragmented"
    );
    let longest = crossed.esp.iter().map(|packet| packet.length).max().unwrap_or(0);
    ensure!(longest <= MTU && longest > MTU - BLOCK, "the MTU {mtu} makes ESP packets of {longest} octets");
    Ok(())
}

/// What the router says to the host about a request with so many octets of data.
fn announced_mtu(host: &Host, destination: Ipv4Addr, data: u16) -> Outcome<u16> {
    let text = echo(host, destination, data)?;
    let number = text.split("mtu = ").nth(1).and_then(|rest| rest.split(')').next());
    let mtu = number.and_then(|number| number.parse().ok());
    mtu.ok_or_else(|| Stop::Failed(format!("no ICMP with an MTU came back: {text}")))
}

fn echo(host: &Host, destination: Ipv4Addr, data: u16) -> Outcome<String> {
    let answer = host.run(&format!("ping -n -M do -c 1 -W 5 -s {data} {destination}"))?;
    Ok(answer.stdout + &answer.stderr)
}
