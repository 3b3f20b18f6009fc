//! What of a changed configuration is the daemon's own matter.

use crate::config::{KeyServerSettings, MulticastRoute, StateSettings};
use crate::fingerprint;
use crate::report::{ChangeEntry, ReloadEffect};
use gdoi::policy::{GroupId, Proposal};
use gdoi::{Change, CredentialEntry, Effect};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The settings in use that are no group's.
pub struct OwnSettings {
    pub address: SocketAddr,
    control_socket: PathBuf,
    state: Option<StateSettings>,
    credentials: Vec<CredentialEntry>,
    proposals: Vec<Proposal>,
    /// Where multicast rekey messages leave this host.
    pub routes: Vec<MulticastRoute>,
    /// The fingerprints of the keys that sign rekey messages.
    signing_keys: Vec<(GroupId, String)>,
}

impl OwnSettings {
    pub fn of(settings: &KeyServerSettings) -> Self {
        OwnSettings {
            address: settings.address,
            control_socket: settings.control_socket.clone(),
            state: settings.state.clone(),
            credentials: settings.server.credentials.clone(),
            proposals: settings.server.proposals.clone(),
            routes: settings.routes.clone(),
            signing_keys: signing_keys(settings),
        }
    }

    /// The fingerprint of the key that signs a group's rekey messages.
    pub fn signing_key(&self, group: GroupId) -> Option<String> {
        self.signing_keys.iter().find(|(id, _)| *id == group).map(|(_, fingerprint)| fingerprint.clone())
    }

    /// What differs in `new`.
    pub fn compare(&self, new: &KeyServerSettings) -> Vec<ChangeEntry> {
        let lost = [
            (self.address != new.address, "address or port"),
            (self.control_socket != new.control_socket, "control-socket"),
            (self.state != new.state, "state-directory or state key"),
        ];
        let made = [
            (self.credentials != new.server.credentials, "pre-shared-keys"),
            (self.proposals != new.server.proposals, "phase1"),
            (self.routes != new.routes, "where multicast rekeys leave this host"),
        ];
        let differing = |all: [(bool, &'static str); 3]| all.into_iter().filter(|(differs, _)| *differs);
        let restart = differing(lost).map(|(_, what)| ChangeEntry::restart(None, what));
        restart.chain(differing(made).map(|(_, what)| ChangeEntry::at_once(None, what))).collect()
    }

    /// Goes on with what can be used without a restart.
    pub fn adopt(&mut self, new: &KeyServerSettings) {
        self.credentials.clone_from(&new.server.credentials);
        self.proposals.clone_from(&new.server.proposals);
        self.routes.clone_from(&new.routes);
        self.signing_keys = signing_keys(new);
    }
}

fn signing_keys(settings: &KeyServerSettings) -> Vec<(GroupId, String)> {
    let groups = settings.server.groups.iter();
    groups
        .filter_map(|group| {
            let key = group.rekey.as_ref()?.signing_key.public();
            Some((group.group.id, fingerprint::of(key)))
        })
        .collect()
}

/// A group's change as `gdoictl` shows it.
pub fn entry(change: &Change) -> ChangeEntry {
    let effect = match change.effect {
        Effect::AtOnce => ReloadEffect::AtOnce,
        Effect::NextRekey => ReloadEffect::NextRekey,
        Effect::NextRegistration => ReloadEffect::NextRegistration,
        Effect::Reregistration => ReloadEffect::Reregistration,
        Effect::ByPrimary => ReloadEffect::ByPrimary,
    };
    ChangeEntry::new(Some(&change.group.name), change.what, effect, change.effect)
}
