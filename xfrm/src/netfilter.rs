//! Messages of the kernel's netfilter subsystems (nfnetlink): a header of 4 octets, then attributes. What has crates of
//! its own (states, policies, routes) is written with them; this little has none that is kept up.

use std::io;

use netlink_packet_core::{NetlinkSerializable, NLA_F_NESTED};

pub use crate::attributes::attributes as nested;

/// Family (1 octet), version (1) and resource (2, big endian).
const HEADER: usize = 4;
const NONE: u16 = 0x10;

/// A message to the kernel.
pub struct Message {
    kind: u16,
    body: Vec<u8>,
}

/// Attributes one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

/// What brackets a change of nftables.
pub fn batch(subsystem: u8) -> [Message; 2] {
    let bracket = |kind| Message { kind, body: [&[0, 0, 0][..], &[subsystem]].concat() };
    [bracket(NONE), bracket(NONE + 1)]
}

/// The number that a message type has in the kernel.
pub fn kind(subsystem: u8, number: u8) -> u16 {
    u16::from_be_bytes([subsystem, number])
}

impl Message {
    pub fn new(kind: u16, family: u8, resource: u16, attributes: &Attributes) -> Self {
        let [high, low] = resource.to_be_bytes();
        Self { kind, body: [&[family, 0, high, low], &attributes.0[..]].concat() }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl Attributes {
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    pub fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with_nested_octets(kind, &inner.0)
    }

    /// Attributes as they were read.
    pub fn with_nested_octets(self, kind: u16, inner: &[u8]) -> Self {
        self.with(kind | NLA_F_NESTED, inner)
    }
}

/// The attributes behind a message's header.
///
/// # Errors
/// The message has no header.
pub fn attributes(payload: &[u8]) -> io::Result<Vec<(u16, &[u8])>> {
    let body = payload.get(HEADER..).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(nested(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let inner = Attributes::default().with(1, &[1, 2, 3]).with(2, &[4]);
        let all = Attributes::default().with_text(7, "gdoi").with_nested(8, &inner);
        let message = Message::new(kind(10, 12), 1, 848, &all);
        assert_eq!((message.message_type(), message.body[2..4].to_vec()), (0x0a0c, vec![3, 80]));
        let read = attributes(&message.body).unwrap();
        assert_eq!((read[0], read.len()), ((7, &b"gdoi\0"[..]), 2));
        assert_eq!(nested(read[1].1), [(1, &[1, 2, 3][..]), (2, &[4][..])]);
    }

    #[test]
    fn a_message_without_a_header_is_refused() {
        assert!(attributes(&[0; 3]).is_err());
        assert_eq!(attributes(&[0; 4]).unwrap(), []);
    }
}
