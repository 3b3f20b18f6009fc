//! The number of the rules: the kernel counts it up by one with every transaction that changes any table of the network
//! namespace, whoever sent it. What packets do to sets does not count.

use std::io;

use super::known::NFTABLES;
use crate::netfilter::{attributes, kind, Attributes, Message};
use crate::socket::Socket;

const NEW_GENERATION: u8 = 15;
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
                found = read(payload)?;
            }
            Ok(())
        })?;
        found.map(Self).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether exactly so many transactions lie between the two. The kernel leaves 0 out; then the answer is no.
    pub fn is_after(self, before: Self, transactions: usize) -> bool {
        u32::try_from(transactions).ok().and_then(|count| before.0.checked_add(count)) == Some(self.0)
    }
}

fn read(payload: &[u8]) -> io::Result<Option<u32>> {
    let found = attributes(payload)?.into_iter().find(|(kind, _)| *kind == ID);
    Ok(found.and_then(|(_, value)| value.first_chunk().map(|octets| u32::from_be_bytes(*octets))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_and_compared() {
        let payload = [0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 2];
        assert_eq!(read(&payload).unwrap(), Some(258));
        assert_eq!(read(&payload[..4]).unwrap(), None);
        assert!(read(&payload[..3]).is_err());
        assert!(
            Generation(258).is_after(Generation(256), 2) && !Generation(258).is_after(Generation(257), 2)
        );
        assert!(!Generation(1).is_after(Generation(u32::MAX), 1));
    }
}
