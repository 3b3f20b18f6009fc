//! The chain of payloads behind the header (RFC 2408 section 3.2).

use super::codec::{Length, Reader, Writer};
use super::registry::PayloadType;
use crate::error::{Error, Malformed, Misbehaved};
use zeroize::Zeroizing;

/// The most payloads in one message; the longest that this implementation sends or knows has ten.
pub const MAX_PAYLOADS: usize = 64;

/// What may stand behind the last payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: the message was not encrypted.
    None,
    /// What fills the last cipher block, at most 16 octets of any value.
    Block,
}

/// One payload as it came: its type and its body without the generic header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Its type.
    pub kind: PayloadType,
    /// What stands behind the generic header.
    pub body: &'a [u8],
    /// The whole payload with its generic header.
    pub whole: &'a [u8],
}

/// The payloads of a message in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The payloads.
    pub payloads: Vec<Payload<'a>>,
    /// How many octets they take: padding begins here.
    pub length: usize,
}

impl<'a> Chain<'a> {
    /// Takes `bytes` apart; `first` is the type that the header (or the SA payload) names.
    ///
    /// ```text
    /// | next payload  |   RESERVED    |        payload length (2)     |
    /// ```
    ///
    /// # Errors
    /// [`Malformed`], also for a chain of more than [`MAX_PAYLOADS`].
    pub fn parse(first: PayloadType, bytes: &'a [u8], padding: Padding) -> Result<Self, Malformed> {
        Chain::parse_bounded(first, bytes, padding, MAX_PAYLOADS)
    }

    /// As [`Chain::parse`] with at most `most` payloads.
    ///
    /// # Errors
    /// [`Malformed`], also for a chain of more than `most`.
    pub fn parse_bounded(
        first: PayloadType,
        bytes: &'a [u8],
        padding: Padding,
        most: usize,
    ) -> Result<Self, Malformed> {
        let mut payloads = Vec::new();
        let mut reader = Reader::new(bytes, "payload chain");
        let mut kind = first;
        while kind != PayloadType::NONE {
            if payloads.len() == most {
                return Err(Malformed::TooMany("payloads"));
            }
            let (next, payload) = parse_payload(kind, &mut reader)?;
            payloads.push(payload);
            kind = next;
        }
        let left = reader.remaining();
        match padding {
            Padding::Block if left <= 16 => {}
            _ => reader.finish()?,
        }
        Ok(Chain { payloads, length: bytes.len() - left })
    }
}

fn parse_payload<'a>(
    kind: PayloadType,
    reader: &mut Reader<'a>,
) -> Result<(PayloadType, Payload<'a>), Malformed> {
    let mut ahead = *reader;
    let next = PayloadType(ahead.u8()?);
    ahead.reserved(1)?;
    let length = usize::from(ahead.u16()?);
    if length < 4 {
        return Err(Malformed::Length("payload"));
    }
    let whole = reader.take(length)?;
    Ok((next, Payload { kind, body: &whole[4..], whole }))
}

/// The payloads of a message by type, each to be taken once.
#[derive(Debug)]
pub struct Payloads<'a>(Vec<Payload<'a>>);

impl<'a> Payloads<'a> {
    /// All payloads of `chain`.
    pub fn new(chain: Chain<'a>) -> Self {
        Payloads(chain.payloads)
    }

    /// The one payload of type `kind`, if there is one.
    ///
    /// # Errors
    /// [`Misbehaved::DuplicatePayload`].
    pub fn take_optional(&mut self, kind: PayloadType) -> Result<Option<Payload<'a>>, Error> {
        let Some(position) = self.0.iter().position(|payload| payload.kind == kind) else { return Ok(None) };
        let payload = self.0.remove(position);
        match self.0.iter().any(|other| other.kind == kind) {
            true => Err(Misbehaved::DuplicatePayload(kind).into()),
            false => Ok(Some(payload)),
        }
    }

    /// The one payload of type `kind`.
    ///
    /// # Errors
    /// [`Misbehaved::MissingPayload`], [`Misbehaved::DuplicatePayload`].
    pub fn take(&mut self, kind: PayloadType) -> Result<Payload<'a>, Error> {
        self.take_optional(kind)?.ok_or(Misbehaved::MissingPayload(kind).into())
    }

    /// All payloads of type `kind`, for those that may repeat.
    pub fn take_all(&mut self, kind: PayloadType) -> Vec<Payload<'a>> {
        let (taken, left) = self.0.drain(..).partition(|payload| payload.kind == kind);
        self.0 = left;
        taken
    }

    /// The end: everything was taken.
    ///
    /// # Errors
    /// [`Misbehaved::UnexpectedPayload`] names the first that was not.
    pub fn finish(self) -> Result<(), Error> {
        match self.0.first() {
            Some(payload) => Err(Misbehaved::UnexpectedPayload(payload.kind).into()),
            None => Ok(()),
        }
    }
}

/// Payloads in the making: each behind its generic header, and named in that of the one before it.
pub(super) struct ChainWriter<'w> {
    writer: &'w mut Writer,
    /// Where the octet stands that names the next one.
    next: Option<usize>,
}

impl<'w> ChainWriter<'w> {
    /// The type of the first goes into the octet at `first`, where this writer wrote it.
    pub(super) fn new(writer: &'w mut Writer, first: Option<usize>) -> Self {
        ChainWriter { writer, next: first }
    }

    /// One more; its body is what is written until the guard goes.
    pub(super) fn payload(&mut self, kind: PayloadType) -> Length<'_> {
        if let Some(next) = self.next {
            self.writer.set(next, kind.0);
        }
        let start = self.writer.position();
        self.next = Some(start);
        self.writer.u8(PayloadType::NONE.0);
        self.writer.u8(0);
        self.writer.length_u16_from(start, "payload")
    }
}

/// Payloads with their generic headers, chained; zeroed on drop because bodies may be keys.
/// The type of the first goes into what stands before.
///
/// # Errors
/// As [`Writer::finish`]: a body of more than 65,531 octets.
pub fn emit_chain(payloads: &[(PayloadType, &[u8])]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let length = payloads.iter().map(|(_, body)| body.len() + 4).sum();
    Writer::secret(length, |out| write_chain(out, payloads))
}

/// Writes what [`emit_chain`] gives.
pub(crate) fn write_chain(out: &mut Writer, payloads: &[(PayloadType, &[u8])]) {
    let mut chain = ChainWriter::new(out, None);
    payloads.iter().for_each(|(kind, body)| chain.payload(*kind).raw(body));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let bytes = emit_chain(&[(PayloadType::NONCE, &[1, 2, 3]), (PayloadType::ID, &[])]).unwrap();
        assert_eq!(*bytes, [5, 0, 0, 7, 1, 2, 3, 0, 0, 0, 4]);
        let chain = Chain::parse(PayloadType::NONCE, &bytes, Padding::None).unwrap();
        assert_eq!(chain.length, 11);
        assert_eq!(chain.payloads[0].body, [1, 2, 3]);
        assert_eq!(chain.payloads[1], Payload { kind: PayloadType::ID, body: &[], whole: &[0, 0, 0, 4] });
    }

    #[test]
    fn bodies_are_never_cut() {
        let emit = |length| emit_chain(&[(PayloadType::SA, &vec![1; length]), (PayloadType::ID, &[])]);
        assert_eq!(emit(65_531).unwrap()[..5], [5, 0, 255, 255, 1]);
        assert_eq!(emit(65_532), Err(Malformed::Length("payload")));
    }

    #[test]
    fn padding_only_where_it_belongs() {
        let bytes = [0, 0, 0, 4, 0, 0];
        assert_eq!(Chain::parse(PayloadType::HASH, &bytes, Padding::Block).unwrap().length, 4);
        let refused = Err(Malformed::TrailingBytes("payload chain"));
        assert_eq!(Chain::parse(PayloadType::HASH, &bytes, Padding::None), refused);
        assert_eq!(Chain::parse(PayloadType::NONE, &[0; 17], Padding::Block), refused);
    }

    #[test]
    fn rejects() {
        let parse =
            |bytes: &'static [u8]| Chain::parse(PayloadType::HASH, bytes, Padding::Block).unwrap_err();
        assert_eq!(parse(&[0, 0, 0, 3]), Malformed::Length("payload"));
        assert_eq!(parse(&[0, 0, 0, 0]), Malformed::Length("payload"));
        assert_eq!(parse(&[0, 0, 0, 5]), Malformed::Truncated("payload chain"));
        assert_eq!(parse(&[0, 1, 0, 4]), Malformed::Reserved("payload chain"));
        assert_eq!(parse(&[8, 0, 0, 4]), Malformed::Truncated("payload chain"));
        let endless = [8u8, 0, 0, 4].repeat(MAX_PAYLOADS + 1);
        let result = Chain::parse(PayloadType::HASH, &endless, Padding::None);
        assert_eq!(result, Err(Malformed::TooMany("payloads")));
    }

    #[test]
    fn each_payload_is_taken_once() {
        let bytes =
            emit_chain(&[(PayloadType::NONCE, &[]), (PayloadType::ID, &[]), (PayloadType::ID, &[])]).unwrap();
        let chain = Chain::parse(PayloadType::NONCE, &bytes, Padding::None).unwrap();
        let mut payloads = Payloads::new(chain.clone());
        assert_eq!(payloads.take(PayloadType::ID), Err(Misbehaved::DuplicatePayload(PayloadType::ID).into()));
        let mut payloads = Payloads::new(chain);
        assert!(payloads.take(PayloadType::NONCE).is_ok());
        assert_eq!(
            payloads.take(PayloadType::NONCE),
            Err(Misbehaved::MissingPayload(PayloadType::NONCE).into())
        );
        assert_eq!(payloads.finish(), Err(Misbehaved::UnexpectedPayload(PayloadType::ID).into()));
    }
}
