use gdoi::crypto::Secret;
use gdoi::phase1::{Credential, Settings};
use gdoi::policy::{Doi, Identity, Proposal};
use std::net::{IpAddr, Ipv4Addr};

/// Where the responder's randomness begins; its cookie and keys are the same in every run.
pub const RESPONDER_SEED: u64 = 2;

/// What the responder brings: one proposal, of the fastest group.
pub fn responder_settings() -> Settings {
    Settings {
        credential: Credential::PreSharedKey(Secret::from(&b"seed"[..])),
        identity: Identity::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))),
        proposals: vec![Proposal::default()],
        doi: Doi::Gdoi,
    }
}
