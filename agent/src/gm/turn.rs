//! One turn of the member daemon: what the memberships want, and then what the kernel must hold.

use super::closing::Stored;
use super::GroupMember;
use crate::addresses;
use crate::events::{Event, Severity};
use gdoi::endpoint::Instant;
use gdoi::{MemberCommand, MemberEvent};

impl GroupMember {
    /// Does what time demands and what the memberships want; what the data plane was told is true then. Answers when they
    /// want to be called again.
    pub(super) fn keep_up(&mut self, now: Instant) -> Option<Instant> {
        let Self { doors, dataplane, journal, .. } = self;
        doors.iter_mut().filter_map(|door| door.keep_up(dataplane, journal, now)).min()
    }

    /// Takes in what was done in the kernel, and brings it in step if that is due. Answers when it is due again.
    pub(super) fn keep_in_step(&mut self, now: Instant) -> Instant {
        self.dataplane.finish(now, &mut self.journal);
        if self.dataplane.take_concluded() {
            self.remember(now);
        }
        let mut speaks = self.follow_address(now);
        if self.dataplane.is_due(now) {
            self.look_around(now);
            self.dataplane.refresh(now, &mut self.journal);
            speaks |= self.follow_address(now);
        }
        let losers = self.dataplane.take_losers();
        speaks |= !losers.is_empty();
        self.renew(&losers, now);
        if speaks {
            now
        } else {
            self.dataplane.next_check()
        }
    }

    /// Stores what the kernel protects, for a start that fails.
    pub(super) fn remember(&mut self, now: Instant) {
        if self.dataplane.error().is_some() {
            return;
        }
        let stored = Stored::of(&self.settings.control_socket, self.dataplane.protected());
        let failed = self.store.write(stored).err();
        if let Some(reason) = failed.as_ref().filter(|_| failed != self.not_stored) {
            let message = format!(
                "What is protected cannot be stored: should a start fail, only what the configuration names is closed: {reason}"
            );
            self.journal.record(Event::new(Severity::Warning, "GM_STATE_FAILED", message), now);
        }
        self.not_stored = failed;
    }

    /// Tells other programs what happens to the groups' traffic. Answers when that changes by itself.
    pub(super) fn publish(&mut self, now: Instant) -> Option<Instant> {
        for (group, state) in self.dataplane.states(now) {
            self.publication.tell(&group, state, now, &mut self.journal);
        }
        self.publication.settle(now, &mut self.journal);
        self.dataplane.next_expiring(now)
    }

    /// Tells members of ESP that they have no key for.
    pub(super) fn look_out(&mut self, now: Instant) {
        for (name, spi) in self.dataplane.strays(now) {
            if let Some(index) = self.doors.find(&name) {
                // A member refuses nothing.
                drop(self.doors.handle_command(index, MemberCommand::UnknownEsp(spi), now));
            }
        }
    }

    /// Hears the multicast groups in which rekey messages come.
    pub(super) fn listen(&mut self, now: Instant) {
        let Self { doors, dataplane, journal, .. } = self;
        doors.iter_mut().for_each(|door| door.listen(dataplane, journal, now));
    }

    /// Looks from where GDOI is spoken now.
    fn look_around(&mut self, now: Instant) {
        let Ok(own) = addresses::of_this_host() else { return };
        let own = own.called(&self.dataplane.renamed());
        let links = self.dataplane.links().unwrap_or_default();
        let Self { doors, dataplane, journal, .. } = self;
        doors.iter_mut().for_each(|door| door.look((&own, &links), dataplane, journal, now));
    }

    /// Speaks from where GDOI is spoken now, as soon as the kernel lets it pass from there. Answers whether somebody has
    /// something to send.
    fn follow_address(&mut self, now: Instant) -> bool {
        if self.dataplane.is_busy() {
            return false;
        }
        // Each of them, whatever the others say.
        self.doors.iter_mut().filter_map(|door| door.follow_address(now).then_some(())).count() > 0
    }

    /// These groups register for new sender IDs.
    pub(super) fn renew(&mut self, names: &[String], now: Instant) {
        for index in names.iter().filter_map(|name| self.doors.find(name)).collect::<Vec<_>>() {
            // A member refuses nothing.
            drop(self.doors.handle_command(index, MemberCommand::RenewSenderIds, now));
        }
    }
}

/// What the log says.
pub(super) fn log_entry(event: &MemberEvent) -> Event {
    let entry = Event::new(event.severity().into(), event.name(), event.to_string());
    match event {
        MemberEvent::RegistrationStarted { group, server }
        | MemberEvent::Registered { group, server, .. }
        | MemberEvent::NothingNewer { group, server, .. }
        | MemberEvent::RegistrationFailed { group, server, .. } => {
            entry.of_group(&group.name).with_peer(server)
        }
        MemberEvent::Rejected { group, from, .. }
        | MemberEvent::Rekeyed { group, from, .. }
        | MemberEvent::Dismissed { group, from, .. }
        | MemberEvent::RekeyRefused { group, from, .. } => entry.of_group(&group.name).with_peer(from),
        MemberEvent::Reregistering { group, .. }
        | MemberEvent::Behind { group, .. }
        | MemberEvent::AclOutdated { group, .. }
        | MemberEvent::Omitted { group, .. }
        | MemberEvent::KeysExpired { group } => entry.of_group(&group.name),
        MemberEvent::ViewChanged(_) => entry,
    }
}
