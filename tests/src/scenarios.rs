//! All scenarios: each file has its own, here is their order.

mod address;
mod behind;
mod by_hand;
mod clear;
mod closed_start;
mod commands;
mod control_ipv6;
mod coop;
mod crash;
mod deaf;
mod demo;
mod detach;
mod earlier_flows;
mod exposed;
mod fail_close;
mod hops;
mod interfaces;
mod kernel;
mod leak_proof;
mod links;
mod long_list;
mod marks;
mod matrix;
mod narrow;
mod nat;
mod neighbours;
mod odd_names;
mod paused;
mod ports;
mod reach;
mod refusals;
mod rekey;
mod renamed;
mod replaced;
mod replay;
mod restart;
mod routing;
mod senders;
mod short_path;
mod sizes;
mod stopped;
mod strongswan;
mod vrf;

use crate::machine;
use crate::scenario::Scenario;

pub use demo::demo;

/// What every run shows, one after the other. Scenarios that share a registered group come first.
pub const EVERY_RUN: &[&[Scenario]] = &[
    kernel::SCENARIOS,
    clear::SCENARIOS,
    reach::SCENARIOS,
    sizes::SCENARIOS,
    marks::SCENARIOS,
    nat::SCENARIOS,
    neighbours::ipsec::SCENARIOS,
    neighbours::esp::SCENARIOS,
    neighbours::routes::SCENARIOS,
    neighbours::firewall::SCENARIOS,
    neighbours::saved::SCENARIOS,
    neighbours::flowtable::SCENARIOS,
    earlier_flows::SCENARIOS,
    neighbours::filters::SCENARIOS,
    detach::SCENARIOS,
    by_hand::SCENARIOS,
    exposed::SCENARIOS,
    crash::SCENARIOS,
    stopped::SCENARIOS,
    narrow::SCENARIOS,
    short_path::SCENARIOS,
    hops::SCENARIOS,
    interfaces::SCENARIOS,
    senders::SCENARIOS,
    address::SCENARIOS,
    fail_close::SCENARIOS,
    closed_start::SCENARIOS,
    links::SCENARIOS,
    renamed::SCENARIOS,
    ports::SCENARIOS,
    odd_names::SCENARIOS,
    vrf::SCENARIOS,
    control_ipv6::SCENARIOS,
    long_list::SCENARIOS,
    replay::SCENARIOS,
    replaced::SCENARIOS,
    routing::SCENARIOS,
    leak_proof::SCENARIOS,
    commands::SCENARIOS,
    strongswan::SCENARIOS,
];

/// What every run shows, too, and what waits for the ends of keys.
pub const ROLLOVERS: &[&[Scenario]] =
    &[rekey::SCENARIOS, matrix::SCENARIOS, deaf::SCENARIOS, restart::SCENARIOS, behind::SCENARIOS];

/// What every run shows, too, of key servers that share a group.
pub const COOPERATION: &[&[Scenario]] =
    &[coop::death::SCENARIOS, coop::partition::SCENARIOS, coop::commands::SCENARIOS];

/// What every run shows, too, and what waits for the protocol's own timers and loads nothing.
pub const REFUSALS: &[&[Scenario]] = &[refusals::SCENARIOS];

/// Other kinds of [`ROLLOVERS`], and what takes minutes: run by name, or with everything.
pub const OTHERS: &[&[Scenario]] =
    &[matrix::OTHERS, paused::SCENARIOS, stopped::OTHERS, neighbours::filters::OTHERS];

/// Scenarios that are called by one name.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The name.
    pub name: &'static str,
    /// What they have in common, in one line.
    pub about: &'static str,
    /// Their own names, in the order in which they run.
    pub scenarios: &'static [&'static str],
}

/// All groups.
pub const GROUPS: &[Group] = &[Group {
    name: "each-capability",
    about: "one scenario for each thing that the project can do, where time is short",
    scenarios: &[
        "pairs",
        "path-mtu",
        "fail-close",
        "rekey-unicast",
        "rekey-multicast",
        "matrix-aes-256-gcm-ipv6-multicast",
        "ks-remove",
        "coop-kill-primary",
        "strongswan-initiator",
    ],
}];

/// All that there are.
pub fn every() -> impl Iterator<Item = &'static Scenario> {
    [EVERY_RUN, ROLLOVERS, COOPERATION, REFUSALS, OTHERS].into_iter().flat_map(of)
}

/// All that every run shows, and the others if they are asked for, by the labs that show them beside each other. Most of it
/// waits; but an emulated processor is busy with one lab that does more than that.
pub fn labs(others: &[&'static [Scenario]]) -> Vec<Vec<&'static Scenario>> {
    let labs = match machine::emulated() {
        true => vec![[EVERY_RUN, ROLLOVERS, others, COOPERATION].concat(), REFUSALS.to_vec()],
        false => vec![EVERY_RUN.to_vec(), [ROLLOVERS, others].concat(), [COOPERATION, REFUSALS].concat()],
    };
    labs.iter().map(|lists| lists.iter().copied().flatten().collect()).collect()
}

fn of(lists: &'static [&'static [Scenario]]) -> impl Iterator<Item = &'static Scenario> {
    lists.iter().copied().flatten()
}

/// The scenario, or those of the group, with this name.
pub fn called(name: &str) -> Result<Vec<&'static Scenario>, String> {
    let one = |name: &str| every().find(|scenario| scenario.name == name);
    let names = match GROUPS.iter().find(|group| group.name == name) {
        Some(group) => group.scenarios,
        None => &[name],
    };
    names.iter().map(|name| one(name).ok_or(format!("there is no scenario {name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_that_of_one() {
        let names = every().map(|scenario| scenario.name).chain(GROUPS.iter().map(|group| group.name));
        let all: Vec<_> = names.collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(called("pairs").is_ok_and(|found| found.len() == 1) && called("nothing").is_err());
    }

    #[test]
    fn a_run_of_everything_has_each_scenario_once() {
        let names = labs(OTHERS).concat().iter().map(|scenario| scenario.name).collect::<BTreeSet<_>>();
        assert_eq!((names.len(), labs(OTHERS).concat().len()), (every().count(), every().count()));
    }

    #[test]
    fn groups_are_of_scenarios_that_there_are() {
        for group in GROUPS {
            assert!(called(group.name).is_ok_and(|found| found.len() == group.scenarios.len()));
        }
    }
}
