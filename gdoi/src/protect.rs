//! What an established ISAKMP SA does to messages: encryption with the chain of vectors that RFC 2409
//! appendix B prescribes, and the HASH payload in front.

use crate::crypto::cbc::{self, Block, BLOCK};
use crate::crypto::Secret;
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::wire::{write_chain, Chain, Flags, Header, Padding, PayloadType, Payloads, Writer};
use zeroize::Zeroizing;

/// A message ready to send, and the vector for the next one of its exchange.
pub(crate) struct Sealed {
    pub(crate) message: Vec<u8>,
    pub(crate) next_iv: Block,
}

/// Encrypts `payloads` behind `header`, filled up with zeros to whole blocks; the header's next payload, flag
/// and length are set here.
pub(crate) fn seal(
    header: Header,
    key: &Secret,
    iv: &Block,
    payloads: &[(PayloadType, &[u8])],
) -> Result<Sealed, Error> {
    let length: usize = payloads.iter().map(|(_, body)| body.len() + 4).sum();
    let mut body = Writer::secret(length.next_multiple_of(BLOCK), |out| {
        write_chain(out, payloads);
        out.pad(BLOCK);
    })?;
    let next_iv = cbc::encrypt(key, iv, &mut body)?;
    let next = payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
    let message = Header { next, flags: Flags::ENCRYPTED, ..header }.emit(&body)?;
    Ok(Sealed { message, next_iv })
}

/// A decrypted message whose hash is not checked yet; zeroed on drop.
pub(crate) struct Opened {
    plain: Zeroizing<Vec<u8>>,
    first: PayloadType,
    pub(crate) next_iv: Block,
}

/// Decrypts the body of a message.
pub(crate) fn open(header: &Header, body: &[u8], key: &Secret, iv: &Block) -> Result<Opened, Error> {
    if !header.flags.is_encrypted() {
        return Err(Misbehaved::Encryption.into());
    }
    let mut plain = Zeroizing::new(body.to_vec());
    let next_iv = cbc::decrypt(key, iv, &mut plain).map_err(|_| Unauthenticated::Decryption)?;
    Ok(Opened { plain, first: header.next, next_iv })
}

impl Opened {
    /// The payloads in order. A wrong key shows as a chain that cannot be parsed.
    pub(crate) fn chain(&self) -> Result<Chain<'_>, Error> {
        Chain::parse(self.first, &self.plain, Padding::Block).map_err(|_| Unauthenticated::Decryption.into())
    }

    /// The octets that were encrypted.
    pub(crate) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The payloads by type.
    pub(crate) fn payloads(&self) -> Result<Payloads<'_>, Error> {
        Ok(Payloads::new(self.chain()?))
    }

    /// The payloads behind the HASH payload, which must come first and be what `expected` makes of the octets
    /// from its end to the end of the chain.
    pub(crate) fn authenticated(
        &self,
        expected: impl FnOnce(&[u8]) -> Secret,
    ) -> Result<Payloads<'_>, Error> {
        let mut chain = self.chain()?;
        if chain.payloads.first().map(|payload| payload.kind) != Some(PayloadType::HASH) {
            return Err(Unauthenticated::Decryption.into());
        }
        let hash = chain.payloads.remove(0);
        let rest = &self.plain[hash.whole.len()..chain.length];
        match expected(rest).matches(hash.body) {
            true => Ok(Payloads::new(chain)),
            false => Err(Unauthenticated::Hash.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Malformed;
    use crate::wire::{emit_chain, Cookie, ExchangeType};

    fn header() -> Header {
        Header {
            initiator: Cookie([1; 8]),
            responder: Cookie([2; 8]),
            next: PayloadType::NONE,
            exchange: ExchangeType::GROUPKEY_PULL,
            flags: Flags::NONE,
            message_id: 7,
        }
    }

    fn key() -> Secret {
        Secret::new(vec![5; 32])
    }

    #[test]
    fn round_trip_with_the_hash_over_the_rest() {
        let rest = emit_chain(&[(PayloadType::NONCE, &[7; 16])]).unwrap();
        let hash = Secret::new(vec![9; 32]);
        let payloads = [(PayloadType::HASH, hash.expose()), (PayloadType::NONCE, &[7; 16])];
        let sealed = seal(header(), &key(), &[3; 16], &payloads).unwrap();
        let (parsed, body) = Header::parse(&sealed.message).unwrap();
        assert_eq!((parsed.next, parsed.flags, body.len()), (PayloadType::HASH, Flags::ENCRYPTED, 64));
        let opened = open(&parsed, body, &key(), &[3; 16]).unwrap();
        assert_eq!(opened.next_iv, sealed.next_iv);
        let check = |seen: &[u8]| {
            assert_eq!(seen, &rest[..]);
            hash.clone()
        };
        assert_eq!(opened.authenticated(check).unwrap().take(PayloadType::NONCE).unwrap().body, [7; 16]);
        let wrong = opened.authenticated(|_| Secret::new(vec![8; 32])).unwrap_err();
        assert_eq!(wrong, Unauthenticated::Hash.into());
    }

    #[test]
    fn what_does_not_fit_into_a_payload_is_not_sealed() {
        let long = vec![7; 65_532];
        let sealed = seal(header(), &key(), &[3; 16], &[(PayloadType::COOP, &long)]);
        assert_eq!(sealed.err(), Some(Malformed::Length("payload").into()));
    }

    #[test]
    fn what_was_not_sealed_does_not_open() {
        let sealed = seal(header(), &key(), &[3; 16], &[(PayloadType::NONCE, &[7; 16])]).unwrap();
        let (parsed, body) = Header::parse(&sealed.message).unwrap();
        let clear = Header { flags: Flags::NONE, ..parsed };
        assert_eq!(open(&clear, body, &key(), &[3; 16]).err(), Some(Misbehaved::Encryption.into()));
        let cut = open(&parsed, &body[..20], &key(), &[3; 16]).err();
        assert_eq!(cut, Some(Unauthenticated::Decryption.into()));
        let garbled = open(&parsed, body, &Secret::new(vec![6; 32]), &[3; 16]).unwrap();
        assert_eq!(garbled.payloads().err(), Some(Unauthenticated::Decryption.into()));
        let no_hash = open(&parsed, body, &key(), &[3; 16]).unwrap();
        assert_eq!(no_hash.authenticated(|_| key()).err(), Some(Unauthenticated::Decryption.into()));
    }
}
