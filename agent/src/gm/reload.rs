//! What of a changed configuration a member can apply while it runs.

use crate::config::{GroupSettings, MemberSettings};
use crate::report::ChangeEntry;
use gdoi::phase1::Credential;

type Group = (GroupSettings, Credential);

/// What differs between the settings in use and new ones.
pub fn compare(old: &MemberSettings, new: &MemberSettings) -> Vec<ChangeEntry> {
    let mut changes = Vec::new();
    if old.port != new.port {
        changes.push(ChangeEntry::restart(None, "port"));
    }
    if old.control_socket != new.control_socket {
        changes.push(ChangeEntry::restart(None, "control-socket"));
    }
    if old.anchors != new.anchors {
        changes.push(ChangeEntry::restart(None, "anchors"));
    }
    if old.groups_directory != new.groups_directory {
        changes.push(ChangeEntry::restart(None, "groups-directory"));
    }
    if old.on_change != new.on_change {
        changes.push(ChangeEntry::at_once(None, "on-change"));
    }
    for group in &new.groups {
        match find(old, &group.0.group.name) {
            Some(known) => changes.extend(compare_group(known, group)),
            None => changes.push(ChangeEntry::restart(Some(&group.0.group.name), "new group")),
        }
    }
    let gone = old.groups.iter().filter(|(group, _)| find(new, &group.group.name).is_none());
    changes.extend(gone.map(|(group, _)| ChangeEntry::restart(Some(&group.group.name), "removed")));
    changes
}

/// The group of this name.
pub fn find<'a>(settings: &'a MemberSettings, name: &str) -> Option<&'a Group> {
    settings.groups.iter().find(|(group, _)| group.group.name == name)
}

fn compare_group((old, old_credential): &Group, (new, new_credential): &Group) -> Vec<ChangeEntry> {
    let name = Some(new.group.name.as_str());
    let made = [
        (old.clear != new.clear, "match-address"),
        (old.fail != new.fail, "fail-close"),
        (old.reception != new.reception, "passive"),
        (old.mss != new.mss, "mss-clamp"),
    ];
    let lost = [
        (old.group.id != new.group.id, "identity-number"),
        (old.servers != new.servers, "servers"),
        (old.interfaces != new.interfaces, "interfaces"),
        (old.local_address != new.local_address, "local-address"),
        (old.vrf != new.vrf, "vrf"),
        (old.identity != new.identity, "identity"),
        (old_credential != new_credential, "pre-shared-key"),
        ((old.proposal, old.doi) != (new.proposal, new.doi), "phase1"),
    ];
    let made = made.into_iter().filter(|(differs, _)| *differs);
    let lost = lost.into_iter().filter(|(differs, _)| *differs);
    made.map(|(_, what)| ChangeEntry::at_once(name, what))
        .chain(lost.map(|(_, what)| ChangeEntry::restart(name, what)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source};
    use crate::report::ReloadEffect;
    use std::path::Path;

    const FILE: &str = r#"groups:
  - {name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
"#;

    fn settings(text: &str) -> MemberSettings {
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        file.settle(&mut source).unwrap()
    }

    #[track_caller]
    fn changes(text: &str, expected: &[(&str, ReloadEffect)]) {
        let changes = compare(&settings(FILE), &settings(text));
        let seen: Vec<_> = changes.iter().map(|change| (change.what.as_str(), change.effect)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_about_traffic_needs_no_restart() {
        changes(FILE, &[]);
        let text = FILE.replace("}", ", match-address: [deny ospf any any], fail-close: false}");
        let effect = ReloadEffect::AtOnce;
        changes(&text, &[("match-address", effect), ("fail-close", effect)]);
        let text = FILE.replace("}", ", passive: true, mss-clamp: 1300}");
        changes(&text, &[("passive", effect), ("mss-clamp", effect)]);
        changes(&format!("{FILE}on-change: /bin/true\n"), &[("on-change", effect)]);
    }

    #[test]
    fn everything_else_does() {
        let restart = ReloadEffect::Restart;
        changes(&FILE.replace("wan0", "wan1"), &[("interfaces", restart)]);
        changes(&FILE.replace("}", ", vrf: red}"), &[("vrf", restart)]);
        changes(&FILE.replace("only for", "no more for"), &[("pre-shared-key", restart)]);
        changes(&FILE.replace("192.0.2.10", "192.0.2.11"), &[("servers", restart)]);
        changes(&FILE.replace("name: a", "name: b"), &[("new group", restart), ("removed", restart)]);
        changes(&format!("{FILE}anchors: as112\n"), &[("anchors", restart)]);
        changes(&format!("{FILE}groups-directory: /run/x\n"), &[("groups-directory", restart)]);
        changes(&format!("{FILE}port: 1848\n"), &[("port", restart), ("servers", restart)]);
    }
}
