//! What the data plane is told.

use super::Traffic;
use crate::endpoint::Instant;
use crate::esp::SenderSa;
use crate::policy::{Acl, GroupId, SendMode, Sid, Spi, TekKeys, Transform};
use std::net::SocketAddr;

/// What the data plane must hold at one point in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Whether a policy was ever downloaded; before that `acl` says nothing.
    pub registered: bool,
    /// Which traffic is protected; it must never be sent in clear, with or without keys.
    pub acl: Acl,
    /// What must be receivable.
    pub inbound: Vec<Sa>,
    /// What sends; None blocks the protected traffic.
    pub outbound: Option<Sa>,
    /// The multicast group to which the key server sends rekey messages, while there is a KEK to read them with.
    pub rekey_group: Option<SocketAddr>,
    /// Where every sender has its own key: who this member is under `outbound`, one for each lane in order.
    pub sids: Vec<Sid>,
    /// Whether the protected traffic is sent encrypted.
    pub mode: SendMode,
    /// What sends each entry that `acl` permits, where a server of other software gave entries keys of their own; none where
    /// `outbound` sends all.
    pub apart: Vec<Traffic>,
}

/// One security association for the group's traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Sa {
    /// Its SPI; where every sender has its own key the base of a block.
    pub spi: Spi,
    /// How it is used.
    pub transform: Transform,
    /// Its keys.
    pub keys: TekKeys,
    /// The end of its life.
    pub expires: Instant,
    /// The anti-replay window, packets; 0 is none, and then sequence numbers are not extended.
    pub replay_window: u16,
    /// Whose traffic it is for.
    pub group: GroupId,
}

impl Sa {
    /// What the sender with this identifier sends with; None where all share one key, or the identifier is too large.
    pub fn sender(&self, sid: Sid) -> Option<SenderSa> {
        match (&self.keys, self.transform) {
            (TekKeys::PerSender(seed), Transform::PerSender(aead)) => {
                SenderSa::derive(seed, aead, self.group, self.spi.of_sender(sid)?)
            }
            _ => None,
        }
    }

    /// Whose SPI this is; None where it is not in the block of this SA, or there is none.
    pub fn sid_of(&self, spi: Spi) -> Option<Sid> {
        (self.transform.is_per_sender() && spi.block() == self.spi).then(|| spi.sid())
    }
}
