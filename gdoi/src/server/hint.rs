//! What is said outside any protection.

use crate::crypto::Random;
use crate::phase1::{fresh_message_id, Cookies};
use crate::wire::{emit_chain, Cookie, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType};

/// An informational message outside any protection: a hint for operators, never a proof. With a message ID and both cookies,
/// or peers take it for one of phase 1 (RFC 2408 sections 3.1 and 4.8).
pub(super) fn clear_notify(cookies: Cookies, kind: NotifyType, random: &mut dyn Random) -> Option<Vec<u8>> {
    let mut responder = cookies.responder;
    if responder == Cookie::ZERO {
        random.fill(&mut responder.0).ok()?;
    }
    let header = Header {
        initiator: cookies.initiator,
        responder,
        next: PayloadType::NOTIFY,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::NONE,
        message_id: fresh_message_id(random).ok()?,
    };
    let notify = Notify { kind }.emit().ok()?;
    header.emit(&emit_chain(&[(PayloadType::NOTIFY, &notify)]).ok()?).ok()
}
