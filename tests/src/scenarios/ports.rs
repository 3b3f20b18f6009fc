//! Protected interfaces whose packets are those of another one by now, and names that were swapped.

use crate::corp::{has_problem, registered};
use crate::daemon::Daemon;
use crate::eventually::{eventually_true, throughout};
use crate::injection::Injection;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{self, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, MEMBERS, OUTSIDE};
use crate::topology::batch;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "bridge-port",
        "a protected interface that becomes the port of a bridge stays protected",
        |site| carried(site, BRIDGE),
    ),
    Scenario::empty("bond-port", "so does one that becomes the port of a bond", |site| carried(site, BOND)),
    Scenario::empty(
        "other-namespace",
        "an interface that was in another namespace comes back protected",
        |site| restored(site, away_and_back),
    ),
    Scenario::empty(
        "swapped-names",
        "names that were swapped and swapped back leave nothing behind",
        |site| restored(site, swapped),
    ),
];

/// What carries the packets of gm1's WAN.
#[derive(Clone, Copy, Debug)]
struct Carrier {
    made: &'static str,
    /// What is told of it.
    told: &'static str,
    removed: &'static str,
}

const BRIDGE: Carrier = Carrier {
    made: "link add over type bridge\nlink set over up\nlink set wan master over\n",
    told: "wan is a port of over",
    removed: "link set wan nomaster\nlink del over\n",
};
const BOND: Carrier = Carrier {
    made: "link add over type bond\nlink set wan down\nlink set wan master over\nlink set over up\n",
    told: "wan is a port of over",
    removed: "link del over\nlink set wan up\n",
};
/// How its address gets there.
const MOVED: &str =
    "address flush dev wan\naddress add 198.51.100.1/30 dev over\nroute replace default via 198.51.100.2\n";
/// So long programs that configure networks take between the two, and the daemon to notice what is not told.
const WHILE: Duration = Duration::from_secs(1);

fn carried(site: &Site, carrier: Carrier) -> Outcome {
    let result = stays_protected(site, carrier);
    let _ = site.host(MEMBERS[0])?.inside(|| batch(carrier.removed));
    restored(site, |_| result)
}

fn restored(site: &Site, run: impl FnOnce(&Site) -> Outcome) -> Outcome {
    let result = run(site);
    site.restore(MEMBERS[0])?;
    result
}

fn stays_protected(site: &Site, carrier: Carrier) -> Outcome {
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let mut group = Rekeyed::start(site, Transport::Unicast)?;
    let gm1 = site.host(MEMBERS[0])?;
    let begun = Instant::now();
    gm1.inside(|| batch(carrier.made))?;
    // Until it is noticed a port is what its new master makes of it.
    group.members[0].says(&["GM_DATAPLANE_PROBLEM", carrier.told], WHILE * 3)?;
    println!("   protected after {} ms", begun.elapsed().as_millis());
    injection.none_comes_in(site)?;
    let begun = Instant::now();
    gm1.inside(|| batch(MOVED))?;
    throughout(WHILE * 2, || injection.none_comes_in(site))?;
    group.watch.none_clear()?;
    all_hear(&group, "over what carries its packets")?;
    println!("   all hear each other after {:.1} s", begun.elapsed().as_secs_f32());
    is_as_told(&group.members[0], carrier)?;
    is_protected_by_the_next_start(site, &mut group, &mut injection)?;
    is_as_told(&group.members[0], carrier)?;
    gm1.inside(|| batch(carrier.removed))?;
    site.restore(MEMBERS[0])?;
    all_hear(&group, "over the interface itself again")?;
    has_no_problem(&group.members[0])?;
    injection.none_comes_in(site)?;
    println!("   {}", group.finish_lossy()?);
    Ok(())
}

fn is_as_told(member: &Daemon, carrier: Carrier) -> Outcome {
    has_problem(member, carrier.told)?;
    let policies = member.host().must("ip xfrm policy")?;
    ensure!(policies.contains("dev over "), "no policy is for what carries the packets: {policies}");
    let protection = &rekeying::group(member)?["protection"];
    ensure!(protection == "encrypting", "the member says {protection}");
    Ok(())
}

/// First one that goes on with what there is, then one that finds nothing, and whose key server does not answer.
fn is_protected_by_the_next_start(site: &Site, group: &mut Rekeyed, injection: &mut Injection) -> Outcome {
    group.members[0].kill()?;
    group.members[0].start_again()?;
    registered(&mut group.members[0])?;
    injection.none_comes_in(site)?;
    all_hear(group, "after a restart")?;
    group.members[0].kill()?;
    group.key_server.kill()?;
    let gm1 = site.host(MEMBERS[0])?;
    let _ = fs::remove_dir_all(site.places.state_of(MEMBERS[0]));
    gm1.inside(|| batch("link set over down\nlink set wan down\nxfrm policy flush\nxfrm state flush\n"))?;
    gm1.must("nft flush ruleset")?;
    group.members[0].start_again()?;
    group.members[0].says(&["GM_CLOSED"], SOON)?;
    gm1.inside(|| batch("link set wan up\nlink set over up\nroute replace default via 198.51.100.2\n"))?;
    throughout(WHILE, || injection.none_comes_in(site))?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)? + site.host("h1")?.ping(OUTSIDE)?;
    ensure!(answers == 0, "{answers} of 6 requests were answered before the registration");
    group.key_server.start_again()?;
    registered(&mut group.members[0])?;
    all_hear(group, "after a start with nothing in the kernel")
}

fn all_hear(group: &Rekeyed, when: &str) -> Outcome {
    let mark = group.streams.mark();
    eventually_true(&format!("every host hears every other one {when}"), SOON, || {
        Ok(group.streams.all_heard_since(&mark))
    })
}

fn has_no_problem(member: &Daemon) -> Outcome {
    let mut problems = Value::Null;
    let done = eventually_true("the member tells of no problem", SOON, || {
        problems = member.show("gm")?["dataplane_problems"].clone();
        Ok(problems.as_array().is_some_and(Vec::is_empty))
    });
    if done.is_err() {
        println!("   it tells {problems}");
    }
    done
}

fn away_and_back(site: &Site) -> Outcome {
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let mut group = Rekeyed::start(site, Transport::Unicast)?;
    let (gm1, ks3) = (site.host(MEMBERS[0])?, site.host("ks3")?);
    for _ in 0..3 {
        gm1.must("ip link set wan netns ks3")?;
        has_problem(&group.members[0], "interface wan does not exist")?;
        ks3.must("ip link set wan netns gm1")?;
        site.restore(MEMBERS[0])?;
        throughout(WHILE, || injection.none_comes_in(site))?;
        all_hear(&group, "after the interface came back")?;
        group.watch.none_clear()?;
    }
    has_no_problem(&group.members[0])?;
    println!("   {}", group.finish_lossy()?);
    Ok(())
}

/// Kernels before 6.2 want an interface to be down.
const SWAP: &str =
    "link set wan down\nlink set wan name tmp\nlink set tmp up\nlink set lan down\nlink set lan name wan\n\
                    link set wan up\n";
const SWAP_BACK: &str =
    "link set wan down\nlink set wan name lan\nlink set lan up\nlink set tmp down\nlink set tmp name wan\n\
                         link set wan up\n";

fn swapped(site: &Site) -> Outcome {
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let mut group = Rekeyed::start(site, Transport::Unicast)?;
    let gm1 = site.host(MEMBERS[0])?;
    let result = swaps(site, &mut group, &mut injection);
    if result.is_err() {
        let _ = gm1.inside(|| batch(SWAP_BACK));
    }
    result?;
    println!("   {}", group.finish_lossy()?);
    Ok(())
}

fn swaps(site: &Site, group: &mut Rekeyed, injection: &mut Injection) -> Outcome {
    let gm1 = site.host(MEMBERS[0])?;
    gm1.inside(|| batch(SWAP))?;
    has_problem(&group.members[0], "interface tmp was wan")?;
    injection.none_comes_in(site)?;
    gm1.inside(|| batch(SWAP_BACK))?;
    site.restore(MEMBERS[0])?;
    all_hear(group, "after the names were swapped back")?;
    has_no_problem(&group.members[0])?;
    injection.none_comes_in(site)?;
    gm1.inside(|| batch(SWAP))?;
    has_problem(&group.members[0], "a restart of gdoi-gm releases tmp")?;
    group.members[0].kill()?;
    gm1.inside(|| batch(SWAP_BACK))?;
    site.restore(MEMBERS[0])?;
    group.members[0].start_again()?;
    registered(&mut group.members[0])?;
    all_hear(group, "after a restart with the names swapped back")?;
    injection.none_comes_in(site)?;
    is_released(group)
}

/// An earlier run protected the second LAN as well, and the entry means another interface now: that passes again, and loudly.
fn is_released(group: &mut Rekeyed) -> Outcome {
    group.members[0].host().inside(|| {
        batch("link set wan down\nlink set wan name tmp\nlink set lan2 down\nlink set lan2 name wan\n")
    })?;
    has_problem(&group.members[0], "a restart of gdoi-gm releases tmp")?;
    group.members[0].kill()?;
    group.members[0].start_again()?;
    let said =
        group.members[0].says(&["CRITICAL GM_UNPROTECTED", "tmp was protected as wan", "IN CLEAR"], SOON);
    group.members[0].kill()?;
    group.members[0].host().inside(|| {
        batch("link set wan name lan2\nlink set tmp name wan\nlink set wan up\nlink set lan2 up\n")
    })?;
    said.map(drop)
}
