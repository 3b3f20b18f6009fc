//! Interfaces that are made and removed while a member runs, and one that the configuration forgets.

use crate::corp::{self, key_server, registered};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::machine::limit;
use crate::outcome::Outcome;
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, KS1};
use serde_json::json;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "interfaces",
    "VLAN and GRE interfaces that come and go, and one that is configured no more",
    come_and_go,
)];

const VLAN: &str = "wan.100";
const GRE: &str = "gre-core";
const MADE: [&str; 2] = [
    "ip link add link wan name wan.100 up type vlan id 100",
    "ip link add gre-core up type gre local 198.51.100.1 remote 198.51.100.2",
];

fn come_and_go(site: &Site) -> Outcome {
    let result = comes_and_goes(site);
    let gm1 = site.host("gm1")?;
    [VLAN, GRE].iter().try_for_each(|name| gm1.run(&format!("ip link del {name}")).map(drop))?;
    result
}

fn comes_and_goes(site: &Site) -> Outcome {
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["interfaces"] = json!(["wan", VLAN, GRE]);
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    let mut member = site.member("gm1", config)?;
    registered(&mut member)?;
    for name in [VLAN, GRE] {
        member.says(&["GM_DATAPLANE_PROBLEM", name, "does not exist"], SOON)?;
    }
    MADE.iter().try_for_each(|line| member.host().must(line).map(drop))?;
    for name in [VLAN, GRE] {
        policies_of(&member, name, Presence::There)?;
    }
    member.host().must(&format!("ip link del {VLAN}"))?;
    policies_of(&member, VLAN, Presence::Gone)?;
    policies_of(&member, GRE, Presence::There)?;
    is_forgotten(&mut member)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    There,
    Gone,
}

/// Waits until the kernel has the policies of an interface, or none; the daemon looks at most once a second.
fn policies_of(member: &Daemon, name: &str, wanted: Presence) -> Outcome {
    let at_once = limit(Duration::from_secs(2), Duration::from_secs(8));
    eventually_true(&format!("the policies of {name} are {wanted:?}"), at_once, || {
        let problems = member.show("gm")?["dataplane_problems"].to_string();
        let policies = member.host().must("ip xfrm policy")?;
        let there = policies.contains(&format!("dev {name} "));
        Ok(match wanted {
            Presence::There => there && !problems.contains(name),
            Presence::Gone => !there && problems.contains(&format!("{name} does not exist")),
        })
    })
}

/// A restart with another configuration opens what is no more in it, and says so loudly.
fn is_forgotten(member: &mut Daemon) -> Outcome {
    member.terminate()?;
    member.reconfigure(|config| config["groups"][0]["interfaces"] = json!(["wan", VLAN]))?;
    member.start_again()?;
    member.says(&["CRITICAL GM_UNPROTECTED", GRE, "IN CLEAR"], SOON)?;
    registered(member)
}
