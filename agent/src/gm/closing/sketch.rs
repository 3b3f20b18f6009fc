//! What a configuration names, as far as it can be read: it may have any error. In doubt an interface is one that is closed.

mod words;

use super::StoredPlane;
use crate::config::{InterfacePattern, MemberFile, Source};
use gdoi::policy::Selector;
use serde_yaml::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is looked at, in octets: more than a configuration may have, so that one which is too long is read.
const MAX_FILE: u64 = 8 << 20;

/// What a file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Groups and interfaces.
    pub planes: Vec<StoredPlane>,
    /// Where a daemon that runs would be found.
    pub control_socket: Option<PathBuf>,
}

impl Sketch {
    /// Of a file; None if there is none.
    pub fn of_file(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut octets = Vec::new();
        // What could be read before it failed is better than nothing.
        let _ = file.take(MAX_FILE).read_to_end(&mut octets);
        Some(Self::of(&text(&octets)))
    }

    /// Of a text: by its structure, and where it is refused as a configuration by its words, too, because an error may have
    /// hidden a part of it.
    fn of(text: &str) -> Self {
        let structured =
            serde_yaml::from_str::<Value>(text).map(|value| by_structure(&value)).unwrap_or_default();
        match Source::from_text(Path::new(""), text).parse::<MemberFile>() {
            Ok(_) => structured,
            Err(_) => structured.and(words::sketch(text)),
        }
    }

    /// With what only the other one has.
    fn and(mut self, other: Self) -> Self {
        let key = |plane: &StoredPlane| (plane.interface.clone(), plane.fail_close);
        let is_new = |plane: &StoredPlane| !self.planes.iter().any(|one| key(one) == key(plane));
        let new: Vec<_> = other.planes.into_iter().filter(is_new).collect();
        self.planes.extend(new);
        self.control_socket = self.control_socket.or(other.control_socket);
        self
    }
}

/// Some editors write UTF-16.
fn text(octets: &[u8]) -> String {
    let utf_16 = |number: fn([u8; 2]) -> u16| {
        let numbers: Vec<_> = octets[2..].chunks_exact(2).map(|pair| number([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&numbers)
    };
    match octets {
        [0xff, 0xfe, ..] => utf_16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf_16(u16::from_be_bytes),
        _ => String::from_utf8_lossy(octets).into_owned(),
    }
}

fn by_structure(file: &Value) -> Sketch {
    let groups = file.get("groups").and_then(Value::as_sequence).map(Vec::as_slice).unwrap_or_default();
    let control_socket = file.get("control-socket").and_then(Value::as_str).map(PathBuf::from);
    Sketch { planes: groups.iter().flat_map(of_group).collect(), control_socket }
}

fn of_group(group: &Value) -> Vec<StoredPlane> {
    let fail_close = group.get("fail-close").and_then(Value::as_bool) != Some(false);
    let clear: Vec<_> = texts(group.get("match-address")).into_iter().filter_map(denied).collect();
    let interfaces = texts(group.get("interfaces")).into_iter().filter_map(|text| text.parse().ok());
    interfaces.map(|interface| plane(interface, fail_close, clear.clone())).collect()
}

/// A list, or one element that stands for it.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Sequence(list)) => list.iter().filter_map(Value::as_str).collect(),
        other => other.and_then(Value::as_str).into_iter().collect(),
    }
}

fn denied(entry: &str) -> Option<Selector> {
    entry.split('#').next()?.trim().strip_prefix("deny ")?.parse().ok()
}

fn plane(interface: InterfacePattern, fail_close: bool, clear: Vec<Selector>) -> StoredPlane {
    StoredPlane { group: String::new(), interface, clear, fail_close, slot: None, links: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"groups:
  - name: corp
    identity-number: 100
    servers: [192.0.2.10]
    interfaces: [wan0, "ppp*"]  # both
    pre-shared-key: "only for tests"
    match-address:
      - deny tcp any any eq 179
      - deny ospf any any
  - name: lab
    servers: [192.0.2.10]
    interfaces:
      - wan1
      - wan.100
    fail-close: false
    pre-shared-key: "only for tests"
control-socket: /run/x.sock
"#;

    fn names(text: &str) -> Vec<(String, bool)> {
        let planes = Sketch::of(text).planes;
        planes.into_iter().map(|plane| (plane.interface.to_string(), plane.fail_close)).collect()
    }

    fn all() -> Vec<(String, bool)> {
        [("wan0", true), ("ppp*", true), ("wan1", false), ("wan.100", false)]
            .map(|(name, closed)| (name.to_owned(), closed))
            .into()
    }

    #[test]
    fn a_file_is_read_as_far_as_it_can_be() {
        let sketch = Sketch::of(GOOD);
        assert_eq!(names(GOOD), all());
        assert_eq!((sketch.planes[0].clear.len(), sketch.planes[2].clear.len()), (2, 0));
        assert_eq!(sketch.control_socket, Some("/run/x.sock".into()));
        for (from, to) in [
            ("identity-number: 100", "identity-nummer: 100"),
            ("deny ospf any any", "deny opsf any any"),
            ("identity-number: 100", "identity-number: [100"),
            ("servers: [192.0.2.10]", "servers: 192.0.2.10]"),
            ("    pre-shared-key: \"only for tests\"", "    pre-shared-key: \"only for tests"),
            ("  - name: corp", "  - name:\tcorp: x"),
            ("control-socket: /run/x.sock", "control-socket /run/x.sock"),
            ("groups:", "groups"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            assert_eq!(names(&text), all(), "{to}");
        }
    }

    #[test]
    fn json_and_one_line_are_read_as_well() {
        let json = "{\n \"groups\": [\n {\n \"fail-close\": false,\n \"interfaces\": [\n \"wan\"\n ],\n \"name\": x x\n },\n \
                    {\n \"interfaces\": [\n \"ppp*\"\n ]\n";
        assert_eq!(names(json), [("wan".to_owned(), false), ("ppp*".to_owned(), true)]);
        let line = "groups: [{name: a, interfaces: [wan0, wan1], fail-close: maybe}";
        assert_eq!(names(line), [("wan0".to_owned(), true), ("wan1".to_owned(), true)]);
        assert_eq!(names("interfaces: [wan0"), [("wan0".to_owned(), true)]);
    }

    /// How people write it wrong, each with what is closed of it.
    #[test]
    fn what_people_mistype_is_closed_as_they_meant_it() {
        let all = ["wan0", "wan1"];
        for (written, meant) in [
            ("interface: [wan0, wan1]", &all[..]),
            ("Interfaces: [wan0, wan1]", &all),
            ("INTERFACES: [wan0, wan1]", &all),
            ("interfaces-wan: [wan0, wan1]", &all),
            ("interfaces : [wan0, wan1]", &all),
            ("interfaces: (wan0, wan1)", &all),
            ("interfaces: {wan0, wan1}", &all),
            ("interfaces= [wan0, wan1]", &all),
            ("interfaces=wan0,wan1", &all),
            ("interfaces:wan0,wan1", &all),
            ("interfaces [wan0, wan1]", &all),
            ("interfaces: [wan0, wan1", &all),
            ("interfaces:\n      [wan0,\n      wan1]]", &all),
            ("interfaces: [wan0; wan1]", &all),
            ("interfaces: [wan0 wan1]", &all),
            ("interfaces: wan0, wan1", &all),
            ("interfaces: wan0 wan1", &all),
            ("interfaces:\n      wan0\n      wan1", &all),
            ("interfaces:\n    - wan0\n\t- wan1", &all),
            ("interfaces:\n      - wan0\n      -wan1", &["wan0", "-wan1"]),
            ("interfaces: [“wan0”, „wan1“]", &all),
            ("interfaces: [«wan0», ‘wan1’]", &all),
            ("interfaces: wan0 pre-shared-key abcd", &["wan0"]),
            ("interfaces: [wan0]\n    pre-shared-key abcd", &["wan0"]),
            ("interfaces: wan0\n    abcd efgh", &["wan0"]),
        ] {
            let text = GOOD.replacen("interfaces: [wan0, \"ppp*\"]  # both", written, 1);
            let names: Vec<_> = names(&text).into_iter().map(|(name, _)| name).collect();
            assert!(meant.iter().all(|name| names.contains(&(*name).to_owned())), "{written}: {names:?}");
            let rest = names.iter().filter(|name| !meant.contains(&name.as_str())).map(String::as_str);
            let rest: std::collections::BTreeSet<_> = rest.filter(|name| *name != "wan1").collect();
            assert_eq!(rest, ["wan.100"].into(), "{written}: of the other group");
        }
    }

    #[test]
    fn a_group_that_is_readable_hides_no_other() {
        for second in ["interface: [wan1]", "interfaces: wan1,wan2", "interfaces: [wan1; wan2]"] {
            let text = GOOD.replacen("interfaces:\n      - wan1\n      - wan.100", second, 1);
            assert!(names(&text).contains(&("wan1".to_owned(), false)), "{second}");
        }
    }

    #[test]
    fn values_in_braces_are_part_of_their_group() {
        let text = "groups: [{name: a, fail-close: false, phase1: {group: 19}, interfaces: [wan0], x: y}, {interfaces: [wan1]}]";
        assert_eq!(names(text), [("wan0".to_owned(), false), ("wan1".to_owned(), true)]);
        assert_eq!(names(&text[..text.len() - 1]), [("wan0".to_owned(), false), ("wan1".to_owned(), true)]);
    }

    #[test]
    fn json_in_one_line_is_read_without_its_end() {
        let text = r#"{"groups":[{"name":"a","interfaces":["wan0","wan1"],"pre-shared-key":"only for tests"},{"fail-close":false,"interfaces":["wan2"]"#;
        let closed = |name: &str| (name.to_owned(), name != "wan2");
        assert_eq!(names(text), ["wan0", "wan1", "wan2"].map(closed));
    }

    #[test]
    fn what_editors_put_around_a_text_hides_nothing() {
        let octets = |order: fn(u16) -> [u8; 2]| {
            let marked = std::iter::once(0xfeff).chain(GOOD.encode_utf16());
            marked.flat_map(order).collect::<Vec<_>>()
        };
        for octets in [octets(u16::to_le_bytes), octets(u16::to_be_bytes)] {
            assert_eq!(names(&text(&octets)), all());
            assert_eq!(names(&text(&octets[..octets.len() - 1])), all());
        }
        assert_eq!(names(&format!("\u{feff}{GOOD}")), all());
        assert_eq!(names(&GOOD.replace('\n', "\r\n")), all());
        let path = std::env::temp_dir().join(format!("gdoi-sketch-{}.yaml", std::process::id()));
        std::fs::write(&path, "#".repeat(3 << 20) + "\n" + GOOD).unwrap();
        let planes = Sketch::of_file(&path).map(|sketch| sketch.planes.len());
        let _ = std::fs::remove_file(&path);
        assert_eq!((planes, Sketch::of_file(&path)), (Some(4), None));
    }

    #[test]
    fn whatever_a_file_is_nothing_breaks() {
        for end in (0..GOOD.len()).filter(|end| GOOD.is_char_boundary(*end)) {
            let _ = (words::sketch(&GOOD[..end]), words::sketch(&GOOD[end..]));
        }
        assert_eq!(names("\u{fffd}:\u{fffd}[:::"), []);
    }
}
