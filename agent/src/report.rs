//! What the daemons report: the one schema that `gdoictl --json` prints, and beside each report its text.
//!
//! Moments are RFC 3339 timestamps in UTC, spans are whole seconds. New fields may come, none changes or goes
//! within a major version.

pub mod access_list;
pub mod coop;
mod counters;
pub mod dataplane;
pub mod key_server;
mod keys;
mod lengths;
pub mod member;
mod obstacles;
pub mod rekey;
pub mod reload;
mod table;
mod xfrm_errors;

pub use access_list::{AccessList, AclReport, Sending};
pub use coop::{CoopEntry, CoopGroup, CoopPeerEntry, CoopRefusalCounts, CoopReport, CoopRole, PeerState};
pub use dataplane::{DataplaneReport, PlaneEntry, Protection, StateEntry, StateSummary, Traffic};
pub use key_server::{
    KeyServerAcl, KeyServerAcls, KeyServerGroup, KeyServerPolicies, KeyServerPolicy, KeyServerReport,
    MemberEntry, MemberList, MembersReport, SenderIdEntry,
};
pub use keys::{KekEntry, TekEntry};
pub use lengths::Lengths;
pub use member::{Detachment, MemberGroup, MemberReport, Registration};
pub use obstacles::{Obstacle, ObstaclePlace};
pub use rekey::{
    KeyOrigin, KeyServerRekey, KeyServerRekeys, KeyWay, MemberRekey, MemberRekeys, RekeyEntry, RekeyTransport,
};
pub use reload::{ActionEntry, ActionReport, ChangeEntry, ReloadEffect, ReloadReport};

use gdoi::GroupName;
use serde::{Deserialize, Serialize};

/// A group's name and number, part of every report about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLabel {
    /// What the configuration calls it.
    pub name: String,
    /// Its number.
    pub identity_number: u32,
}

impl From<&GroupName> for GroupLabel {
    fn from(group: &GroupName) -> Self {
        GroupLabel { name: group.name.clone(), identity_number: group.id.0 }
    }
}

impl GroupLabel {
    /// How a text about the group begins.
    fn title(&self) -> String {
        format!("Group {} ({})", self.name, self.identity_number)
    }
}
