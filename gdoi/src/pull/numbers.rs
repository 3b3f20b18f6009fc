//! The numbers that SA payloads say a policy with, as far as this implementation carries them out.

use crate::group::AckType;
use crate::policy::Integrity;

pub(super) const UDP: u8 = 17;
pub(super) const KEK_ALG_AES: u16 = 3;
pub(super) const KEK_IV_LEN: usize = 16;
pub(super) const ESP_AES_CBC: u8 = 12;
pub(super) const ESP_AES_GCM_16: u8 = 20;
/// From the range for private use: IKEv1 has no number for it.
pub(super) const ESP_CHACHA20_POLY1305: u8 = 249;
pub(super) const TUNNEL: u16 = 1;
pub(super) const SOURCE_AND_DESTINATION: u16 = 4;
pub(super) const RECEIVER_ONLY: u16 = 2;
pub(super) const SYMMETRIC: u16 = 3;

/// The authentication algorithm of a TEK.
pub(super) const fn authentication_number(integrity: Integrity) -> u16 {
    match integrity {
        Integrity::HmacSha256 => 5,
        Integrity::HmacSha384 => 6,
        Integrity::HmacSha512 => 7,
    }
}

/// KEK_ACK_REQUESTED (RFC 8263 section 2).
pub(super) const fn ack_number(ack: AckType) -> u16 {
    match ack {
        AckType::KekSha256 => 1,
        AckType::KekSha512 => 3,
    }
}

/// What this value of KEK_ACK_REQUESTED asks for; one that cannot be answered is as none (RFC 8263 section 4).
pub(super) const fn ack_of(number: u16) -> Option<AckType> {
    match number {
        1 => Some(AckType::KekSha256),
        3 => Some(AckType::KekSha512),
        _ => None,
    }
}
