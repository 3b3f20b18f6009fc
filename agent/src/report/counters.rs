//! How gdoi's counters, which know no serde, are called in JSON: names alone, and the compiler sees that none is missing.

use gdoi::{AckCounters, RekeyCounters};
use serde::{Deserialize, Serialize};

/// [`AckCounters`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "AckCounters")]
pub(super) struct AckNames {
    received: u64,
    unexpected: u64,
    forged: u64,
    malformed: u64,
}

/// [`RekeyCounters`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "RekeyCounters")]
pub(super) struct RekeyNames {
    received: u64,
    acknowledged: u64,
    repeated: u64,
    replayed: u64,
    forged: u64,
    untimely: u64,
    unknown_spi: u64,
    malformed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Serializer;

    #[test]
    fn json_has_them_in_this_order() {
        let mut text = Vec::new();
        let acks = AckCounters { received: 1, unexpected: 2, forged: 3, malformed: 4 };
        AckNames::serialize(&acks, &mut Serializer::new(&mut text)).unwrap();
        let rekeys = RekeyCounters { received: 5, untimely: 6, ..RekeyCounters::default() };
        RekeyNames::serialize(&rekeys, &mut Serializer::new(&mut text)).unwrap();
        let acks = r#"{"received":1,"unexpected":2,"forged":3,"malformed":4}"#;
        let rekeys = concat!(
            r#"{"received":5,"acknowledged":0,"repeated":0,"replayed":0,"forged":0,"untimely":6,"#,
            r#""unknown_spi":0,"malformed":0}"#
        );
        assert_eq!(String::from_utf8(text).unwrap(), [acks, rekeys].concat());
    }
}
