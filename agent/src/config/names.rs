//! Names that go into logs, nftables and file systems, kept harmless.

use super::located::{Clash, Parsed};
use super::member::MAX_PLANES;
use gdoi::policy::GroupId;
use gdoi::GroupName;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// The name of a network interface, at most 15 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match consists_of(text, 15, "._-@:") && text != "." && text != ".." {
            true => Ok(InterfaceName(text.to_owned())),
            false => Err(format!("`{}` is no interface name", text.escape_debug())),
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which interfaces are protected: one by its name, or all whose names begin so (`ppp*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfacePattern(String);

impl InterfacePattern {
    /// The name, or the beginning and `*`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an interface of this name is one of them.
    pub fn names(&self, name: &str) -> bool {
        xfrm::is_named(&self.0, name)
    }

    /// Whether they may be several.
    pub fn is_pattern(&self) -> bool {
        self.0.ends_with('*')
    }
}

impl FromStr for InterfacePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = InterfacePattern(text.to_owned());
        if text == "*" {
            return Err("this names every interface: name those towards the other members".into());
        }
        if text == "lo" {
            return Err("`lo` is this router's loopback: nothing on it goes to another member".into());
        }
        if pattern.names("lo") {
            return Err(format!(
                "`{text}` names this router's loopback, too: nothing on it goes to another member"
            ));
        }
        if (0..MAX_PLANES).any(|number| pattern.names(&format!("gdoi{number}"))) {
            return Err(format!("`{text}` is what gdoi-gm makes for IPv6 multicast"));
        }
        text.strip_suffix('*').unwrap_or(text).parse::<InterfaceName>().map_err(|_| {
            format!(
                "`{}` is no interface name, nor the beginning of one and an asterisk",
                text.escape_debug()
            )
        })?;
        Ok(pattern)
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of a group's interfaces.
pub(super) struct InterfaceEntry(pub InterfacePattern);

impl<'de> Deserialize<'de> for InterfaceEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|Parsed(pattern)| InterfaceEntry(pattern))
    }
}

impl Clash for InterfaceEntry {
    fn clash(&self, earlier: &Self) -> Option<String> {
        let (one, other) = (&self.0, &earlier.0);
        if one == other {
            return Some(format!("`{one}` stands here twice"));
        }
        let start = |pattern: &InterfacePattern| pattern.as_str().trim_end_matches('*').to_owned();
        let overlap =
            other.is_pattern() && other.names(&start(one)) || one.is_pattern() && one.names(&start(other));
        overlap.then(|| format!("`{other}` and `{one}` name the same interfaces"))
    }
}

/// What logs and commands call a group.
pub(super) struct Label(String);

impl Label {
    /// The full name of the group that has this label.
    pub fn numbered(self, id: u32) -> GroupName {
        GroupName { name: self.0, id: GroupId(id) }
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match consists_of(text, 64, "._-") {
            true => Ok(Label(text.to_owned())),
            false => Err(format!("`{}` is no name (1 to 64 of A-Z a-z 0-9 . _ -)", text.escape_debug())),
        }
    }
}

fn consists_of(text: &str, longest: usize, signs: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || signs.contains(letter);
    (1..=longest).contains(&text.len()) && text.chars().all(plain)
}

/// Why two groups cannot be in one file, if so.
pub(super) fn group_clash(group: &GroupName, earlier: &GroupName) -> Option<String> {
    if group.name == earlier.name {
        return Some(format!("there are two groups named `{}`", group.name));
    }
    (group.id == earlier.id).then(|| {
        format!("groups `{}` and `{}` have the same identity-number {}", earlier.name, group.name, group.id)
    })
}
