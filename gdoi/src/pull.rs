//! GROUPKEY-PULL: a member downloads policy and keys (RFC 6407 section 3).
//!
//! ```text
//!     member                         key server
//!     HDR*, HASH(1), Ni, ID   -->
//!                             <--    HDR*, HASH(2), Nr, SA
//!     HDR*, HASH(3) [,GAP]    -->
//!                             <--    HDR*, HASH(4), [SEQ,] KD
//! ```

mod announce;
mod holdings;
mod initiator;
mod notice;
mod numbers;
mod offer;
mod responder;

pub use holdings::{Holdings, Tell};
pub use initiator::{PullInitiator, PullStep, SidWish};
pub(crate) use offer::Offer;
pub(crate) use responder::GROUP_IDENTITY;
pub use responder::{AwaitProof, Proof, Request};

use crate::error::{Error, Misbehaved};
use crate::phase1::{Cookies, IsakmpSa};
use crate::wire::{ExchangeType, Header};

/// Whether the message is one of the exchange `message_id` under `sa`.
fn check_header(header: &Header, sa: &IsakmpSa, message_id: u32) -> Result<(), Error> {
    match header.exchange {
        ExchangeType::GROUPKEY_PULL
            if Cookies::of(header) == sa.cookies && header.message_id == message_id =>
        {
            Ok(())
        }
        ExchangeType::GROUPKEY_PULL => Err(Misbehaved::UnknownExchange.into()),
        other => Err(Misbehaved::UnsupportedExchange(other).into()),
    }
}

#[cfg(test)]
mod tests;
