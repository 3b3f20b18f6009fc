//! Which traffic a group protects, and how.

use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::policy::SendMode;
use serde::{Deserialize, Serialize};

/// The answer to `show gm acl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<AccessList>,
}

/// One group's lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The member's own entries, judged first.
    pub local: Vec<String>,
    /// The entries that the key server sent, the first that matches decides.
    pub downloaded: Vec<String>,
    /// How what they permit is sent.
    pub sending: Sending,
}

/// How the traffic of a group is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sending {
    /// Encrypted.
    Encrypted,
    /// In clear, and received in either form: the group is receive-only.
    Clear,
}

impl From<SendMode> for Sending {
    fn from(mode: SendMode) -> Self {
        match mode {
            SendMode::Both => Sending::Encrypted,
            SendMode::ReceiveOnly => Sending::Clear,
        }
    }
}

/// The text of `show gm acl`.
pub fn of_members(report: &AclReport) -> String {
    report.groups.iter().map(access_list).collect()
}

fn access_list(list: &AccessList) -> String {
    format!(
        "{}\n{}{}",
        list.group.title(),
        entries("Local, judged first: always in clear", &list.local),
        entries(&meaning("Downloaded", list.sending), &list.downloaded)
    )
}

/// What the entries of a list mean, shared with the key server's texts.
pub(super) fn meaning(title: &str, sending: Sending) -> String {
    match sending {
        Sending::Encrypted => {
            format!("{title}, the first match decides: permit is encrypted, deny is in clear")
        }
        Sending::Clear => {
            format!("{title}, receive-only: what is permitted is sent in clear and accepted in either form")
        }
    }
}

/// A list under its title, shared with the key server's texts.
pub(super) fn entries(title: &str, entries: &[String]) -> String {
    let entries: String = entries.iter().map(|entry| format!("    {entry}\n")).collect();
    format!("  {title}\n{}", if entries.is_empty() { "    (none)\n" } else { &entries })
}
