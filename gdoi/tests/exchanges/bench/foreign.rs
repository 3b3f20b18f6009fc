//! Members of other software.

use gdoi::wire::{emit_chain, Chain, Cookie, ExchangeType, Header, Padding, PayloadType};

/// The first message of phase 1 as other software sends it, without our vendor ID: for [`super::World::meddle`], so that
/// it arrives before the message itself.
pub fn anonymous(datagram: &[u8]) -> Vec<Vec<u8>> {
    without(datagram, |_| true)
}

/// The same of our own that does not announce one thing.
pub fn silent_about(vendor_id: &[u8], datagram: &[u8]) -> Vec<Vec<u8>> {
    without(datagram, |body| body == vendor_id)
}

fn without(datagram: &[u8], omitted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let Ok((header, body)) = Header::parse(datagram) else { return Vec::new() };
    if header.exchange != ExchangeType::IDENTITY_PROTECTION || header.responder != Cookie::ZERO {
        return Vec::new();
    }
    let payloads = Chain::parse(header.next, body, Padding::None).unwrap().payloads;
    let kept =
        payloads.iter().filter(|payload| payload.kind != PayloadType::VENDOR || !omitted(payload.body));
    let kept: Vec<_> = kept.map(|payload| (payload.kind, payload.body)).collect();
    vec![header.emit(&emit_chain(&kept).unwrap()).unwrap()]
}
