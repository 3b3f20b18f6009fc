//! Where GDOI is spoken: groups whose key servers are reached through one VRF share an address, a socket and a door.

use super::dataplane::DataPlane;
use super::links::Links;
use super::membership::{GroupIndex, Memberships};
use super::speaker::{Change, Speaker};
use crate::addresses::Addresses;
use crate::clock;
use crate::config::{GroupSettings, MemberSettings};
use crate::drive;
use crate::events::{Event, Journal, Severity};
use crate::socket::Socket;
use gdoi::endpoint::{Endpoint, Instant, Output};
use gdoi::phase1::Credential;
use gdoi::{Error, MemberCommand, MemberEvent, MemberStatus};
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::task::Poll;

/// All doors of this router: at least one.
pub struct Doors {
    doors: Vec<Door>,
    /// Who is heard first, in turn, so that none is kept from being heard by another.
    first: usize,
}

/// The groups of one VRF, or of none.
pub struct Door {
    speaker: Speaker,
    socket: Socket,
    memberships: Memberships,
    /// Whence GDOI is spoken as soon as the kernel lets it pass.
    moving: Option<Change>,
    /// Why its address cannot be spoken from.
    misplaced: Option<String>,
}

impl Doors {
    /// One door for each speaker. Must be called inside the runtime.
    ///
    /// # Errors
    /// A port is taken, or this process may not use it.
    pub fn open(speakers: Vec<Speaker>, settings: &MemberSettings) -> Result<Self, String> {
        let doors = speakers.into_iter().map(|speaker| Door::open(speaker, &settings.groups));
        Ok(Doors { doors: doors.collect::<Result<_, _>>()?, first: 0 })
    }

    /// Waits for a datagram and takes it in. May be dropped at any time without loss.
    pub async fn hear(&mut self) {
        self.first = (self.first + 1) % self.doors.len().max(1);
        let (behind, before) = self.doors.split_at_mut(self.first);
        let mut waiting: Vec<Pin<Box<_>>> =
            before.iter_mut().chain(behind).map(|door| Box::pin(door.hear())).collect();
        poll_fn(|context| {
            let mut polled = waiting.iter_mut().map(|one| one.as_mut().poll(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await;
    }

    /// Each of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Door> {
        self.doors.iter_mut()
    }

    /// The group with this name.
    pub fn find(&self, name: &str) -> Option<GroupIndex> {
        self.doors.iter().find_map(|door| door.memberships.find(name))
    }

    /// How the groups are, in the configuration's order.
    pub fn statuses(&self, now: Instant) -> Vec<MemberStatus> {
        let mut all: Vec<_> = self.doors.iter().flat_map(|door| door.memberships.statuses(now)).collect();
        all.sort_by_key(|(index, _)| index.place());
        all.into_iter().map(|(_, status)| status).collect()
    }

    /// Makes a group's member do something.
    ///
    /// # Errors
    /// As the member's.
    pub fn handle_command(
        &mut self,
        group: GroupIndex,
        command: MemberCommand,
        now: Instant,
    ) -> Result<(), Error> {
        let mut doors = self.doors.iter_mut();
        let Some(door) = doors.find(|door| door.memberships.has(group)) else { return Ok(()) };
        door.memberships.handle_command((group, command), now)
    }

    /// What keeps groups from being registered here, one line each.
    pub fn problems(&self) -> Vec<String> {
        self.doors.iter().flat_map(|door| door.speaker.problem().or(door.misplaced.clone())).collect()
    }

    /// What keeps this group from registering.
    pub fn problem_of(&self, group: GroupIndex) -> Option<String> {
        self.doors.iter().find(|door| door.memberships.has(group))?.speaker.problem()
    }
}

impl Door {
    fn open(speaker: Speaker, groups: &[(GroupSettings, Credential)]) -> Result<Self, String> {
        let place = speaker.place();
        let address = place.address;
        let socket = Socket::open(place).map_err(|error| format!("UDP {address}: {error}"))?;
        let own = groups.iter().enumerate().filter(|(_, (group, _))| group.vrf.as_ref() == speaker.vrf());
        let own = own.map(|(place, group)| (GroupIndex(place), group.clone()));
        let memberships = Memberships::new(own, speaker.address());
        Ok(Door { speaker, socket, memberships, moving: None, misplaced: None })
    }

    async fn hear(&mut self) {
        let (from, bytes) = self.socket.receive().await;
        self.memberships.handle_datagram(from, bytes, clock::now());
    }

    /// Does what time demands and what the memberships want; what the data plane was told is true then. Answers when they
    /// want to be called again.
    pub fn keep_up(
        &mut self,
        dataplane: &mut DataPlane,
        journal: &mut Journal,
        now: Instant,
    ) -> Option<Instant> {
        self.follow_speaker(journal, now);
        self.memberships.handle_timeout(now);
        loop {
            match self.memberships.poll() {
                Output::Transmit(transmit) => {
                    if let Some(problem) = drive::send(&mut self.socket, &transmit, None) {
                        journal.record(problem, now);
                    }
                }
                Output::Event((group, event)) => match event {
                    MemberEvent::ViewChanged(view) => dataplane.take_view(group, *view),
                    event => journal.record(super::turn::log_entry(&event), now),
                },
                // A member's state is in the kernel.
                Output::Store(_) => {}
                Output::Wait(until) => return until,
            }
        }
    }

    /// What is sent next must come from where GDOI is spoken now.
    fn follow_speaker(&mut self, journal: &mut Journal, now: Instant) {
        let place = self.speaker.place();
        let address = place.address;
        if let Some(error) = self.socket.follow(place) {
            let message = format!("Cannot speak from UDP {address}: {error}");
            journal.record(Event::new(Severity::Error, "GM_SOCKET_FAILED", message), now);
        }
    }

    /// Hears the multicast groups in which rekey messages come.
    pub fn listen(&mut self, dataplane: &DataPlane, journal: &mut Journal, now: Instant) {
        for problem in self.socket.listen(&dataplane.listening(self.speaker.vrf())) {
            journal.record(Event::new(Severity::Warning, "GM_REKEY_GROUP", problem), now);
        }
    }

    /// Looks from where GDOI is spoken now.
    pub fn look(
        &mut self,
        (own, links): (&Addresses, &Links),
        dataplane: &mut DataPlane,
        journal: &mut Journal,
        now: Instant,
    ) {
        let change = self.speaker.look(own);
        if let Some(change) = &change {
            journal.record(change.event(), now);
        }
        if let Some(Change::Moved(_, new)) = &change {
            dataplane.speak_from(self.speaker.vrf(), *new);
        }
        self.moving = change;
        let misplaced = self.misplacement(own, links);
        if let Some(problem) = misplaced.as_ref().filter(|_| misplaced != self.misplaced) {
            journal.record(Event::new(Severity::Warning, "GM_VRF", problem), now);
        }
        self.misplaced = misplaced;
    }

    /// An address of one VRF cannot be spoken from in another one, or in none.
    fn misplacement(&self, own: &Addresses, links: &Links) -> Option<String> {
        let address = self.speaker.address()?;
        let spoken = self.socket.device();
        let places: Vec<_> =
            own.interfaces_of(address).filter_map(|name| Some((name, links.vrf_of(name)?))).collect();
        let (interface, vrf) = places.first()?;
        if places.iter().any(|(_, vrf)| *vrf == spoken.as_deref()) {
            return None;
        }
        Some(match (vrf, spoken.as_deref()) {
            (Some(vrf), None) => format!(
                "{interface} is in VRF {vrf}, and GDOI is spoken from its address {address} outside of it, where no key \
                 server may be reached: write `vrf: {vrf}` in the group's configuration"
            ),
            (vrf, spoken) => format!(
                "{interface} is in {}, and GDOI is spoken from its address {address} in VRF {}, where no key server may be \
                 reached: correct `vrf` in the group's configuration",
                vrf.map_or("no VRF".to_owned(), |vrf| format!("VRF {vrf}")),
                spoken.unwrap_or_default()
            ),
        })
    }

    /// Speaks from where GDOI is spoken now, once the kernel lets it pass from there. Answers whether somebody has something
    /// to send.
    pub fn follow_address(&mut self, now: Instant) -> bool {
        match self.moving.take() {
            Some(Change::Moved(_, new)) => self.memberships.move_to(new, now),
            Some(Change::Back(_)) => self.memberships.retry(now),
            Some(Change::Lost(_)) | None => return false,
        }
        true
    }
}
