//! What the daemon before this one left in the kernel.

use crate::config::InterfacePattern;
use crate::events::{Event, Severity};
use crate::gm::desired::{Adoption, Guarded};
use gdoi::View;
use std::time::Duration;
use xfrm::{Installed, Kept, Protecting};

/// How long groups that have registered wait for those whose protection was adopted: applying ends an
/// adoption, and right after a start all register within moments.
const ADOPTION: Duration = Duration::from_secs(60);

/// The interfaces that the kernel protects and no group names.
pub fn abandoned(groups: &[Guarded], installed: &Installed, kept: &Kept) -> Vec<String> {
    let named = |plane: &Protecting| {
        let mut places = groups.iter().flat_map(Guarded::places);
        places.any(|(slot, name)| name.names(&plane.interface) || kept.has(slot, plane.index))
    };
    let protecting = installed.protecting().into_iter().filter(|plane| !named(plane));
    let mut abandoned: Vec<_> = protecting.map(|plane| plane.interface).collect();
    abandoned.dedup();
    abandoned
}

/// What the kernel has of a group: every one of its interfaces is protected already, in the group's own place, or less.
pub fn adopt(group: &Guarded, installed: &Installed, kept: &Kept) -> Adoption {
    let planes = protecting(group, installed, kept);
    match planes.len() == group.slots.len() {
        true => Adoption::Whole(planes),
        false if group.slots.iter().any(|slot| installed.has_protected(*slot)) => Adoption::Ended,
        false => Adoption::None,
    }
}

fn protecting(group: &Guarded, installed: &Installed, kept: &Kept) -> Vec<Protecting> {
    let own = |plane: &Protecting| {
        let is_own =
            |name: &InterfacePattern| name.names(&plane.interface) || kept.has(plane.slot, plane.index);
        group.places().any(|(slot, name)| plane.slot == slot && is_own(name))
    };
    installed.protecting().into_iter().filter(own).collect()
}

/// Whether somebody has damaged what was adopted, or made the link a port of another one, by which packets leave now. States
/// may have come to their end.
pub fn is_damaged(group: &Guarded, installed: &Installed, kept: &Kept) -> bool {
    let Adoption::Whole(found) = &group.adoption else { return false };
    let present = protecting(group, installed, kept);
    let same = |one: &Protecting, found: &Protecting| {
        one.slot == found.slot
            && one.index == found.index
            && one.policies >= found.policies
            && !kept.is_carried(one.slot, one.index)
    };
    !found.iter().all(|found| present.iter().any(|one| same(one, found)))
}

/// What is said of an adoption.
pub fn event(adoption: &Adoption) -> Option<Event> {
    match adoption {
        Adoption::None => None,
        Adoption::Whole(_) => {
            let message = "What an earlier run left in the kernel protects until registration is complete, as long as its keys live";
            Some(Event::new(Severity::Notice, "GM_ADOPTED", message))
        }
        Adoption::Ended => {
            let message = "Somebody has damaged what an earlier run left in the kernel: nothing passes until registration is \
                           complete";
            Some(Event::new(Severity::Warning, "GM_ADOPTION_ENDED", message))
        }
    }
}

/// Whether the kernel must not be touched yet: what it holds protects a group that has not registered.
pub fn waits_for_adopted(groups: &[Guarded], views: &[View], uptime: Duration) -> bool {
    // Who detaches a group wants it now.
    let detached = groups.iter().any(|group| group.detached.is_some());
    let waiting = groups.iter().zip(views).any(|(group, view)| is_whole(group) && !view.registered);
    let registered = views.iter().any(|view| view.registered);
    waiting && !detached && (!registered || uptime < ADOPTION)
}

/// Whether it protects.
pub fn is_whole(group: &Guarded) -> bool {
    matches!(group.adoption, Adoption::Whole(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::{MemberFile, Settings, Source};
    use crate::gm::desired::assign_slots;
    use crate::report::Detachment;
    use std::path::Path;
    use xfrm::Anchors;

    fn groups() -> Vec<Guarded> {
        let text = r#"groups:
  - {name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
  - {name: b, identity-number: 2, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
"#;
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        assign_slots(
            file.settle(&mut source).unwrap().groups.into_iter().map(|(group, _)| group).collect(),
            &[],
            Anchors::default(),
        )
    }

    #[test]
    fn adopted_protection_stays_until_all_have_registered_or_waited_long() {
        let mut groups = groups();
        let view = |registered| View { registered, ..View::default() };
        let soon = Duration::from_secs(1);
        assert!(!waits_for_adopted(&groups, &[view(false), view(false)], soon));
        groups[0].adoption = Adoption::Whole(Vec::new());
        assert!(waits_for_adopted(&groups, &[view(false), view(false)], ADOPTION * 100));
        assert!(waits_for_adopted(&groups, &[view(false), view(true)], soon));
        assert!(!waits_for_adopted(&groups, &[view(false), view(true)], ADOPTION));
        assert!(!waits_for_adopted(&groups, &[view(true), view(false)], soon));
        groups[1].detached = Some(Detachment { since: Timestamp(0), by: "root".into() });
        assert!(!waits_for_adopted(&groups, &[view(false), view(false)], soon));
    }

    #[test]
    fn what_was_adopted_is_missed_when_it_is_gone() {
        let mut groups = groups();
        let plane = Protecting {
            slot: groups[0].slots[0],
            interface: "wan0".into(),
            index: 4,
            inbound: Vec::new(),
            outbound: None,
            policies: 1,
        };
        groups[0].adoption = Adoption::Whole(vec![plane]);
        assert!(
            is_damaged(&groups[0], &Installed::default(), &Kept::default())
                && !is_damaged(&groups[1], &Installed::default(), &Kept::default())
        );
        groups[0].adoption = adopt(&groups[0], &Installed::default(), &Kept::default());
        assert_eq!(groups[0].adoption, Adoption::None);
        assert_eq!(event(&Adoption::Ended).map(|event| event.severity), Some(Severity::Warning));
    }
}
