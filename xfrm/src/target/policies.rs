//! XFRM policies: what is encrypted, what stays in clear, and what is accepted when it was encrypted.

use std::collections::btree_map;
use std::collections::BTreeSet;

use super::aligned::{aligned, blocks};
use super::gdoi::gdoi;
use super::{multicast, Target};
use crate::installed::Offload;
use crate::model::{Ace, Action, Family, Lane, Mode, Plane, Ports, Prefix, Protection, Sa, Selector, Slot};
use crate::object::{Direction, Hook, KernelSelector, Policy, PolicyKey, Rank, Verdict};
use crate::Error;

/// XFRM_MAX_DEPTH: the kernel takes no more templates in one policy.
const MOST_TEMPLATES: usize = 6;
/// A kernel with more policies is slow to fill and to look through.
const MOST_POLICIES: usize = 65_536;
const IGMP: u8 = 2;
const IPIP: u8 = 4;
const ICMPV6: u8 = 58;
/// Types of ICMPv6 without which a link does not work: multicast listener and neighbour discovery, less redirects.
const LINK_TYPES: [(u16, u16); 2] = [(130, 136), (143, 143)];

/// One decision about what leaves.
pub type Entry = (Rank, Verdict, KernelSelector);

/// A plane on its way out.
pub struct Outward<'a> {
    pub plane: &'a Plane,
    pub protection: &'a Protection,
    /// Index of the interface.
    pub interface: u32,
    /// How many entries other planes have before it.
    pub first: u32,
    /// What becomes of what the list denies.
    pub denied: Verdict,
}

impl Target {
    /// A group that only receives encrypts nothing, so nothing needs to be kept from it, unless another plane holds back
    /// everything.
    pub fn add_outward(&mut self, outward: &Outward<'_>, offload: Offload) -> Result<(), Error> {
        match (outward.protection.mode, &outward.denied) {
            (Mode::ReceiveOnly, Verdict::Block) => self.add_to(outward.interface, outward.passing()?),
            (Mode::ReceiveOnly, _) => {}
            (Mode::Strict | Mode::AcceptClear, _) => {
                self.add_to(outward.interface, outward.entries(offload)?);
                self.add_multicast(outward)?;
            }
        }
        Ok(())
    }

    /// For what leaves by this interface.
    pub fn add_to(&mut self, interface: u32, entries: Vec<Entry>) {
        for (rank, verdict, selector) in entries {
            let interface = Some(interface);
            let key = PolicyKey { hook: Hook::Out, interface, xfrm_interface: None, selector };
            self.add(Policy { key, rank, verdict });
        }
    }

    /// What is forwarded to the XFRM interface.
    fn add_multicast(&mut self, outward: &Outward<'_>) -> Result<(), Error> {
        for (rank, ace) in outward.ranked().filter(|(_, ace)| ace.action == Action::Permit) {
            let sends = |sa: &&Sa| outward.protection.sends(sa, &ace.selector);
            let Some(sa) = multicast(outward.protection).find(sends) else { continue };
            let to = ace.selector.destination().prefix;
            let Some(destination) = to.intersection(&Prefix::multicast(Family::V6)) else { continue };
            for selector in aligned(&ace.selector)? {
                let selector = KernelSelector { destination, ..selector };
                let xfrm_interface = Some(outward.plane.slot);
                let key = PolicyKey { hook: Hook::Out, interface: None, xfrm_interface, selector };
                self.add(Policy { key, rank, verdict: Verdict::Encrypt(outward.plane.slot, sa.spi) });
            }
        }
        Ok(())
    }

    /// The kernel holds one policy by each name; the first one decides anyway.
    fn add(&mut self, policy: Policy) {
        self.policies.entry(policy.key).or_insert(policy);
    }

    /// What a state decrypted is accepted when an entry permits it; an entry that denies it was not there yet, or not
    /// any more, where it was sent.
    pub fn accept_decrypted(&mut self, protection: &Protection, slot: Slot) -> Result<(), Error> {
        for ace in protection.acl.iter().filter(|ace| ace.action == Action::Permit) {
            for selector in aligned(&ace.selector)? {
                for hook in [Hook::In, Hook::Forward] {
                    self.accept(PolicyKey { hook, interface: None, xfrm_interface: None, selector }, slot);
                }
            }
        }
        Ok(())
    }

    /// These policies cannot be limited to an interface, so planes with the same entry share one.
    fn accept(&mut self, key: PolicyKey, slot: Slot) {
        match self.policies.entry(key) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Policy { key, rank: Rank::Decrypted, verdict: Verdict::Decrypted(vec![slot]) });
            }
            btree_map::Entry::Occupied(mut occupied) => match &mut occupied.get_mut().verdict {
                Verdict::Decrypted(slots) if !slots.contains(&slot) => slots.push(slot),
                _ => {}
            },
        }
    }

    /// Of lists with so many entries.
    pub fn check_policies(&self, entries: u32) -> Result<(), Error> {
        if entries > Rank::ENTRIES {
            let most = Rank::ENTRIES;
            return Err(Error::Unusable(format!(
                "the access lists have {entries} entries together, more than {most}"
            )));
        }
        if self.policies.len() > MOST_POLICIES {
            return Err(Error::Unusable(format!(
                "the access lists would take {} policies in the kernel, more than {MOST_POLICIES}: use fewer entries \
                 with ranges of ports",
                self.policies.len()
            )));
        }
        match self.policies.values().find(|policy| is_too_wide(policy)) {
            Some(policy) => Err(Error::Unusable(format!(
                "more than {MOST_TEMPLATES} planes share the entry {}",
                policy.key.selector
            ))),
            None => Ok(()),
        }
    }
}

fn is_too_wide(policy: &Policy) -> bool {
    matches!(&policy.verdict, Verdict::Decrypted(slots) if slots.len() > MOST_TEMPLATES)
}

impl Outward<'_> {
    /// Everything in the order in which it decides.
    fn entries(&self, offload: Offload) -> Result<Vec<Entry>, Error> {
        let mut entries = self.passing()?;
        for (rank, Ace { action, selector }) in self.ranked() {
            let verdict = match action {
                Action::Permit => self.verdict(&selector, offload),
                Action::Deny => self.denied.clone(),
            };
            let forwarded = match action {
                Action::Permit => permitted_multicast(&selector),
                Action::Deny => denied_multicast(&selector),
            };
            let selectors = aligned(&selector)?.into_iter().chain(forwarded);
            entries.extend(selectors.map(|selector| (rank, verdict.clone(), selector)));
        }
        Ok(entries)
    }

    fn passing(&self) -> Result<Vec<Entry>, Error> {
        passing(self.plane, link(&super::families(self.protection)))
    }

    /// The entries that decide anything: `deny` only does where a later entry permits.
    fn ranked(&self) -> impl Iterator<Item = (Rank, Ace)> + use<'_> {
        let acl = &self.protection.acl;
        let numbered = acl.iter().enumerate().filter(|(number, ace)| {
            ace.action == Action::Permit || acl[*number..].iter().any(|later| is_exception(ace, later))
        });
        numbered.map(|(number, ace)| (Rank::Acl(self.first + number as u32), *ace))
    }

    /// Without esp6_offload the addresses of IPv6 packets cannot be restored.
    fn verdict(&self, selector: &Selector, offload: Offload) -> Verdict {
        let family = selector.family();
        let is_meant =
            |sa: &&Sa| sa.family == family && sa.lane == Lane::Unicast && self.protection.sends(sa, selector);
        // IPv4 has the stash.
        let possible = family == Family::V4 || offload.restores(family);
        match self.protection.outbound.iter().find(is_meant).filter(|_| possible) {
            Some(sa) => Verdict::Encrypt(self.plane.slot, sa.spi),
            None => Verdict::Block,
        }
    }
}

fn is_exception(deny: &Ace, later: &Ace) -> bool {
    later.action == Action::Permit
        && later.selector.source().prefix.overlaps(&deny.selector.source().prefix)
        && later.selector.destination().prefix.overlaps(&deny.selector.destination().prefix)
}

/// What stays in clear whatever the lists of groups say: this, GDOI and what the local list names.
pub fn passing(plane: &Plane, link: Vec<KernelSelector>) -> Result<Vec<Entry>, Error> {
    let (mut gdoi_and_link, mut clear) = (link, Vec::new());
    for selector in gdoi(plane, Direction::Outbound)? {
        gdoi_and_link.extend(aligned(&selector)?);
    }
    for selector in &plane.clear {
        clear.extend(aligned(selector)?.into_iter().chain(denied_multicast(selector)));
    }
    let clear = clear.into_iter().map(|selector| (Rank::Clear, Verdict::Pass, selector));
    Ok(gdoi_and_link.into_iter().map(|selector| (Rank::Gdoi, Verdict::Pass, selector)).chain(clear).collect())
}

/// What the links of a plane need in clear; nftables sees to it that none of it is forwarded.
fn link(families: &BTreeSet<Family>) -> Vec<KernelSelector> {
    let v4 = KernelSelector {
        protocol: Some(IGMP),
        ..KernelSelector::between(Prefix::any(Family::V4), Prefix::multicast(Family::V4))
    };
    let all = std::iter::once(v4).chain(discovery());
    all.filter(|selector| families.contains(&selector.family())).collect()
}

/// Without which no link carries IPv6: the kernel asks for policies for its own neighbour discovery, too.
pub fn discovery() -> Vec<KernelSelector> {
    let any = KernelSelector {
        protocol: Some(ICMPV6),
        ..KernelSelector::between(Prefix::any(Family::V6), Prefix::any(Family::V6))
    };
    let types = LINK_TYPES.iter().flat_map(|(first, last)| blocks(Ports::new(*first, *last)));
    types.map(|source_ports| KernelSelector { source_ports, ..any }).collect()
}

/// Forwarded IPv4 multicast as the kernel looks it up: from the router's own address, as IP in IP.
fn permitted_multicast(selector: &Selector) -> Option<KernelSelector> {
    let destination = selector.destination().prefix.intersection(&Prefix::multicast(Family::V4))?;
    let any = Prefix::any(Family::V4);
    Some(KernelSelector { protocol: Some(IPIP), ..KernelSelector::between(any, destination) })
}

/// An exception for some sources or protocols cannot be made; nftables holds back nothing that is encrypted.
fn denied_multicast(selector: &Selector) -> Option<KernelSelector> {
    let whole = selector.protocol().is_none() && selector.source().prefix == Prefix::any(Family::V4);
    permitted_multicast(selector).filter(|_| whole)
}
