//! A member whose interfaces are in VRFs, and that speaks GDOI through them.

use super::narrow::told;
use crate::capture::Capture;
use crate::cell::{Cell, Family};
use crate::corp::{self, has_problem, key_server_of, registered};
use crate::daemon::Daemon;
use crate::eventually::{eventually_true, throughout};
use crate::host::answers;
use crate::injection::Injection;
use crate::outcome::{ensure, Outcome, Stop};
use crate::packet::protocol;
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, H4, HOSTS, KS1, MEMBERS};
use crate::stream::Streams;
use crate::topology::batch;
use crate::watch::Watch;
use serde_json::{json, Value};
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("vrf", "WAN and LAN in one VRF, GDOI through it (`vrf:`), both families", one),
    Scenario::empty("vrf-exec", "the same by a daemon that `ip vrf exec` started", by_exec),
    Scenario::empty("vrf-front-door", "the WAN in one VRF, the LAN in another", front_door),
    Scenario::empty("vrf-several", "two groups with one access list in two VRFs of one router", several),
    Scenario::empty(
        "vrf-moved",
        "an interface that is put into a VRF is never open, and the line says why",
        moved,
    ),
];

const SPAN: Duration = Duration::from_secs(3);

/// An interface in a VRF has lost its routes and addresses of IPv6.
const ONE: &str = "link add red type vrf table 10
link set red up
route add vrf red unreachable default metric 4278198272
link set wan master red
link set lan master red
addr replace 2001:db8:100:1::1/64 dev wan nodad
addr replace fd0a:1:1::1/64 dev lan nodad
route replace vrf red default via 198.51.100.2
route replace vrf red default via 2001:db8:100:1::2
";
/// Routes lead from one VRF to the other.
const TWO: &str = "link add red type vrf table 10
link add inside type vrf table 20
link set red up
link set inside up
link set wan master red
link set lan master inside
addr replace 2001:db8:100:1::1/64 dev wan nodad
addr replace fd0a:1:1::1/64 dev lan nodad
route replace vrf red default via 198.51.100.2
route replace vrf red default via 2001:db8:100:1::2
route replace vrf red 10.1.1.0/24 dev lan
route replace vrf red fd0a:1:1::/64 dev lan
route replace vrf inside default via 198.51.100.2 dev wan onlink
route replace vrf inside default via 2001:db8:100:1::2 dev wan
";
/// Another WAN and what is behind it, with addresses of the other VRF's networks.
const BLUE: &str = "link add blue type vrf table 30
link set blue up
link set lan2 master blue
link add blue-lan type dummy
link set blue-lan master blue up
addr replace 10.1.1.1/24 dev blue-lan
route replace vrf blue default via 10.1.2.10
";
const NARROW: &str = "route replace 10.2.2.0/24 via 198.51.100.5 mtu lock 1400\n";
/// As the documentation of VRFs has it: local addresses are looked for in VRFs first.
const LOCAL_LAST: [&str; 4] = [
    "ip rule add pref 32765 table local",
    "ip rule del pref 0",
    "ip -6 rule add pref 32765 table local",
    "ip -6 rule del pref 0",
];
const LOCAL_FIRST: [&str; 4] = [
    "ip rule add pref 0 table local",
    "ip rule del pref 32765",
    "ip -6 rule add pref 0 table local",
    "ip -6 rule del pref 32765",
];

fn one(site: &Site) -> Outcome {
    let work = |site: &Site| crosses(site, (ONE, own_traffic), || site.member(MEMBERS[0], through("red")));
    let gm1 = site.host(MEMBERS[0])?;
    in_vrfs(site, |site| {
        LOCAL_LAST.iter().try_for_each(|line| gm1.must(line).map(drop))?;
        let done = work(site);
        LOCAL_FIRST.iter().try_for_each(|line| gm1.must(line).map(drop))?;
        done
    })
}

fn by_exec(site: &Site) -> Outcome {
    if !site.host(MEMBERS[0])?.run("ip vrf exec nothing true")?.stderr.contains("Invalid VRF") {
        return Err(Stop::Skipped("`ip vrf exec` does not work here".into()));
    }
    let member = || site.member_through(MEMBERS[0], corp::member(&[KS1]), "ip vrf exec red");
    in_vrfs(site, |site| crosses(site, (ONE, own_traffic), member))
}

fn front_door(site: &Site) -> Outcome {
    // Answers to the router itself find no way from one VRF to its address in the other, in clear either.
    let nothing = |_: &Site| Ok(());
    in_vrfs(site, |site| crosses(site, (TWO, nothing), || site.member(MEMBERS[0], through("red"))))
}

fn through(vrf: &str) -> Value {
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["vrf"] = json!(vrf);
    config
}

/// Whatever becomes of it, gm1 is as before.
fn in_vrfs(site: &Site, work: impl FnOnce(&Site) -> Outcome) -> Outcome {
    let done = work(site);
    let gm1 = site.host(MEMBERS[0])?;
    for name in ["red", "inside", "blue", "blue-lan"] {
        gm1.run(&format!("ip link del {name}"))?;
    }
    for interface in ["wan", "lan", "lan2"] {
        gm1.run(&format!("ip link set {interface} nomaster"))?;
    }
    for table in [10, 20, 30] {
        gm1.run(&format!("ip route flush table {table}"))?;
        gm1.run(&format!("ip -6 route flush table {table}"))?;
    }
    site.restore(MEMBERS[0])?;
    site.restore("h4")?;
    done
}

fn both_families() -> Value {
    let mut config = key_server_of(KS1, Cell::BASIC);
    let families = [Family::V4, Family::V6].map(|family| Cell { family, ..Cell::BASIC }.access_list());
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = json!(families.concat());
    config
}

/// Streams of both families with nothing lost, nothing in clear either way, and what else crosses.
fn crosses(
    site: &Site,
    (lines, besides): (&str, fn(&Site) -> Outcome),
    start: impl FnOnce() -> Outcome<Daemon>,
) -> Outcome {
    let gm1 = site.host(MEMBERS[0])?;
    gm1.inside(|| batch(lines))?;
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let _key_server = site.key_server("ks1", both_families())?;
    let mut members = vec![start()?];
    for host in &MEMBERS[1..] {
        members.push(site.member(host, corp::member(&[KS1]))?);
    }
    members.iter_mut().try_for_each(registered)?;
    let watch = Watch::start(site)?;
    injection.none_comes_in(site)?;
    for family in [Family::V4, Family::V6] {
        let streams = Streams::warmed(site, Cell { family, ..Cell::BASIC })?;
        throughout(SPAN, || injection.none_comes_in(site))?;
        let tallies = streams.stop()?;
        println!("   {family:?}: {tallies}");
        tallies.all_arrived()?;
    }
    long_ones(site)?;
    besides(site)?;
    let problems = members[0].show("gm")?["dataplane_problems"].clone();
    ensure!(problems == json!([]), "the problems are {problems}");
    let mut watch = watch;
    watch.none_clear()?;
    watch.close()
}

/// What may be fragmented arrives, what may not is answered with an MTU that fits, also if it is the core that has less.
fn long_ones(site: &Site) -> Outcome {
    let (h1, core) = (site.host("h1")?, site.host("core")?);
    let ping = |rest: &str| h1.run(&format!("ping -n -c 1 -W 1 {rest} {}", HOSTS[1].1));
    ensure!(ping("-M dont -s 3000")?.success, "a request in fragments was not answered");
    core.inside(|| batch(NARROW))?;
    let mut heard = Vec::new();
    let done =
        eventually_true("requests of the length that their sender was told cross the core", SOON, || {
            let length = heard.last().copied().unwrap_or(1500);
            let answer = ping(&format!("-M do -s {}", length - 28))?;
            heard.extend(told(&(answer.stdout + &answer.stderr)));
            Ok(answer.success)
        });
    site.restore("core")?;
    h1.must("ip route flush cache")?;
    println!("   of the core's MTU of 1400 h1 hears {heard:?}");
    done
}

/// What the router itself sends from its LAN's address.
fn own_traffic(site: &Site) -> Outcome {
    let gm1 = site.host(MEMBERS[0])?;
    for (source, destination) in [("10.1.1.1", "10.2.2.10"), ("fd0a:1:1::1", "fd0a:2:2::10")] {
        let text = gm1.run(&format!("ping -n -c 3 -i 0.2 -W 2 -I red -I {source} {destination}"))?;
        let answered = answers(&text.stdout);
        println!("   {source} of the router itself: {answered} of 3 answers");
        ensure!(answered == 3, "{answered} of 3 requests were answered: {}{}", text.stdout, text.stderr);
    }
    Ok(())
}

/// The second key server is on h4, behind the other WAN.
fn several(site: &Site) -> Outcome {
    in_vrfs(site, |site| {
        let gm1 = site.host(MEMBERS[0])?;
        gm1.inside(|| batch(&[ONE, BLUE].concat()))?;
        let name = site.places.next_name("h4");
        let mut blue = Capture::start(site.host("h4")?, &site.places.out, &name)?;
        let _key_server = site.key_server("ks1", both_families())?;
        let _other = site.key_server("h4", blue_key_server())?;
        let mut config = through("red");
        let mut group = through("blue")["groups"][0].clone();
        group["name"] = json!("blue");
        group["identity-number"] = json!(200);
        group["servers"] = json!([H4]);
        group["interfaces"] = json!(["lan2"]);
        config["groups"] = json!([config["groups"][0], group]);
        let mut member = site.member(MEMBERS[0], config)?;
        let mut others = Vec::new();
        for host in &MEMBERS[1..] {
            others.push(site.member(host, corp::member(&[KS1]))?);
        }
        others.iter_mut().try_for_each(registered)?;
        for group in 0..2 {
            eventually_true("both groups encrypt", corp::REGISTRATION, || {
                Ok(member.show("gm")?["groups"][group]["protection"] == "encrypting")
            })?;
        }
        member.says(&["GM_REGS_COMPL", "blue"], SOON)?;
        let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, Cell::BASIC)?);
        blue.fresh()?;
        gm1.run("ping -n -c 5 -i 0.2 -W 1 -I blue -I 10.1.1.1 10.2.2.10")?;
        let tallies = streams.end(watch)?;
        println!("   {tallies}");
        let seen = blue.fresh()?;
        let from_blue: Vec<_> =
            seen.iter().filter(|one| one.destination == HOSTS[1].1 && !one.outgoing).collect();
        ensure!(from_blue.len() >= 5, "{} packets of the other VRF came to its core", from_blue.len());
        ensure!(from_blue.iter().all(|one| one.protocol == protocol::ESP), "some were clear: {from_blue:?}");
        tallies.all_arrived()
    })
}

fn blue_key_server() -> Value {
    let mut config = corp::key_server(H4);
    config["pre-shared-keys"] = json!([{ "address": "10.1.2.0/24", "key": corp::KEY }]);
    config["groups"][0]["name"] = json!("blue");
    config["groups"][0]["identity-number"] = json!(200);
    config
}

/// Somebody puts the WAN of a registered member into a VRF: nothing is clear at any moment, and `show gm` names the cause
/// of the silence.
fn moved(site: &Site) -> Outcome {
    in_vrfs(site, |site| {
        let gm1 = site.host(MEMBERS[0])?;
        let _key_server = site.key_server("ks1", both_families())?;
        let mut members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1]))).into_iter();
        let mut members = members.by_ref().collect::<Outcome<Vec<_>>>()?;
        members.iter_mut().try_for_each(registered)?;
        let (watch, streams) = (Watch::start(site)?, Streams::warmed(site, Cell::BASIC)?);
        let mut injection = Injection::start(site)?;
        gm1.inside(|| batch(ONE))?;
        throughout(SPAN, || injection.none_comes_in(site))?;
        has_problem(&members[0], "wan is in VRF red")?;
        let mark = streams.mark();
        eventually_true("keys that are there are used in the VRF", SOON, || {
            Ok(streams.all_heard_since(&mark))
        })?;
        println!("   {}", streams.end(watch)?);
        Ok(())
    })
}
