//! Hop limits: what traceroute shows of a group.

use crate::cell::{Cell, Family};
use crate::corp::{self, registered};
use crate::host::{answers, Host};
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS_IPV6, KS1, MEMBERS};
use crate::stream::Streams;
use crate::watch::Watch;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::of_cell(
    "hop-limits",
    "what the router itself sends keeps its hop limit, traceroute works from it and through it",
    hop_limits,
    Cell { family: Family::V6, ..Cell::BASIC },
)];

const GM1: &str = "fd0a:1:1::1";
const GM2: &str = "2001:db8:100:2::1";
/// What a program asks for, and what the router at the other end leaves of it.
const KEPT: [(u8, u8); 4] = [(2, 1), (63, 62), (64, 63), (255, 254)];
const NOBODY: &str = "nobody";
const RULES: &str = "add table inet lab-hops
add set inet lab-hops seen { typeof ip6 hoplimit; flags dynamic; size 256; }
add chain inet lab-hops in { type filter hook input priority 0; }
add rule inet lab-hops in ip6 saddr fd0a:1:1::1 add @seen { ip6 hoplimit }
";

fn hop_limits(site: &Site, cell: Cell) -> Outcome {
    let _key_server = site.key_server("ks1", corp::key_server_of(KS1, cell))?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, cell)?);
    let (gm1, h1, h2) = (site.host("gm1")?, site.host("h1")?, site.host("h2")?);
    h2.nft(RULES)?;
    let shown = limits_are_kept(&gm1, &h2).and_then(|()| traces(&gm1, &h1));
    h2.must("nft delete table inet lab-hops")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    shown?;
    tallies.all_arrived()
}

fn limits_are_kept(gm1: &Host, h2: &Host) -> Outcome {
    for (asked, left) in KEPT {
        h2.must("nft flush set inet lab-hops seen")?;
        let answer = gm1.run(&format!("ping -n -c 1 -W 2 -t {asked} -I {GM1} {}", HOSTS_IPV6[1]))?;
        let listed = h2.must("nft list set inet lab-hops seen")?;
        let seen = listed
            .split("elements = {")
            .nth(1)
            .map_or("none", |rest| rest.trim_matches(['}', '\n', '\t', ' ']));
        println!("   sent with hop limit {asked}: h2 sees {seen}");
        ensure!(seen == left.to_string(), "of {asked} h2 sees {seen} and not {left}: {}", answer.stdout);
        ensure!(answers(&answer.stdout) == 1, "with hop limit {asked} there is no answer: {}", answer.stdout);
    }
    Ok(())
}

/// Who answers with hop limits of 1 and more, up to h2; the core sees ESP, whose hop limit is the member's own.
fn traces(gm1: &Host, h1: &Host) -> Outcome {
    let (h2, lan) = (HOSTS_IPV6[1].to_string(), "fd0a:1:1::1".to_owned());
    let from_router = trace(gm1, &format!("-I {GM1}"))?;
    ensure!(from_router == [GM2, &h2], "from the router: {from_router:?}");
    let through = trace(h1, "")?;
    let far = if forwards_errors()? { GM2 } else { NOBODY };
    ensure!(through == [lan, far.to_owned(), h2], "through the router: {through:?}");
    Ok(())
}

/// Kernels before 6.9 drop forwarded ICMP errors about protected traffic.
fn forwards_errors() -> Outcome<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(6), Some(9)))
}

fn trace(host: &Host, options: &str) -> Outcome<Vec<String>> {
    let mut hops = Vec::new();
    for limit in 1..=4 {
        let answer = host.run(&format!("ping -n -c 1 -W 2 -t {limit} {options} {}", HOSTS_IPV6[1]))?;
        let who = |start: &str| {
            let line = answer.stdout.lines().find(|line| line.contains(start))?;
            let word = line.split(' ').find(|word| word.matches(':').count() > 2)?;
            Some(word.trim_end_matches(':').to_owned())
        };
        match (who("Hop limit"), who("bytes from")) {
            (Some(hop), _) => hops.push(hop),
            (None, Some(end)) => {
                hops.push(end);
                break;
            }
            (None, None) => hops.push(NOBODY.into()),
        }
    }
    println!("   {}: {}", host.name(), hops.join(", "));
    Ok(hops)
}
