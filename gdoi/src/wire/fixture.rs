//! A policy that tests, benches and seeds change one thing of. Who takes this file in brings the types.

use super::{IdField, IdType, SaKek, SaTek};

/// All traffic inside 10.0.0.0/8, AES-256-CBC and HMAC-SHA-256.
pub fn sat() -> SaTek {
    let inside =
        || IdField { kind: IdType::IPV4_ADDR_SUBNET, port: 0, data: vec![10, 0, 0, 0, 255, 0, 0, 0] };
    SaTek {
        protocol: 0,
        source: inside(),
        destination: inside(),
        transform: 12,
        spi: 0x8480_0001,
        lifetime: 3600,
        mode: 1,
        authentication: 5,
        key_bits: 256,
        preservation: 4,
        direction: 3,
        senders: None,
    }
}

/// Rekey messages from 192.0.2.1 to 198.51.100.1, AES-256-CBC, signed by RSA with SHA-256.
pub fn sak() -> SaKek {
    SaKek {
        protocol: 17,
        source: IdField::address([192, 0, 2, 1].into(), 848),
        destination: IdField::address([198, 51, 100, 1].into(), 848),
        spi: [7; 16],
        algorithm: 3,
        key_bits: 256,
        lifetime: 86_400,
        signature_hash: 3,
        signature_algorithm: 1,
        signature_bits: 2048,
        ack_requested: 0,
    }
}
