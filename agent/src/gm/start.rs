//! How a member daemon begins.

use super::closing::{Store, Stored};
use super::dataplane::DataPlane;
use super::doors::Doors;
use super::ears::Ears;
use super::links::Links;
use super::publication::Publication;
use super::speaker::Speaker;
use super::GroupMember;
use crate::addresses::{self, Addresses};
use crate::clock;
use crate::config::{GroupSettings, MemberSettings, MssClamp};
use crate::control;
use crate::daemon::reload::Reloader;
use crate::daemon::Started;
use crate::events::{Event, Journal, Severity};
use crate::socket::{Place, Socket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use xfrm::{Problem, Uses};

/// Where nobody speaks from.
pub const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl GroupMember {
    /// Guards the interfaces before anything else happens, so that a start that fails later on is closed, too, by what the
    /// configuration says now.
    pub(super) fn start(
        settings: MemberSettings,
        reloader: Reloader,
        mut store: Store,
    ) -> Result<Started<Self>, String> {
        let mut journal = Journal::default();
        refuse_company(&settings.control_socket)?;
        let own = addresses::of_this_host().unwrap_or_default();
        let mut speakers = Speaker::all(&settings, &own);
        speakers.iter().try_for_each(|speaker| refuse_neighbour(speaker.place()))?;
        let guarded = guard(&settings, &speakers, &mut store, &mut journal);
        // What the machine lacks says more than what failed for it.
        refuse_shortcomings(&settings, &mut journal)?;
        let mut dataplane = guarded?;
        let ears = Ears::open(&mut journal);
        // An address of a link that has got another name.
        let own = own.called(&dataplane.renamed());
        for speaker in &mut speakers {
            if speaker.look(&own).is_some() {
                dataplane.speak_from(speaker.vrf(), speaker.local());
            }
            tell_of_waiting(speaker, &mut journal);
        }
        refuse_own_servers(&settings, &own, &dataplane.links().unwrap_or_default())?;
        let doors = Doors::open(speakers, &settings)?;
        let control = settings.control_socket.clone();
        let names: Vec<_> = settings.groups.iter().map(|(group, _)| group.group.name.clone()).collect();
        let publication = Publication::new(&settings.groups_directory, settings.on_change.clone(), &names);
        let not_stored = None;
        let mut daemon = GroupMember {
            settings,
            doors,
            dataplane,
            ears,
            journal,
            reloader,
            store,
            publication,
            not_stored,
            over: false,
        };
        daemon.remember(clock::now());
        Ok((daemon, control))
    }
}

fn guard(
    settings: &MemberSettings,
    speakers: &[Speaker],
    store: &mut Store,
    journal: &mut Journal,
) -> Result<DataPlane, String> {
    let groups: Vec<_> = settings.groups.iter().map(|(group, _)| group.clone()).collect();
    let stored = store.inherit();
    let protected = stored.as_ref().map(Stored::planes_of_this_boot).unwrap_or_default();
    let opened = DataPlane::open(groups, settings.anchors, &protected);
    let mut dataplane = opened.map_err(|error| format!("the kernel: {error}"))?;
    speakers.iter().for_each(|speaker| dataplane.speak_from(speaker.vrf(), speaker.local()));
    dataplane.guard(journal)?;
    Ok(dataplane)
}

/// A second daemon would take the kernel away from the first.
pub fn refuse_company(control_socket: &Path) -> Result<(), String> {
    match control::is_served(control_socket) {
        true => Err(format!("{}: a daemon is running already", control_socket.display())),
        false => Ok(()),
    }
}

/// One of another configuration, too: what it has in the kernel is not touched, what is not closed was closed before.
fn refuse_neighbour(place: Place) -> Result<(), String> {
    let address = place.address;
    match Socket::open(place) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(format!(
            "UDP {address}: {error}: another daemon speaks GDOI here, and one network namespace has one gdoi-gm"
        )),
        _ => Ok(()),
    }
}

fn tell_of_waiting(speaker: &Speaker, journal: &mut Journal) {
    if let Some(problem) = speaker.problem() {
        journal.record(Event::new(Severity::Warning, "GM_ADDRESS_MISSING", problem), clock::now());
    }
}

fn refuse_shortcomings(settings: &MemberSettings, journal: &mut Journal) -> Result<(), String> {
    let mut fatal = Vec::new();
    let mss = settings.groups.iter().any(|(group, _)| group.mss != MssClamp::Off);
    for problem in xfrm::preflight(Uses { mss }) {
        match problem {
            Problem::Fatal(line) => fatal.push(line),
            Problem::Warning(line) => {
                journal.record(Event::new(Severity::Warning, "GM_PREFLIGHT", line), clock::now());
            }
        }
    }
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(fatal.join("\n")),
    }
}

/// Another VRF may have the address of a key server for its own.
fn refuse_own_servers(settings: &MemberSettings, own: &Addresses, links: &Links) -> Result<(), String> {
    let is_own = |group: &GroupSettings, server: &SocketAddr| match group.vrf.as_ref() {
        None => own.has(server.ip()),
        Some(vrf) => {
            let mut interfaces = own.interfaces_of(server.ip());
            interfaces.any(|name| links.vrf_of(name).flatten() == Some(vrf.as_str()))
        }
    };
    let mut servers =
        settings.groups.iter().flat_map(|(group, _)| group.servers.iter().map(move |server| (group, server)));
    match servers.find(|(group, server)| is_own(group, server)) {
        None => Ok(()),
        Some((_, server)) => Err(format!(
            "{} is an address of this host: a host is a member or a key server of a group, never both",
            server.ip()
        )),
    }
}
