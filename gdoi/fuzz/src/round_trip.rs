use gdoi::wire::{
    Delete, Gap, GroupSa, Identification, Kd, Notify, Payload, PayloadType, Phase1Sa, SaKek, SaTek,
};
use gdoi::Malformed;
use std::fmt::Debug;

/// What parses must come out of its own octets again.
pub fn round_trip<T: Debug + PartialEq, E: Debug + PartialEq, O: AsRef<[u8]>>(
    body: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
    emit: impl Fn(&T) -> Result<O, Malformed>,
) {
    if let Ok(parsed) = parse(body) {
        let octets = emit(&parsed).expect("what was read can be written");
        assert_eq!(parse(octets.as_ref()), Ok(parsed));
    }
}

/// Every reading that the payload's type can have.
pub fn round_trip_payload(payload: &Payload<'_>) {
    let body = payload.body;
    match payload.kind {
        PayloadType::SA => {
            round_trip(body, Phase1Sa::parse, Phase1Sa::emit);
            round_trip(body, GroupSa::parse, GroupSa::emit);
        }
        PayloadType::ID => {
            round_trip(body, Identification::parse, Identification::emit);
            let _ = Identification::parse(body).map(|id| id.identity());
        }
        PayloadType::NOTIFY => round_trip(body, Notify::parse, Notify::emit),
        PayloadType::DELETE => round_trip(body, Delete::parse, Delete::emit),
        PayloadType::SAK => round_trip(body, SaKek::parse, SaKek::emit),
        PayloadType::SAT => round_trip(body, SaTek::parse, SaTek::emit),
        PayloadType::KD => round_trip(body, Kd::parse, Kd::emit),
        PayloadType::GAP => round_trip(body, Gap::parse, Gap::emit),
        _ => {}
    }
}
