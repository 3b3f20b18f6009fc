//! Names that go into logs, nftables and file systems, kept harmless.

use gdoi::policy::GroupId;
use gdoi::GroupName;
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
