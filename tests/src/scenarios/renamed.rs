//! Interfaces that get another name, and those that are known by the beginning of their names.

use crate::corp::{self, has_problem, key_server, pairs, ping_all, registered, PAIRS};
use crate::daemon::Daemon;
use crate::eventually::{eventually_true, throughout};
use crate::host::Host;
use crate::injection::Injection;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{self, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, MEMBERS};
use crate::topology::batch;
use crate::watch::Watch;
use serde_json::json;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("renamed", "an interface that gets another name stays protected, under streams", renamed),
    Scenario::empty(
        "redial",
        "of interfaces `dsl*` whichever comes is protected from its first moment",
        redial,
    ),
];

/// How an interface gets another name: this takes it down, as kernels before 6.2 want it.
const AWAY: &str =
    "link set wan down\nlink set wan name wanx\nlink set wanx up\nroute replace default via 198.51.100.2\n";
/// And this does not.
const BACK: &str = "link set wanx name wan\n";

fn renamed(site: &Site) -> Outcome {
    let result = stays_protected(site);
    let gm1 = site.host(MEMBERS[0])?;
    let _ = gm1.inside(|| batch("link set wanx down\nlink set wanx name wan\n"));
    site.restore(MEMBERS[0])?;
    result
}

fn stays_protected(site: &Site) -> Outcome {
    let mut injection = Injection::start(site)?;
    injection.all_come_in(site)?;
    let mut group = Rekeyed::start(site, Transport::Unicast)?;
    let gm1 = site.host(MEMBERS[0])?;
    let begun = Instant::now();
    gm1.inside(|| batch(AWAY))?;
    throughout(Duration::from_secs(2), || injection.none_comes_in(site))?;
    has_problem(&group.members[0], "interface wanx was wan")?;
    all_hear(&group, "after the interface got another name")?;
    println!("   renamed: all hear each other after {:.1} s", begun.elapsed().as_secs_f32());
    is_protected(&gm1, "wanx")?;
    is_protected_by_the_next_start(site, &mut group, &mut injection)?;
    if gm1.inside(|| batch(BACK)).is_ok() {
        eventually_true("it has its name again", SOON, || Ok(!tells_of_another_name(&group.members[0])?))?;
        all_hear(&group, "after the interface got its name back without going down")?;
    }
    injection.none_comes_in(site)?;
    println!("   {}", group.finish_lossy()?);
    Ok(())
}

/// A restart knows the interface by what was stored, and a configuration with the new name has nothing to say of it.
fn is_protected_by_the_next_start(site: &Site, group: &mut Rekeyed, injection: &mut Injection) -> Outcome {
    let gm1 = site.host(MEMBERS[0])?;
    group.members[0].terminate()?;
    injection.none_comes_in(site)?;
    group.members[0].start_again()?;
    registered(&mut group.members[0])?;
    all_hear(group, "after a restart")?;
    is_protected(&gm1, "wanx")?;
    for name in ["wanx", "wan"] {
        group.members[0].kill()?;
        group.members[0].reconfigure(|config| config["groups"][0]["interfaces"] = json!([name]))?;
        group.members[0].start_again()?;
        registered(&mut group.members[0])?;
        injection.none_comes_in(site)?;
        if name == "wanx" {
            ensure!(!tells_of_another_name(&group.members[0])?, "it tells of a name that is configured");
            all_hear(group, "after a restart with the new name")?;
            gm1.inside(|| batch("link set wanx down\nlink set wanx name wan\nlink set wan up\nroute replace default via 198.51.100.2\n"))?;
        }
    }
    gm1.inside(|| batch(AWAY))?;
    all_hear(group, "after it got another name once more")
}

fn tells_of_another_name(member: &Daemon) -> Outcome<bool> {
    Ok(member.show("gm")?["dataplane_problems"].to_string().contains("was wan"))
}

fn all_hear(group: &Rekeyed, when: &str) -> Outcome {
    let mark = group.streams.mark();
    eventually_true(&format!("every host hears every other one {when}"), SOON, || {
        Ok(group.streams.all_heard_since(&mark))
    })
}

fn is_protected(member: &Host, name: &str) -> Outcome {
    let policies = member.must("ip xfrm policy")?;
    ensure!(policies.contains(&format!("dev {name} ")), "no policy is for {name}: {policies}");
    Ok(())
}

/// What `ip` does on gm1 and in the core to make the dialled interface of this number.
fn dialled(number: u8) -> [String; 2] {
    let vlan = 100 + number;
    [
        format!(
            "link add link wan name dsl{number} type vlan id {vlan}\nlink set dsl{number} up\n\
             address add 198.51.100.1/30 dev dsl{number}\nroute replace default via 198.51.100.2\n"
        ),
        format!(
            "link add link gm1 name gm1.{vlan} type vlan id {vlan}\nlink set gm1.{vlan} up\n\
             address add 198.51.100.2/30 dev gm1.{vlan}\nroute replace 10.1.1.0/24 via 198.51.100.1\n"
        ),
    ]
}

fn redial(site: &Site) -> Outcome {
    let result = dials_again(site);
    for (host, name) in [(MEMBERS[0], "dsl"), ("core", "gm1.10")] {
        for number in 0..3 {
            site.host(host)?.run(&format!("ip link del {name}{number}"))?;
        }
        site.restore(host)?;
    }
    result
}

fn dials_again(site: &Site) -> Outcome {
    let (gm1, core) = (site.host(MEMBERS[0])?, site.host("core")?);
    gm1.inside(|| batch("address del 198.51.100.1/30 dev wan\n"))?;
    core.inside(|| batch("address del 198.51.100.2/30 dev gm1\n"))?;
    let mut injection = Injection::start(site)?;
    let mut watch = Watch::start(site)?;
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["interfaces"] = json!(["dsl*"]);
    let mut member = site.member(MEMBERS[0], config)?;
    let start = |host| site.member(host, corp::member(&[KS1]));
    let mut others = MEMBERS[1..].iter().copied().map(start).collect::<Outcome<Vec<_>>>()?;
    others.iter_mut().try_for_each(registered)?;
    has_problem(&member, "interface dsl* does not exist")?;
    for number in 0..3 {
        let begun = Instant::now();
        for (host, lines) in [&gm1, &core].into_iter().zip(dialled(number)) {
            host.inside(|| batch(&lines))?;
        }
        injection.none_comes_in(site)?;
        if number == 0 {
            registered(&mut member)?;
        }
        eventually_true(
            &format!("all pairs answer over dsl{number}"),
            SOON,
            || Ok(ping_all(site)? == PAIRS),
        )?;
        println!(
            "   dsl{number}: all {} pairs after {:.1} s",
            pairs().count(),
            begun.elapsed().as_secs_f32()
        );
        is_protected(&gm1, &format!("dsl{number}"))?;
        gm1.must(&format!("ip link del dsl{number}"))?;
        core.must(&format!("ip link del gm1.{}", 100 + number))?;
    }
    ensure!(rekeying::group(&member)?["protection"] == "encrypting", "the member does not encrypt");
    watch.none_clear()?;
    watch.close()
}
