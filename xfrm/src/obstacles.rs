//! What else on this router eats a plane's packets: told from what was counted at both ends of each stretch of their way,
//! and from settings. Who sends nothing is not missed.
//!
//! Counters are not read at one moment, and a packet may be under way between two of them, so a loss counts only if the next
//! packets are lost, too.

mod account;
mod step;

use std::collections::BTreeMap;

use crate::counters::Counters;
use crate::model::Slot;
use crate::settings::LinkSettings;

use account::{Account, Forwarding};
use step::Step;

/// What was counted, and what was seen besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// All counters.
    pub counters: Counters,
    /// Settings of the links of planes that protect.
    pub settings: Vec<LinkSettings>,
}

/// What eats packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// ESP that comes in: chains of others in hook prerouting, up to priority raw.
    PreroutingRaw,
    /// The same, on its way to the inbound anchor: chains of others in hook prerouting, behind priority raw.
    Prerouting,
    /// What comes in, encrypted or decrypted: the kernel's reverse path filtering.
    ReversePath,
    /// ESP for the inbound anchor: the kernel does not route it to this router.
    Routing,
    /// ESP for the inbound anchor: chains of others in hook input.
    Input,
    /// What was decrypted: chains of others in hook prerouting.
    PreroutingDecrypted,
    /// What was decrypted: XFRM policies of others.
    Policy,
    /// What was decrypted: the router does not forward it.
    Forwarding,
    /// What was decrypted: chains of others in hook forward.
    Forward,
    /// What is to be encrypted: `disable_xfrm`.
    DisableXfrm,
    /// What is to be encrypted: chains of others in hook postrouting.
    PostroutingClear,
    /// ESP that leaves: chains of others in hook output.
    Output,
    /// The same: chains of others in hook postrouting.
    Postrouting,
}

/// Something eats packets of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The plane.
    pub slot: Slot,
    /// What it is.
    pub obstacle: Obstacle,
    /// How many packets were lost of those that came there, lately; none were counted where settings say it.
    pub lost: u64,
    /// How many came.
    pub of: u64,
}

/// What has been found out so far.
#[derive(Debug, Default)]
pub struct Obstacles {
    before: Counters,
    planes: BTreeMap<Slot, [Account; Account::COUNT]>,
}

impl Obstacles {
    /// Takes what was read since; answers all that eats packets now, in the order of their way.
    pub fn judge(&mut self, reading: &Reading) -> Vec<Finding> {
        let counters = &reading.counters;
        let slots: Vec<_> = counters.planes.iter().map(|plane| plane.slot).collect();
        self.planes.retain(|slot, _| slots.contains(slot));
        let mut findings = Vec::new();
        for slot in slots {
            let accounts = self.planes.entry(slot).or_default();
            let settings = || reading.settings.iter().filter(|settings| settings.slot == slot);
            let forwarding = match settings().any(|settings| settings.keeps_to_itself) {
                true => Forwarding::Off,
                false => Forwarding::On,
            };
            if let Some(step) = Step::between(&self.before, counters, slot) {
                account::add(accounts, &step, forwarding);
            }
            if settings().any(|settings| settings.disable_xfrm) {
                findings.push(Finding { slot, obstacle: Obstacle::DisableXfrm, lost: 0, of: 0 });
            }
            let told = accounts.iter().filter_map(Account::told);
            let told = told.map(|(obstacle, lost, of)| Finding { slot, obstacle, lost, of });
            findings.extend(told);
        }
        findings.sort_by_key(|finding| (finding.slot, finding.obstacle));
        findings.dedup_by_key(|finding| (finding.slot, finding.obstacle));
        self.before.clone_from(counters);
        findings
    }
}

#[cfg(test)]
mod tests;
