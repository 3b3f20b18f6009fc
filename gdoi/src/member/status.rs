//! What a member tells operators about itself.

use super::{Activity, Member};
use crate::endpoint::Instant;
use crate::keyring::{Sa, View};
use crate::status::{KekStatus, MemberStatus, RegistrationState, TekRole, TekStatus};

impl Member {
    /// For operators.
    pub fn status(&self, now: Instant) -> MemberStatus {
        let view = self.view(now);
        let registration = self.registration(&view);
        let (activation_delay, deactivation_delay) = self.keyring.delays();
        let reregisters_at = match (&self.activity, registration) {
            (Activity::Idle(until), RegistrationState::Registered) => Some(*until),
            _ => None,
        };
        MemberStatus {
            group: self.config.group.clone(),
            registration,
            server: self.server().address,
            servers: self.config.servers.iter().map(|server| server.address).collect(),
            registrations: self.registrations,
            last_registered: self.last_registered,
            failures: self.failures,
            last_failure: self.last_failure.clone(),
            reregisters_at,
            sender_ids: self.keyring.sender_ids().map_or_else(Vec::new, |(_, sids)| sids.to_vec()),
            sid_generation: self.keyring.sender_ids().map(|(generation, _)| generation),
            kek: self.keyring.kek(now).map(|(kek, expires)| KekStatus::of(kek, expires)),
            teks: tek_status(&view),
            acl: view.acl,
            mode: view.mode,
            activation_delay,
            deactivation_delay,
            rejected: self.rejections.total(),
            rekeys: self.rekeys.counters,
            last_rekey: self.rekeys.last_received,
            rekey_group: view.rekey_group,
        }
    }

    fn registration(&self, view: &View) -> RegistrationState {
        match &self.activity {
            _ if view.registered && view.inbound.is_empty() => RegistrationState::Expired,
            Activity::Idle(_) if view.registered => RegistrationState::Registered,
            _ if view.registered => RegistrationState::Reregistering,
            Activity::Idle(until) | Activity::Retrying(until) => RegistrationState::Waiting { until: *until },
            Activity::Registering(_) => RegistrationState::Registering,
        }
    }
}

fn tek_status(view: &View) -> Vec<TekStatus> {
    let apart = view.apart.iter().filter_map(|traffic| traffic.outbound.as_ref());
    let sending: Vec<_> = view.outbound.iter().chain(apart).map(|sa| sa.spi).collect();
    let role = |spi| if sending.contains(&spi) { TekRole::Sending } else { TekRole::Receiving };
    let status = |sa: &Sa| {
        let Sa { spi, transform, replay_window, expires, .. } = *sa;
        TekStatus { spi, transform, replay_window, expires, role: role(spi) }
    };
    view.inbound.iter().map(status).collect()
}
