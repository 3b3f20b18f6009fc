//! All scenarios: each file has its own, here is their order.

mod address;
mod by_hand;
mod clear;
mod commands;
mod control_ipv6;
mod coop;
mod crash;
mod deaf;
mod demo;
mod detach;
mod exposed;
mod fail_close;
mod interfaces;
mod kernel;
mod leak_proof;
mod links;
mod long_list;
mod marks;
mod matrix;
mod narrow;
mod nat;
mod reach;
mod refusals;
mod rekey;
mod replay;
mod restart;
mod senders;
mod sizes;
mod strongswan;

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
    detach::SCENARIOS,
    by_hand::SCENARIOS,
    exposed::SCENARIOS,
    crash::SCENARIOS,
    narrow::SCENARIOS,
    interfaces::SCENARIOS,
    senders::SCENARIOS,
    address::SCENARIOS,
    fail_close::SCENARIOS,
    links::SCENARIOS,
    rekey::SCENARIOS,
    control_ipv6::SCENARIOS,
    long_list::SCENARIOS,
    matrix::SCENARIOS,
    replay::SCENARIOS,
    deaf::SCENARIOS,
    restart::SCENARIOS,
    leak_proof::SCENARIOS,
    commands::SCENARIOS,
    coop::death::SCENARIOS,
    coop::partition::SCENARIOS,
    coop::commands::SCENARIOS,
    strongswan::SCENARIOS,
];

/// What every run shows, too: they wait for the protocol's own timers and load nothing, so that they run beside
/// [`EVERY_RUN`], in a lab of their own.
pub const BESIDE: &[&[Scenario]] = &[refusals::SCENARIOS];

/// Other kinds of what [`EVERY_RUN`] shows: run by name, or with all of them.
pub const OTHERS: &[&[Scenario]] = &[matrix::OTHERS];

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
        "killed-member",
        "fail-close",
        "rekey-unicast",
        "rekey-multicast",
        "control-ipv6",
        "matrix-aes-256-gcm-ipv6-multicast",
        "replay",
        "ks-remove",
        "coop-kill-primary",
        "strongswan-initiator",
    ],
}];

/// All scenarios of some lists.
pub fn of(lists: &'static [&'static [Scenario]]) -> impl Iterator<Item = &'static Scenario> {
    lists.iter().copied().flatten()
}

/// All that there are.
pub fn every() -> impl Iterator<Item = &'static Scenario> {
    of(EVERY_RUN).chain(of(BESIDE)).chain(of(OTHERS))
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
    fn groups_are_of_scenarios_that_there_are() {
        for group in GROUPS {
            assert!(called(group.name).is_ok_and(|found| found.len() == group.scenarios.len()));
        }
    }
}
