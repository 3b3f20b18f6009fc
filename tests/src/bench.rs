//! The data plane's speed beside that of others, between the same hosts on the same kernel.

mod crowd;
mod flow;
mod plane;

use crate::cell::Cell;
use crate::corp;
use crate::daemon::Daemon;
use crate::outcome::{failed, Outcome};
use crate::rekeying::repetitions;
use crate::site::{Site, HOSTS, KS1};
use flow::Rates;
use plane::{AccessList, Plane, PLANES};
use std::fs;
use std::time::Duration;

/// Measures everything in turn, so that whatever else the machine does meets all alike; prints medians and ratios.
/// $LAB_SECONDS for each figure (3), $LAB_ROUNDS rounds (3).
pub fn run(cell: Cell) -> Outcome {
    let seconds = Duration::from_secs(repetitions("LAB_SECONDS", 3) as u64);
    let rounds = repetitions("LAB_ROUNDS", 3).max(1);
    let site = Site::build()?;
    let planes: Vec<_> = PLANES.into_iter().filter(|plane| plane.is_possible(&site)).collect();
    let mut measured: Vec<(Plane, Vec<Rates>)> =
        planes.into_iter().map(|plane| (plane, Vec::new())).collect();
    println!(
        "{}, kernel {}: medians of {rounds} alternating rounds of {} s",
        cell.transform,
        kernel()?,
        seconds.as_secs()
    );
    for _ in 0..rounds {
        for (plane, rates) in &mut measured {
            rates.push(measure(&site, *plane, cell, seconds)?);
        }
    }
    print(&measured.into_iter().map(|(plane, rates)| (plane, Rates::median(&rates))).collect::<Vec<_>>());
    Ok(())
}

fn measure(site: &Site, plane: Plane, cell: Cell, seconds: Duration) -> Outcome<Rates> {
    site.wipe()?;
    let _daemons = match plane {
        Plane::Ours(AccessList::Short) => ours(site, cell, AccessList::Short.entries())?,
        Plane::Ours(AccessList::Long) => crowded(site, cell)?,
        _ => Vec::new(),
    };
    plane.set_up(site, cell.transform)?;
    let rates = flow::rates(site, seconds);
    plane.take_down(site)?;
    rates
}

/// The longest list and very many senders, beside those that hear each other.
fn crowded(site: &Site, cell: Cell) -> Outcome<Vec<Daemon>> {
    let mut daemons = ours(site, cell, AccessList::Long.entries())?;
    site.host("h1")?.ping(HOSTS[1].1)?;
    daemons.iter_mut().skip(1).try_for_each(|member| crowd::join(member, cell))?;
    Ok(daemons)
}

fn ours(site: &Site, cell: Cell, entries: Vec<String>) -> Outcome<Vec<Daemon>> {
    let mut config = corp::key_server_of(KS1, cell);
    if !entries.is_empty() {
        config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = entries.into();
    }
    let mut daemons = vec![site.key_server("ks1", config)?];
    for host in ["gm1", "gm2"] {
        let mut member = site.member(host, corp::member(&[KS1]))?;
        corp::registered(&mut member)?;
        daemons.push(member);
    }
    Ok(daemons)
}

fn kernel() -> Outcome<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

fn print(measured: &[(Plane, Rates)]) {
    println!("{:34} {:>12} {:>14}", "", "TCP Mbit/s", "UDP packets/s");
    for (plane, rates) in measured {
        println!("{:34} {:>12.0} {:>14.0}", plane.to_string(), rates.megabits, rates.packets);
    }
    let rates = |wanted: Plane| measured.iter().find(|(plane, _)| *plane == wanted).map(|(_, rates)| *rates);
    for (one, other) in plane::COMPARISONS {
        if let (Some(ours), Some(theirs)) = (rates(one), rates(other)) {
            let (tcp, udp) = (ours.megabits / theirs.megabits, ours.packets / theirs.packets);
            println!("{:34} {tcp:>12.2} {udp:>14.2}", format!("{one} / {other}"));
        }
    }
}

/// The basic cell with another transform, by its name.
pub fn cell(transform: &str) -> Outcome<Cell> {
    let known = crate::cell::TRANSFORMS.into_iter().find(|known| known.to_string() == transform);
    known.map_or_else(
        || failed(format!("there is no transform {transform}")),
        |transform| Ok(Cell { transform, ..Cell::BASIC }),
    )
}
