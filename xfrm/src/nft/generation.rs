//! The number of the rules: the kernel counts it up by one with every transaction that changes any table of the network
//! namespace, whoever sent it. What packets do to sets does not count.

use std::io;

use super::known::NFTABLES;
use crate::netfilter::{attributes, kind, Attributes, Message};
use crate::socket::Socket;

pub const NEW_GENERATION: u8 = 15;
const GET_GENERATION: u8 = 16;
/// NFPROTO_UNSPEC.
const ANY_FAMILY: u8 = 0;
/// NFTA_GEN_ID.
const ID: u16 = 1;

/// How the rules stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// The present one.
    pub fn now(socket: &mut Socket) -> io::Result<Self> {
        let request = Message::new(kind(NFTABLES, GET_GENERATION), ANY_FAMILY, 0, &Attributes::default());
        let mut found = None;
        socket.ask(&request, |(answer, payload)| {
            if answer == kind(NFTABLES, NEW_GENERATION) {
                found = read_id(payload)?;
            }
            Ok(())
        })?;
        found.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether the transaction came after that one; the number begins anew after 2^32.
    pub fn is_later_than(self, other: Self) -> bool {
        self.0 != other.0 && self.0.wrapping_sub(other.0) < 1 << 31
    }

    /// The one with this number.
    #[cfg(test)]
    pub fn of(number: u32) -> Self {
        Self(number)
    }

    /// Whether exactly so many transactions lie between the two. The kernel leaves 0 out; then the answer is no.
    pub fn is_after(self, before: Self, transactions: usize) -> bool {
        u32::try_from(transactions).ok().and_then(|count| before.0.checked_add(count)) == Some(self.0)
    }
}

/// The number in a message of the kernel.
pub fn read_id(payload: &[u8]) -> io::Result<Option<Generation>> {
    let found = attributes(payload)?.into_iter().find(|(kind, _)| *kind == ID);
    Ok(found.and_then(|(_, value)| value.first_chunk().map(|octets| Generation(u32::from_be_bytes(*octets)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_and_compared() {
        let payload = [0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 2];
        assert_eq!(read_id(&payload).unwrap(), Some(Generation(258)));
        assert_eq!(read_id(&payload[..4]).unwrap(), None);
        assert!(read_id(&payload[..3]).is_err());
        assert!(
            Generation(1).is_later_than(Generation(u32::MAX)) && !Generation(7).is_later_than(Generation(7))
        );
        assert!(
            Generation(258).is_after(Generation(256), 2) && !Generation(258).is_after(Generation(257), 2)
        );
        assert!(!Generation(1).is_after(Generation(u32::MAX), 1));
    }
}
