//! What the daemon before this one left in the kernel.

use crate::gm::desired::Guarded;
use gdoi::View;
use std::time::Duration;
use xfrm::Installed;

/// How long groups that have registered wait for those whose protection was adopted: applying ends an
/// adoption, and right after a start all register within moments.
const ADOPTION: Duration = Duration::from_secs(60);

/// The interfaces that the kernel protects and no group names.
pub fn abandoned(groups: &[Guarded], installed: &Installed) -> Vec<String> {
    let named = |interface: &str| {
        groups.iter().flat_map(|group| &group.settings.interfaces).any(|name| name.as_str() == interface)
    };
    let protecting = installed.protecting().into_iter().map(|plane| plane.interface);
    let mut abandoned: Vec<_> = protecting.filter(|interface| !named(interface)).collect();
    abandoned.dedup();
    abandoned
}

/// Whether every interface of the group is protected already, in the group's own place.
pub fn is_protected(group: &Guarded, installed: &Installed) -> bool {
    let protecting = installed.protecting();
    let mut places = group.settings.interfaces.iter().zip(&group.slots);
    places.all(|(name, slot)| {
        protecting.iter().any(|plane| plane.slot == *slot && plane.interface == name.as_str())
    })
}

/// Whether the kernel must not be touched yet: what it holds protects a group that has not registered.
pub fn waits_for_adopted(groups: &[Guarded], views: &[View], uptime: Duration) -> bool {
    // Who detaches a group wants it now.
    let detached = groups.iter().any(|group| group.detached.is_some());
    let waiting = groups.iter().zip(views).any(|(group, view)| group.adopted && !view.registered);
    let registered = views.iter().any(|view| view.registered);
    waiting && !detached && (!registered || uptime < ADOPTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::{MemberFile, Settings, Source};
    use crate::gm::desired::assign_slots;
    use crate::report::Detachment;
    use std::path::Path;

    fn groups() -> Vec<Guarded> {
        let text = r#"groups:
  - {name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
  - {name: b, identity-number: 2, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
"#;
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        assign_slots(file.settle(&mut source).unwrap().groups.into_iter().map(|(group, _)| group).collect())
    }

    #[test]
    fn adopted_protection_stays_until_all_have_registered_or_waited_long() {
        let mut groups = groups();
        let view = |registered| View { registered, ..View::default() };
        let soon = Duration::from_secs(1);
        assert!(!waits_for_adopted(&groups, &[view(false), view(false)], soon));
        groups[0].adopted = true;
        assert!(waits_for_adopted(&groups, &[view(false), view(false)], ADOPTION * 100));
        assert!(waits_for_adopted(&groups, &[view(false), view(true)], soon));
        assert!(!waits_for_adopted(&groups, &[view(false), view(true)], ADOPTION));
        assert!(!waits_for_adopted(&groups, &[view(true), view(false)], soon));
        groups[1].detached = Some(Detachment { since: Timestamp(0), by: "root".into() });
        assert!(!waits_for_adopted(&groups, &[view(false), view(false)], soon));
    }
}
