//! Policies of others that come before ours. The kernel asks the one with the lowest priority number only.

use std::collections::{BTreeMap, BTreeSet};

use crate::installed::Installed;
use crate::model::Slot;
use crate::object::{ForeignPolicy, Hook, KernelSelector, Policy, Verdict};
use crate::target::Target;

/// So many of them are looked through.
const EXAMINED: usize = 64;
/// So many are named.
const NAMED: usize = 8;

/// What others take from us.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rivals {
    /// One line each.
    pub problems: Vec<String>,
    /// Whose traffic it is.
    pub displaced: BTreeSet<Slot>,
}

/// The policies that keep packets from being encrypted, or what was decrypted from being accepted. What others accept by a
/// tunnel of theirs is theirs, as long as something is left.
pub fn rivals(installed: &Installed, target: &Target) -> Rivals {
    let mut rivals = Rivals::default();
    for foreign in candidates(installed, target).into_iter().take(EXAMINED) {
        let losers = target.policies.values().filter(|own| loses(own, foreign));
        let slots: BTreeSet<_> = losers.flat_map(slots).collect();
        if !slots.is_empty() && !passes_anyway(foreign, target) {
            rivals.problems.push(line(foreign));
            rivals.displaced.extend(slots);
        }
    }
    let more = rivals.problems.len().saturating_sub(NAMED);
    rivals.problems.truncate(NAMED);
    rivals
        .problems
        .extend((more > 0).then(|| format!("{more} more policies of others come before the group's")));
    rivals
}

/// Before they are compared one by one: those that come before some of ours, what leaves and the widest first.
fn candidates<'a>(installed: &'a Installed, target: &Target) -> Vec<&'a ForeignPolicy> {
    let mut weakest = BTreeMap::new();
    for own in target.policies.values() {
        let priority = own.rank.priority();
        weakest
            .entry(own.key.hook)
            .and_modify(|most: &mut u32| *most = priority.max(*most))
            .or_insert(priority);
    }
    let can_win =
        |foreign: &&ForeignPolicy| weakest.get(&foreign.hook).is_some_and(|most| foreign.priority <= *most);
    let mut candidates: Vec<_> = installed.foreign.iter().filter(can_win).collect();
    let width = |foreign: &ForeignPolicy| {
        u16::from(foreign.selector.source.length()) + u16::from(foreign.selector.destination.length())
    };
    candidates.sort_by_key(|foreign| (foreign.hook != Hook::Out, width(foreign)));
    candidates
}

fn line(foreign: &ForeignPolicy) -> String {
    format!(
        "{foreign} of somebody else comes before the group's: it decides about what it names. Remove it, or give it a \
         priority number above 151000"
    )
}

fn loses(own: &Policy, foreign: &ForeignPolicy) -> bool {
    let (ours, theirs) = (&own.key.selector, &foreign.selector);
    let taken = match own.verdict {
        Verdict::Encrypt(..) => own.key.xfrm_interface.is_none() && theirs.overlaps(ours),
        Verdict::Decrypted(_) => theirs.covers(ours) || refuses(foreign) && theirs.overlaps(ours),
        Verdict::Pass | Verdict::Block => false,
    };
    taken
        && own.key.hook == foreign.hook
        && foreign.priority <= own.rank.priority()
        && (foreign.interface.is_none()
            || own.key.interface.is_none()
            || foreign.interface == own.key.interface)
}

/// Whether it accepts nothing that was decrypted: without a template the kernel takes what came by no tunnel. Between hosts
/// of one network nothing comes from a member.
fn refuses(foreign: &ForeignPolicy) -> bool {
    let KernelSelector { source, destination, .. } = foreign.selector;
    (foreign.blocks || !foreign.transforms) && source != destination
}

fn slots(own: &Policy) -> Vec<Slot> {
    match &own.verdict {
        Verdict::Encrypt(slot, _) => vec![*slot],
        Verdict::Decrypted(slots) => slots.clone(),
        Verdict::Pass | Verdict::Block => Vec::new(),
    }
}

/// What ours would let pass in clear, too, such as neighbour discovery.
fn passes_anyway(foreign: &ForeignPolicy, target: &Target) -> bool {
    foreign.hook == Hook::Out
        && !foreign.blocks
        && target
            .policies
            .values()
            .any(|own| own.verdict == Verdict::Pass && own.key.selector.covers(&foreign.selector))
}
