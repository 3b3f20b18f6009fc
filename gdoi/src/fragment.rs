//! Messages longer than a path surely carries go out in fragments of their own instead of IP's, which firewalls drop.
//!
//! ```text
//! message                                         datagrams of at most 1,200 octets
//! HDR | payloads ...............        ==>       HDR' | fragment 1    HDR' | fragment 2    ...    HDR' | last fragment
//! ```
//!
//! HDR' is the message's header with the fragment payload as the next one and without the encryption flag; what the
//! fragments carry is the whole message, header and all. This is the known format of IKEv1, and dissectors read it.
//!
//! # Protocol decisions
//! * The announcement is a vendor ID of our own ([`crate::phase1::FRAGMENTS_VENDOR_ID`]), not the known
//!   "FRAGMENTATION": an initiator announces before it knows who will answer, and other software that was invited may use
//!   one fragment ID for all messages, or know fragments in Main Mode only. To others everything goes whole.
//! * Only what an established ISAKMP SA or the KEK of a registration protects is taken in fragments, from peers that
//!   announced them. Nothing in Main Mode is so long, and who has proved nothing shall take no memory.
//! * Every transmission of a message has a fresh random ID. A lost fragment is a lost message; the exchange sends it again.
//! * A fragment that contradicts another one undoes nothing: the message is gathered in both readings, eight at most, and
//!   those that are not true fail the checks that every message passes. Who forges fragments must know both cookies and
//!   hit the ID of a transmission that is under way, three times.
//! * What is gathered is bounded in messages, octets and time, for each [`Purpose`] and address by itself. Where it is too
//!   much, what is whole goes first and then the message of which the least has come: the fragments of a true one come
//!   together, and forged ones would have to come in as many.

mod reassembly;

pub use reassembly::{Origin, Purpose, Reassembly, LIFE, MAX_MESSAGES, MAX_OCTETS, MAX_PER_PEER};

use crate::error::{Error, Malformed, Misbehaved};
use crate::wire::{
    emit_chain, Chain, Flags, Fragment, Header, Padding, PayloadType, Payloads, Position, HEADER_LEN,
};

/// The longest datagram that goes out whole to a peer that takes fragments, octets of UDP payload: with the headers of
/// IPv6 and UDP it is below the 1,280 octets that every path carries.
pub const LONGEST_DATAGRAM: usize = 1_200;

/// Generic header and fields before the data.
const FRAGMENT_HEADER_LEN: usize = 8;
const DATA_LEN: usize = LONGEST_DATAGRAM - HEADER_LEN - FRAGMENT_HEADER_LEN;

/// The datagrams that carry `message`.
///
/// # Errors
/// It has no header, or one that is not of this length.
pub fn split(message: &[u8], id: u16) -> Result<Vec<Vec<u8>>, Malformed> {
    let (header, _) = Header::parse(message)?;
    let header = Header { next: PayloadType::FRAGMENT, flags: Flags::NONE, ..header };
    let last = message.len().div_ceil(DATA_LEN);
    let datagram = |(number, data): (usize, &[u8])| {
        let position = if number == last { Position::Last } else { Position::Before };
        let number = u8::try_from(number).map_err(|_| Malformed::Length("message in fragments"))?;
        let fragment = Fragment { id, number, position, data }.emit()?;
        header.emit(&emit_chain(&[(PayloadType::FRAGMENT, &fragment)])?)
    };
    (1..).zip(message.chunks(DATA_LEN)).map(datagram).collect()
}

/// Whether a datagram says that it is a fragment, whether or not it can be read.
pub fn is_fragment(datagram: &[u8]) -> bool {
    datagram.get(16) == Some(&PayloadType::FRAGMENT.0)
}

/// A datagram that is a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Says which SA the message is under.
    pub header: Header,
    /// The fragment itself.
    pub fragment: Fragment<'a>,
}

impl<'a> Piece<'a> {
    /// Reads the datagram.
    ///
    /// # Errors
    /// It is anything but a header and one fragment payload.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let (header, body) = Header::parse(datagram)?;
        if header.flags != Flags::NONE {
            return Err(Misbehaved::Encryption.into());
        }
        let mut payloads = Payloads::new(Chain::parse(header.next, body, Padding::None)?);
        let fragment = Fragment::parse(payloads.take(PayloadType::FRAGMENT)?.body)?;
        payloads.finish()?;
        Ok(Piece { header, fragment })
    }
}

#[cfg(test)]
mod tests;
