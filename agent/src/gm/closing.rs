//! The first thing that a start does: interfaces that nothing guards are closed before anything that can fail, such as
//! reading the configuration. What was protected last is stored for it; the interfaces that the configuration names are
//! closed, too, as far as it can be read.

mod sketch;
mod stored;

pub use stored::{Store, Stored, StoredPlane};

use super::start::NOWHERE;
use crate::control;
use crate::events::{Event, Journal, Severity};
use crate::{clock, events};
use sketch::Sketch;
use std::collections::BTreeSet;
use std::path::Path;
use xfrm::{Closing, Desired, Gate, Kept, PathMtu, Plane, Slot};

/// Closes what must not be open while the daemon starts, or fails to.
///
/// # Errors
/// What could not be closed.
pub fn close(config: &Path, store: &Store) -> Result<(), String> {
    let mut journal = Journal::default();
    let stored = store.read().unwrap_or_else(|reason| {
        journal.record(not_read(&reason), clock::now());
        None
    });
    let read = Sketch::of_file(config);
    let nothing = finds_nothing(read.as_ref(), stored.as_ref());
    let sketch = read.unwrap_or_default();
    let sockets = stored.iter().map(|stored| &stored.control_socket).chain(&sketch.control_socket);
    // A daemon that runs knows better, and so does who started another one.
    if sockets.into_iter().any(|socket| control::is_served(socket)) {
        return Ok(());
    }
    if nothing {
        return tell_of_nothing(config, &mut journal);
    }
    let planes = planes(stored.as_ref(), &sketch);
    let (desired, kept) = desired(&planes);
    match desired.planes.is_empty() {
        true => Ok(()),
        false => tell(&planes, xfrm::close(&desired, &kept), &mut journal),
    }
}

/// Whether there is a file, and neither it nor what was stored names anything.
fn finds_nothing(file: Option<&Sketch>, stored: Option<&Stored>) -> bool {
    file.is_some_and(|sketch| sketch.planes.is_empty())
        && stored.is_none_or(|stored| stored.planes_of_this_boot().is_empty())
}

/// What was protected last, and what the file names beyond that.
fn planes(stored: Option<&Stored>, sketch: &Sketch) -> Vec<StoredPlane> {
    let known = stored.map(Stored::planes_of_this_boot).unwrap_or_default();
    let is_known = |plane: &StoredPlane| known.iter().any(|one| one.interface == plane.interface);
    let new: Vec<_> = sketch.planes.iter().filter(|plane| !is_known(plane)).cloned().collect();
    known.into_iter().chain(new).filter(|plane| plane.fail_close).take(Slot::COUNT.into()).collect()
}

fn desired(planes: &[StoredPlane]) -> (Desired, Kept) {
    let mut kept = Kept::default();
    let mut desired = Desired::default();
    for (plane, slot) in planes.iter().zip((0..Slot::COUNT).filter_map(Slot::new)) {
        plane.links.iter().for_each(|index| kept.add(slot, *index));
        desired.planes.push(Plane {
            interface: plane.interface.to_string(),
            // Nobody speaks GDOI yet.
            local: NOWHERE,
            slot,
            servers: Vec::new(),
            rekey_group: None,
            clear: plane.clear.clone(),
            mss: None,
            path_mtu: PathMtu::default(),
            gate: Gate::Closed,
        });
    }
    (desired, kept)
}

fn tell(planes: &[StoredPlane], closing: Closing, journal: &mut Journal) -> Result<(), String> {
    let names: BTreeSet<_> = planes.iter().map(|plane| plane.interface.as_str()).collect();
    let names = Vec::from_iter(names).join(", ");
    if !closing.changes.is_empty() {
        let message = format!("Nothing but the local list passes {names} until the start is complete");
        journal.record(Event::new(Severity::Info, "GM_CLOSED", message), clock::now());
    }
    if closing.failures.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = closing.failures.iter().map(ToString::to_string).collect();
    let message = format!("{names} may be OPEN, what closes it cannot be installed: {}", reasons.join("; "));
    journal.record(Event::new(Severity::Critical, "GM_NOT_CLOSED", &message), clock::now());
    Err(message)
}

fn tell_of_nothing(config: &Path, journal: &mut Journal) -> Result<(), String> {
    let message = format!(
        "{} names no interface that can be read, and none was protected before: all is OPEN until a start succeeds",
        config.display()
    );
    journal.record(Event::new(Severity::Critical, "GM_NOT_CLOSED", &message), clock::now());
    Err(message)
}

fn not_read(reason: &str) -> Event {
    let message = format!(
        "What was protected last is not known, only what the configuration names is closed: {reason}"
    );
    Event::new(events::Severity::Warning, "GM_STATE_FAILED", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(interface: &str, fail_close: bool) -> StoredPlane {
        StoredPlane {
            group: "corp".into(),
            interface: interface.parse().unwrap(),
            clear: vec!["tcp any any eq 179".parse().unwrap()],
            fail_close,
            slot: None,
            links: vec![7],
        }
    }

    #[test]
    fn what_was_protected_last_is_closed_with_what_the_file_names_besides() {
        let stored =
            Stored::of("/run/gdoi/gm.sock".as_ref(), vec![plane("wan0", true), plane("wan1", false)]);
        let named = vec![plane("wan0", true), plane("wan1", true), plane("ppp*", true), plane("wan3", false)];
        let sketch = Sketch { planes: named, control_socket: None };
        let closed = planes(Some(&stored), &sketch);
        let names: Vec<_> = closed.iter().map(|plane| plane.interface.as_str()).collect();
        assert_eq!(names, ["wan0", "ppp*"]);
        let (desired, kept) = desired(&closed);
        assert!(desired.planes.iter().all(|plane| plane.gate == Gate::Closed && plane.clear.len() == 1));
        assert!(desired.planes.iter().all(|plane| kept.has(plane.slot, 7)));
        assert_eq!(planes(None, &sketch).len(), 3);
    }

    #[test]
    fn a_file_in_which_nothing_is_found_is_no_file_of_open_groups() {
        let stored = Stored::of("/run/gdoi/gm.sock".as_ref(), vec![plane("wan0", true)]);
        let open = Sketch { planes: vec![plane("wan0", false)], control_socket: None };
        let empty = Sketch::default();
        assert!(finds_nothing(Some(&empty), None) && !finds_nothing(Some(&empty), Some(&stored)));
        assert!(!finds_nothing(None, None), "there may be no group yet");
        assert!(!finds_nothing(Some(&open), None), "it is open because it shall be");
    }
}
