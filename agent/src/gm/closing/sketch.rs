//! What a configuration names, as far as it can be read: it may have any error. In doubt an interface is one that is closed.

use super::StoredPlane;
use crate::config::InterfacePattern;
use gdoi::policy::Selector;
use serde_yaml::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is looked at, in octets.
const MAX_FILE: u64 = 1 << 20;
/// Signs that stand around words in YAML and JSON.
const AROUND: [char; 8] = ['[', ']', '{', '}', ',', '"', '\'', ':'];

/// What a file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Groups and interfaces.
    pub planes: Vec<StoredPlane>,
    /// Where a daemon that runs would be found.
    pub control_socket: Option<PathBuf>,
}

impl Sketch {
    /// Of a file, or nothing.
    pub fn of_file(path: &Path) -> Self {
        let mut octets = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut octets));
        read.map(|_| Self::of(&String::from_utf8_lossy(&octets))).unwrap_or_default()
    }

    /// Of a text: by its structure where it has one, else by its words.
    fn of(text: &str) -> Self {
        let structured = serde_yaml::from_str::<Value>(text).ok().map(|value| by_structure(&value));
        structured.filter(|sketch| !sketch.planes.is_empty()).unwrap_or_else(|| by_words(text))
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

/// The words of a file that is no YAML: those that follow a key `interfaces` up to the next key. A group is open only if
/// `fail-close: false` stands behind its interfaces and before those of the next, or before them in its own entry.
fn by_words(text: &str) -> Sketch {
    let mut sketch = Sketch::default();
    let mut group = Words::default();
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default();
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        if line.trim_start().starts_with("- ") && line.contains(": ") || line.trim() == "{" {
            sketch.planes.extend(std::mem::take(&mut group).planes());
        }
        group.read(line, &mut sketch);
    }
    sketch.planes.extend(group.planes());
    sketch
}

/// What was read of a group.
#[derive(Default)]
struct Words {
    interfaces: Vec<InterfacePattern>,
    fails_open: bool,
    /// The key whose value is being read.
    key: String,
}

impl Words {
    fn read(&mut self, line: &str, sketch: &mut Sketch) {
        for word in line.split_whitespace().flat_map(keys_apart) {
            match word.strip_suffix(':').map(|key| key.trim_matches(AROUND)) {
                Some(key) => self.key = key.to_owned(),
                None => self.take(word.trim_matches(AROUND), sketch),
            }
        }
    }

    fn take(&mut self, word: &str, sketch: &mut Sketch) {
        match self.key.as_str() {
            "interfaces" => {
                let words = word.split(AROUND).filter_map(|word| word.parse::<InterfacePattern>().ok());
                self.interfaces.extend(words.filter(|one| one.as_str() != "-"));
            }
            "fail-close" => self.fails_open = word == "false",
            "control-socket" if !word.is_empty() => sketch.control_socket = Some(word.into()),
            _ => {}
        }
    }

    fn planes(self) -> impl Iterator<Item = StoredPlane> {
        let fail_close = !self.fails_open;
        self.interfaces.into_iter().map(move |interface| plane(interface, fail_close, Vec::new()))
    }
}

/// `key:[value` and `"key":value` as two words each.
fn keys_apart(word: &str) -> Vec<&str> {
    let begins = |at: &usize| word[at + 1..].starts_with(['[', '"', '\'']);
    let at = word.match_indices(':').map(|(at, _)| at).find(begins);
    at.map_or(vec![word], |at| vec![&word[..=at], &word[at + 1..]])
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

    #[test]
    fn whatever_a_file_is_nothing_breaks() {
        for end in (0..GOOD.len()).filter(|end| GOOD.is_char_boundary(*end)) {
            let _ = (by_words(&GOOD[..end]), by_words(&GOOD[end..]));
        }
        assert_eq!(names("\u{fffd}:\u{fffd}[:::"), []);
    }
}
