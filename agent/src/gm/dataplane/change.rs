//! What the log says of changes in the kernel.

use crate::events::{Event, Severity};
use crate::gm::due::Cause;
use crate::gm::path_mtu::TooBig;
use xfrm::{Family, Slot, Spi};

/// These changes were made because of that.
pub fn event(changes: &[String], cause: Cause) -> Event {
    tracing::debug!("changes in the kernel: {}", changes.join("; "));
    let count = changes.len();
    let (severity, name, message) = match cause {
        Cause::Start => {
            (Severity::Info, "GM_GUARD", "The interfaces are guarded until registration is complete".into())
        }
        Cause::View => {
            let message = format!("Policies and keys are in the kernel ({count} changes)");
            (Severity::Info, "GM_INSTALL_POLICIES_SUCCESS", message)
        }
        Cause::Detach => {
            (Severity::Notice, "GM_POLICIES_REMOVED", format!("The protection is removed ({count} changes)"))
        }
        Cause::Links => {
            let message =
                format!("An interface has changed, {count} things are put right: {}", first(changes));
            (Severity::Notice, "GM_INTERFACE_CHANGED", message)
        }
        Cause::Repair if are_of_flowtables(changes) => {
            let message = format!("A flowtable has come, gone or changed: {}", first(changes));
            (Severity::Notice, "GM_FLOWTABLE", message)
        }
        Cause::Repair => {
            let message = format!(
                "The kernel did not hold what it should, {count} things are put right: {}",
                first(changes)
            );
            (Severity::Warning, "GM_POLICIES_REPAIRED", message)
        }
        Cause::Stop => {
            (Severity::Notice, "GM_STOP", "Keys are removed; traffic of fail-close groups is blocked".into())
        }
    };
    Event::new(severity, name, message)
}

/// Whether nothing was put right but what is held at the links beside a flowtable.
pub fn are_of_flowtables(changes: &[String]) -> bool {
    changes.iter().all(|change| change.ends_with("table netdev gdoi"))
}

fn first(changes: &[String]) -> String {
    let more = if changes.len() > 3 { "; ..." } else { "" };
    changes.iter().take(3).cloned().collect::<Vec<_>>().join("; ") + more
}

/// An earlier run protected this interface.
pub fn abandoned(interface: &str) -> Event {
    let message = format!(
        "{interface} was protected by an earlier run, but no group of the configuration names it any more: \
         its traffic passes IN CLEAR"
    );
    Event::new(Severity::Critical, "GM_UNPROTECTED", message)
}

/// An earlier run protected this link under a name that another one has by now.
pub fn released(link: &str, name: &str) -> Event {
    let message = format!(
        "{link} was protected as {name} by an earlier run, and {name} is another interface now: {link} is released, its \
         traffic passes IN CLEAR; write {link} in `interfaces` if it shall be protected"
    );
    Event::new(Severity::Critical, "GM_UNPROTECTED", message)
}

/// Somebody removed sending states, or their keys had gone and came again: nobody knows their sequence numbers any more.
pub fn lost(spent: &[(Slot, Spi)]) -> Event {
    let spis: Vec<_> = spent.iter().map(|(_, spi)| spi.to_string()).collect();
    let message = format!(
        "Sending states were removed or changed by somebody, or their keys came again: {}. Their sequence numbers must not come again, so what they \
         would send is blocked until the member has registered for new sender IDs",
        spis.join(", ")
    );
    Event::new(Severity::Error, "GM_SENDER_LOST", message)
}

/// A router said so, of packets that need paths of so many octets.
pub fn path_mtu(interface: &str, said: TooBig, needs: u32) -> Event {
    if said.mtu < needs {
        return Event::new(Severity::Warning, "GM_PATH_MTU", short_path(interface, said.mtu, needs));
    }
    let version = match said.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let message = format!(
        "The core behind {interface} carries {version} packets of {} octets only; believed for ten minutes",
        said.mtu
    );
    Event::new(Severity::Notice, "GM_PATH_MTU", message)
}

/// Hosts send packets of 1,280 octets whatever they are told, and no router may fragment these.
pub fn short_path(interface: &str, found: u32, needs: u32) -> String {
    format!(
        "{interface} cannot carry all IPv6: the path carries {found} octets, by its own MTU or by what a router of the core says, \
         and packets of 1280 octets take {needs} when they are encrypted. Longer ones than fit are lost; `mss-clamp: auto` \
         spares TCP that"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_their_cause() {
        let changes: Vec<String> = (1..=5).map(|number| format!("change {number}")).collect();
        let named = |cause| {
            let event = event(&changes, cause);
            (event.severity, event.name)
        };
        assert_eq!(named(Cause::View), (Severity::Info, "GM_INSTALL_POLICIES_SUCCESS".to_owned()));
        assert_eq!(named(Cause::Detach), (Severity::Notice, "GM_POLICIES_REMOVED".to_owned()));
        assert_eq!(named(Cause::Links), (Severity::Notice, "GM_INTERFACE_CHANGED".to_owned()));
        assert_eq!(named(Cause::Repair), (Severity::Warning, "GM_POLICIES_REPAIRED".to_owned()));
        let beside = event(&["write table netdev gdoi".to_owned()], Cause::Repair);
        assert_eq!((beside.severity, beside.name), (Severity::Notice, "GM_FLOWTABLE".to_owned()));
        let repaired = event(&changes, Cause::Repair);
        assert!(
            repaired.message.ends_with("5 things are put right: change 1; change 2; change 3; ..."),
            "{repaired:?}"
        );
    }

    #[test]
    fn what_ends_protection_is_critical() {
        let lost = lost(&[(Slot::new(0).unwrap(), Spi(7))]);
        assert!(lost.severity == Severity::Error && lost.message.contains("0x00000007"), "{lost:?}");
        assert_eq!(abandoned("wan1").severity, Severity::Critical);
        assert!(released("lan", "wan0").message.starts_with("lan was protected as wan0"));
        let said = TooBig { family: Family::V4, spi: 7, mtu: 1400 };
        assert!(path_mtu("wan0", said, 576).message.contains("wan0 carries IPv4 packets of 1400 octets"));
        let short = path_mtu("wan0", TooBig { family: Family::V6, spi: 7, mtu: 1300 }, 1356);
        assert!(
            short.severity == Severity::Warning && short.message.starts_with("wan0 cannot carry all IPv6"),
            "{short:?}"
        );
    }
}
