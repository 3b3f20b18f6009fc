//! The kernel's side of the memberships: kept in step, looked after, left in a safe state.

mod admission;
mod adoption;
mod change;
mod conclusion;
mod learning;
mod leaving;
mod obstacles;
mod seen;
mod spent;
mod strays;
mod worker;

pub use admission::Word;
pub use leaving::WITHOUT_DAEMON;

use super::closing::StoredPlane;
use super::desired::{assign_slots, desired, Adoption, Guarded, Phase, Surroundings};
use super::due::{Cause, Due};
use super::links::Links;
use super::membership::GroupIndex;
use super::path_mtu::{PathMtus, Sender};
use super::repairs::Repairs;
use super::senders::{Receiving, Senders};
use super::start::NOWHERE;
use crate::clock;
use crate::config::{GroupSettings, InterfaceName};
use crate::events::{Event, Journal, Severity};
use crate::report::Detachment;
use admission::Place;
use adoption::{abandoned, adopt, is_whole, waits_for_adopted};
use conclusion::Hold;
use gdoi::endpoint::Instant;
use gdoi::View;
use obstacles::Standing;
use spent::Spent;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use worker::Worker;
use xfrm::{Anchors, Desired, Direction, Kept, Kernel, Report, Slot, StateCounters, Subject};

/// Longer than anything takes that is bounded itself.
const OVERDUE: Duration = Duration::from_secs(150);

/// The kernel and what it should hold.
pub struct DataPlane {
    /// For questions, and what is answered at once.
    kernel: Kernel,
    /// For changes.
    worker: Worker,
    /// Why there is one under way.
    under_way: Cause,
    /// Whether something was done that nobody has asked for yet.
    concluded: bool,
    groups: Vec<Guarded>,
    /// What each of them was last said to need, in their order.
    views: Vec<View>,
    /// What the kernel holds of that, in their order.
    held: Vec<Hold>,
    /// The same as soon as what is under way is done.
    holding: Vec<Hold>,
    /// Planes of which policies of others take a part.
    displaced: BTreeSet<Slot>,
    /// Planes of which something passes in clear.
    exposed: BTreeSet<Slot>,
    /// Whence GDOI is spoken for each of them, in their order.
    locals: Vec<IpAddr>,
    started: Instant,
    due: Due,
    error: Option<String>,
    problems: Vec<String>,
    /// What else eats packets.
    standing: Standing,
    repairs: Repairs,
    path_mtus: PathMtus,
    /// The states that send at the moment.
    sending: Vec<Sender>,
    /// Who is received, where every sender has its own key.
    senders: Senders,
    /// Those that were let in since the kernel was compared last.
    admitted: BTreeSet<Place>,
    /// Whether there were too many of them, which is told once.
    crowded: bool,
    /// Those that must not come back.
    spent: Spent,
    /// When it is looked for ESP that no key is for.
    next_look: Instant,
    /// Planes of an earlier run, whose states may have been left a short life.
    inherited: Vec<Slot>,
    /// Interfaces that an earlier run protected and nobody wants protected any more.
    abandoned: Vec<String>,
    /// Links that an earlier run protected under a name that another one has by now, each with that name.
    released: Vec<(String, String)>,
    /// The links when they were looked at last.
    links: Links,
}

impl DataPlane {
    /// Opens the kernel; an earlier run has protected these, perhaps with anchors elsewhere.
    ///
    /// # Errors
    /// The kernel cannot be spoken to.
    pub fn open(
        groups: Vec<GroupSettings>,
        anchors: Anchors,
        protected: &[StoredPlane],
    ) -> Result<Self, xfrm::Error> {
        let mut kernel = Kernel::open()?;
        let installed = kernel.installed()?;
        let mut groups = assign_slots(groups, protected, anchors);
        let mut changing = Kernel::open()?;
        let released = keep_links(&mut changing, &groups, protected)?;
        let worker = Worker::start(changing).map_err(xfrm::Error::Socket)?;
        let kept = worker.kept();
        groups.iter_mut().for_each(|group| group.adoption = adopt(group, &installed, kept));
        let abandoned = abandoned(&groups, &installed, kept);
        Ok(DataPlane {
            kernel,
            worker,
            under_way: Cause::Start,
            concluded: false,
            inherited: groups
                .iter()
                .filter(|group| is_whole(group))
                .flat_map(|group| group.slots.clone())
                .collect(),
            views: vec![View::default(); groups.len()],
            held: vec![Hold::Nothing; groups.len()],
            holding: vec![Hold::Nothing; groups.len()],
            displaced: BTreeSet::new(),
            exposed: BTreeSet::new(),
            locals: vec![NOWHERE; groups.len()],
            groups,
            started: clock::now(),
            due: Due::start(),
            error: None,
            problems: Vec::new(),
            standing: Standing::default(),
            repairs: Repairs::default(),
            path_mtus: PathMtus::default(),
            sending: Vec::new(),
            senders: Senders::default(),
            admitted: BTreeSet::new(),
            crowded: false,
            spent: Spent::default(),
            next_look: Instant::default(),
            abandoned,
            released,
            links: Links::default(),
        })
    }

    /// Closes the interfaces of fail-close groups, or leaves them to the keys of the daemon before this one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn guard(&mut self, journal: &mut Journal) -> Result<(), String> {
        self.groups.iter().for_each(|group| tell_of_adoption(group, self.started, journal));
        for interface in &self.abandoned {
            journal.record(change::abandoned(interface), self.started);
        }
        for (link, name) in &self.released {
            journal.record(change::released(link, name), self.started);
        }
        self.refresh(self.started, journal);
        self.conclude(OVERDUE, self.started, journal)?;
        self.error.clone().map_or(Ok(()), Err)
    }

    /// A group needs this from now on.
    pub fn take_view(&mut self, group: GroupIndex, view: View) {
        if let Some(kept) = self.views.get_mut(group.place()) {
            *kept = view;
            self.mark_changed();
        }
    }

    fn mark_changed(&mut self) {
        self.due.wanted(Cause::View);
    }

    /// Somebody has changed something in the kernel.
    pub fn disturbed(&mut self, subject: Subject, now: Instant) {
        if subject != Subject::Tables || self.kernel.is_concerned() {
            self.due.disturbed(subject, now);
        }
    }

    /// GDOI is spoken from another address in this VRF.
    pub fn speak_from(&mut self, vrf: Option<&InterfaceName>, local: IpAddr) {
        let groups = self.groups.iter().zip(&mut self.locals);
        let own = groups.filter(|(group, _)| group.settings.vrf.as_ref() == vrf);
        own.for_each(|(_, before)| *before = local);
        self.mark_changed();
    }

    /// Takes a group's protection back at the next [`Self::refresh`]: nothing else does. Answers false if there is none.
    pub fn detach(&mut self, name: &str, detachment: Detachment) -> bool {
        let Some(group) = self.group(name).filter(|group| group.detached.is_none()) else { return false };
        (group.detached, group.adoption) = (Some(detachment), Adoption::None);
        let slots = group.slots.clone();
        self.forget_held(name);
        self.spent.retire(self.sending.iter().filter(|sender| slots.contains(&sender.slot)));
        self.due.wanted(Cause::Detach);
        true
    }

    /// Protects a group again at the next [`Self::refresh`]. Answers false if it is protected.
    pub fn attach(&mut self, name: &str) -> bool {
        let Some(group) = self.group(name).filter(|group| group.detached.is_some()) else { return false };
        group.detached = None;
        self.mark_changed();
        true
    }

    /// A group gets other settings, as far as they need no restart.
    pub fn reconfigure(&mut self, new: &GroupSettings) {
        let named = |group: &&mut Guarded| group.settings.group.name == new.group.name;
        self.groups.iter_mut().filter(named).for_each(|group| group.settings.adopt(new));
        self.mark_changed();
    }

    /// Whether [`Self::refresh`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.is_busy() && self.next_check() <= now
    }

    /// When the kernel is looked at next, or missed when it has not answered.
    pub fn next_check(&self) -> Instant {
        match self.worker.busy_since() {
            Some(since) => since + OVERDUE,
            None => self.path_mtus.next().into_iter().fold(self.due.at(), Instant::min),
        }
    }

    /// Makes the kernel hold what the groups need: begins with it. Nothing must be under way.
    pub fn refresh(&mut self, now: Instant, journal: &mut Journal) {
        if self.path_mtus.forget(now) {
            self.mark_changed();
        }
        self.under_way = self.due.begin(now);
        if waits_for_adopted(&self.groups, &self.views, now.saturating_since(self.started)) {
            self.worker.look(now);
        } else {
            self.replace(now, journal);
        }
    }

    /// What is applied takes the place of what was adopted.
    fn replace(&mut self, now: Instant, journal: &mut Journal) {
        for (group, view) in self.groups.iter_mut().zip(&self.views) {
            if !view.registered && is_whole(group) {
                group.adoption = Adoption::Ended;
            }
        }
        let wanted = self.follow_keys().and_then(|()| self.desired(Phase::Running, now));
        self.apply(wanted, now, journal);
    }

    fn desired(&mut self, phase: Phase, now: Instant) -> Result<Desired, String> {
        self.links = self.links().map_err(|error| error.to_string())?;
        let (locals, senders, path_mtus) = (&self.locals[..], &self.senders, &self.path_mtus);
        let around = Surroundings { locals, senders, path_mtus, links: &self.links };
        desired(&self.groups, &self.views, around, phase, now)
    }

    /// Where keys have come or gone, the kernel tells who was heard under the others.
    fn follow_keys(&mut self) -> Result<(), String> {
        let planes = self.groups.iter().zip(&self.views);
        let planes = planes.flat_map(|(group, view)| group.slots.iter().map(move |slot| (*slot, view)));
        let lagging: Vec<_> = planes.filter(|(slot, view)| self.senders.lag(*slot, view)).collect();
        if lagging.is_empty() {
            return Ok(());
        }
        let states = self.kernel.states().map_err(|error| error.to_string())?;
        let held: Vec<_> = states.iter().filter_map(receiving).collect();
        lagging.into_iter().for_each(|(slot, view)| self.senders.follow(slot, view, &held));
        Ok(())
    }

    /// The groups that have lost a sending state that must not be made again, since this was asked last: they need new
    /// sender IDs.
    pub fn take_losers(&mut self) -> Vec<String> {
        let slots = self.spent.take_news();
        let loser = |group: &&Guarded| group.slots.iter().any(|slot| slots.contains(slot));
        self.groups.iter().filter(loser).map(|group| group.settings.group.name.clone()).collect()
    }

    fn group(&mut self, name: &str) -> Option<&mut Guarded> {
        self.groups.iter_mut().find(|group| group.settings.group.name == name)
    }

    fn apply(&mut self, wanted: Result<Desired, String>, now: Instant, journal: &mut Journal) {
        self.admitted.clear();
        self.holding = self.needs().map(|(group, view)| conclusion::hold_of(group, view)).collect();
        match wanted {
            Ok(mut wanted) => {
                self.spent.withhold(&mut wanted);
                self.sending = learning::sending(&wanted);
                self.worker.apply(wanted, now);
            }
            Err(reason) => self.failed(reason, now, journal),
        }
    }

    fn succeeded(&mut self, report: Report, now: Instant, journal: &mut Journal) {
        let cause = self.under_way;
        if !report.changes.is_empty() {
            journal.record(change::event(&report.changes, cause), now);
            if cause == Cause::Repair && !change::are_of_flowtables(&report.changes) {
                self.repairs.count(now);
            }
        }
        if self.spent.lose(&report.spent) {
            journal.record(change::lost(&report.spent), now);
        }
        let (exposed, lines): (BTreeSet<_>, Vec<_>) = report.exposed.into_iter().unzip();
        let mut problems: Vec<_> = lines.into_iter().map(|line| (Severity::Critical, line)).collect();
        let repaired = self.repairs.problem(now);
        let others = report.problems.into_iter().chain(repaired).chain(self.short_paths(now));
        problems.extend(others.map(|problem| (Severity::Warning, problem)));
        for (severity, problem) in problems.iter().filter(|(_, problem)| !self.problems.contains(problem)) {
            journal.record(Event::new(*severity, "GM_DATAPLANE_PROBLEM", problem), now);
        }
        self.problems = problems.into_iter().map(|(_, problem)| problem).collect();
        self.exposed = exposed;
        self.displaced = report.displaced;
        self.hold();
        self.error = None;
    }

    fn failed(&mut self, reason: String, now: Instant, journal: &mut Journal) {
        if self.error.as_ref() != Some(&reason) {
            let message = format!("The kernel does not hold what it should: {reason}");
            journal.record(Event::new(Severity::Error, "GM_INSTALL_POLICIES_FAILED", message), now);
        }
        self.error = Some(reason);
    }
}

/// What has the name of an interface now, and what had it when an earlier run protected it.
///
/// Where another link has the whole name by now, that is the one that is meant. Answers those that are released by this, each
/// with the name that it was protected under.
fn keep_links(
    kernel: &mut Kernel,
    groups: &[Guarded],
    protected: &[StoredPlane],
) -> Result<Vec<(String, String)>, xfrm::Error> {
    let links = Links::new(kernel.interfaces()?, Kept::default());
    let mut released = Vec::new();
    for group in groups {
        for (slot, interface) in group.places() {
            let own = |plane: &&StoredPlane| {
                plane.group == group.settings.group.name && plane.interface == *interface
            };
            let before = protected.iter().filter(own).flat_map(|plane| plane.links.iter().copied());
            let (kept, rest) = links.meant(interface, before);
            kept.into_iter().for_each(|index| kernel.keep(slot, index));
            released.extend(rest.into_iter().map(|name| (name, interface.to_string())));
        }
    }
    kernel.find_carriers()?;
    Ok(released)
}

fn tell_of_adoption(group: &Guarded, now: Instant, journal: &mut Journal) {
    if let Some(event) = adoption::event(&group.adoption) {
        journal.record(event.of_group(&group.settings.group.name), now);
    }
}

fn receiving(state: &StateCounters) -> Option<Receiving> {
    let &StateCounters { slot, family, spi, count, .. } = state;
    let receiving = Receiving { slot, family, spi, packets: count.packets };
    (state.direction == Direction::Inbound).then_some(receiving)
}
