//! A policy as a member reads it from SA and KD payloads: only what this implementation can carry out.

use super::notice::understand_mode;
use super::numbers::{
    ack_of, authentication_number, ESP_AES_CBC, ESP_AES_GCM_16, ESP_CHACHA20_POLY1305, KEK_ALG_AES,
    KEK_IV_LEN, RECEIVER_ONLY, SOURCE_AND_DESTINATION, TUNNEL, UDP,
};
use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::group::{AckType, AclDigest, AclNotice, GroupPolicy, Kek, Tek};
use crate::policy::{
    Aead, Cipher, Family, Integrity, Ports, Prefix, Selector, SendMode, SenderTerms, SidGeneration, Side,
    Spi, TekKeys, Transform, MAX_REPLAY_WINDOW, SID_BITS,
};
use crate::wire::{Gap, GroupSa, IdField, Kd, KeyPacket, PayloadType, SaKek, SaTek};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The policy of an SA payload that this implementation can carry out; keys are still to come.
#[derive(Debug)]
pub(crate) struct Offer {
    acl: AclNotice,
    mode: SendMode,
    teks: Vec<OfferedTek>,
    kek: Option<OfferedKek>,
    gap: Gap,
}

#[derive(Debug, PartialEq)]
struct OfferedTek {
    spi: Spi,
    transform: Transform,
    lifetime: Duration,
    senders: Option<SenderTerms>,
    selectors: Vec<Selector>,
}

#[derive(Debug)]
struct OfferedKek {
    spi: [u8; 16],
    key_len: usize,
    lifetime: Duration,
    signature: SignatureAlgorithm,
    source: SocketAddr,
    destination: SocketAddr,
    ack: Option<AckType>,
}

impl Offer {
    /// Takes the policy in.
    ///
    /// # Errors
    /// An algorithm, mode or combination that is not supported.
    pub(crate) fn understand(sa: &GroupSa) -> Result<Offer, Error> {
        let mut teks: Vec<OfferedTek> = Vec::new();
        for sat in &sa.teks {
            add_selector(&mut teks, sat)?;
        }
        check_blocks(&teks)?;
        let gap = sa.gap.clone().unwrap_or_default();
        let kek = sa.kek.as_ref().map(OfferedKek::understand).transpose()?;
        let acl = AclNotice::understand(sa, &gap, &take_selectors(&mut teks))?;
        Ok(Offer { acl, mode: understand_mode(sa, &gap)?, teks, kek, gap })
    }

    /// The generations of sender IDs that its TEKs go with.
    pub(crate) fn generations(&self) -> impl Iterator<Item = SidGeneration> + '_ {
        self.teks.iter().filter_map(|tek| tek.senders.map(|terms| terms.generation))
    }

    /// The SPIs of its TEKs.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> + '_ {
        self.teks.iter().map(|tek| tek.spi)
    }

    /// The SPI of its KEK.
    pub(super) fn kek_spi(&self) -> Option<[u8; 16]> {
        self.kek.as_ref().map(|kek| kek.spi)
    }

    /// Which ACL it has, where it tells the whole list.
    pub(super) fn acl_digest(&self) -> Option<AclDigest> {
        self.acl.digest()
    }

    /// In a PULL there must be a TEK: section 5.2.1 allows none, but then nothing says which traffic must not
    /// leave in clear. There must be a list as well. SAs that only receive are of servers of this implementation, for
    /// others they mean that the member sends nothing.
    ///
    /// # Errors
    /// [`Misbehaved::MissingPayload`], [`Unacceptable::Unsupported`].
    pub(crate) fn whole(self) -> Result<Offer, Error> {
        match (&self.acl, self.mode) {
            _ if self.teks.is_empty() => Err(Misbehaved::MissingPayload(PayloadType::SAT).into()),
            (AclNotice::Digest(_), _) => Err(Misbehaved::MissingPayload(PayloadType::ACL).into()),
            (AclNotice::Selectors(_), SendMode::ReceiveOnly) => {
                Err(Unacceptable::Unsupported("SA direction", u32::from(RECEIVER_ONLY)).into())
            }
            _ => Ok(self),
        }
    }

    /// Puts the keys to the policy they belong to; every SPI must get its keys and no other may.
    ///
    /// # Errors
    /// [`Misbehaved::KeyMismatch`].
    pub(crate) fn complete(&self, kd: &Kd, sequence: Option<u32>) -> Result<GroupPolicy, Error> {
        let expected = self.teks.len() + usize::from(self.kek.is_some());
        if kd.0.len() != expected {
            return Err(Misbehaved::KeyMismatch("number of key packets").into());
        }
        let delay = |seconds: Option<u16>| seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        Ok(GroupPolicy {
            acl: self.acl.clone(),
            mode: self.mode,
            teks: self.teks.iter().map(|tek| tek.complete(kd)).collect::<Result<_, _>>()?,
            kek: self.kek.as_ref().map(|kek| kek.complete(kd, sequence)).transpose()?,
            activation_delay: delay(self.gap.activation_delay),
            deactivation_delay: delay(self.gap.deactivation_delay),
            pseudotime: self.gap.pseudotime,
        })
    }
}

fn add_selector(teks: &mut Vec<OfferedTek>, sat: &SaTek) -> Result<(), Error> {
    let (tek, selector) = (understand_tek(sat)?, understand_selector(sat)?);
    match teks.iter_mut().find(|known| known.spi == tek.spi) {
        Some(known) if known.terms() != tek.terms() => {
            Err(Misbehaved::KeyMismatch("one SPI with different policies").into())
        }
        Some(known) => {
            known.selectors.push(selector);
            Ok(())
        }
        None => {
            teks.push(OfferedTek { selectors: vec![selector], ..tek });
            Ok(())
        }
    }
}

fn understand_tek(sat: &SaTek) -> Result<OfferedTek, Error> {
    let spi = Spi(sat.spi);
    if !spi.is_usable() {
        return Err(Malformed::Value("TEK SPI").into());
    }
    if sat.lifetime == 0 {
        return Err(Malformed::Value("SA life duration").into());
    }
    for (what, value, supported) in [
        ("encapsulation mode", sat.mode, TUNNEL),
        ("address preservation", sat.preservation, SOURCE_AND_DESTINATION),
    ] {
        if value != supported {
            return Err(Unacceptable::Unsupported(what, u32::from(value)).into());
        }
    }
    let transform = understand_transform(sat)?;
    let lifetime = Duration::from_secs(u64::from(sat.lifetime));
    let senders = understand_senders(transform, sat)?;
    Ok(OfferedTek { spi, transform, lifetime, senders, selectors: Vec::new() })
}

fn understand_transform(sat: &SaTek) -> Result<Transform, Error> {
    let cipher = match (sat.transform, sat.key_bits) {
        (ESP_AES_CBC, 128) => Cipher::AesCbc128,
        (ESP_AES_CBC, 256) => Cipher::AesCbc256,
        (ESP_AES_GCM_16, 128) => return understand_aead(Aead::AesGcm128, sat),
        (ESP_AES_GCM_16, 256) => return understand_aead(Aead::AesGcm256, sat),
        (ESP_CHACHA20_POLY1305, 0) => return understand_aead(Aead::ChaCha20Poly1305, sat),
        (ESP_CHACHA20_POLY1305, bits) => {
            return Err(Unacceptable::Unsupported("ChaCha20 key length", u32::from(bits)).into())
        }
        (ESP_AES_CBC | ESP_AES_GCM_16, bits) => {
            return Err(Unacceptable::Unsupported("AES key length", u32::from(bits)).into())
        }
        (other, _) => return Err(Unacceptable::Unsupported("ESP transform", u32::from(other)).into()),
    };
    let known = [Integrity::HmacSha256, Integrity::HmacSha384, Integrity::HmacSha512];
    let integrity =
        known.into_iter().find(|integrity| authentication_number(*integrity) == sat.authentication);
    let unsupported =
        Unacceptable::Unsupported("ESP authentication algorithm", u32::from(sat.authentication));
    Ok(Transform::Shared { cipher, integrity: integrity.ok_or(unsupported)? })
}

/// A counter mode that says nothing of its senders would have them share a key and repeat nonces.
fn understand_aead(aead: Aead, sat: &SaTek) -> Result<Transform, Error> {
    match (sat.authentication, sat.senders) {
        (0, Some(_)) => Ok(Transform::PerSender(aead)),
        (0, None) => {
            Err(Unacceptable::Unsupported("one key for all senders with ESP transform", sat.transform.into())
                .into())
        }
        (other, _) => Err(Unacceptable::Unsupported("ESP authentication algorithm", u32::from(other)).into()),
    }
}

fn understand_senders(transform: Transform, sat: &SaTek) -> Result<Option<SenderTerms>, Error> {
    let Some(fields) = sat.senders else { return Ok(None) };
    if !transform.is_per_sender() {
        return Err(Misbehaved::KeyMismatch("one key for all senders that have their own").into());
    }
    if fields.bits != SID_BITS {
        return Err(Unacceptable::Unsupported("number of SID bits", fields.bits.into()).into());
    }
    if !Spi(sat.spi).is_block_base() {
        return Err(Malformed::Value("TEK SPI").into());
    }
    match fields.replay_window {
        window @ 0..=MAX_REPLAY_WINDOW => {
            Ok(Some(SenderTerms { generation: fields.generation, replay_window: window }))
        }
        window => Err(Unacceptable::Unsupported("replay window", window.into()).into()),
    }
}

fn understand_selector(sat: &SaTek) -> Result<Selector, Error> {
    let side = |field: &IdField, prefix| Side { prefix, ports: field.as_port().map(Ports::one) };
    let destination = sat.destination.as_prefix()?;
    let source = match is_any_sender(&sat.source) {
        true => Prefix::any(destination.family()),
        false => sat.source.as_prefix()?,
    };
    let protocol = (sat.protocol != 0).then_some(sat.protocol);
    let (source, destination) = (side(&sat.source, source), side(&sat.destination, destination));
    if let (None, Some(ports)) = (protocol, source.ports.or(destination.ports)) {
        let port = ports.single().unwrap_or_default();
        return Err(Unacceptable::Unsupported(
            "traffic selector without a protocol and with port",
            port.into(),
        )
        .into());
    }
    Selector::new(protocol, source, destination).map_err(|_| Malformed::Value("traffic selector").into())
}

/// "Set to 3 octets or zero for multiple-source multicast groups that use a common TEK for all senders" (section 5.5.1).
fn is_any_sender(field: &IdField) -> bool {
    field.data.is_empty() || field.data == [0; 3]
}

/// No SPI means two things.
fn check_blocks(teks: &[OfferedTek]) -> Result<(), Misbehaved> {
    let inside = |block: &OfferedTek, tek: &OfferedTek| tek.spi != block.spi && tek.spi.block() == block.spi;
    let mut blocks = teks.iter().filter(|tek| tek.senders.is_some());
    match blocks.any(|block| teks.iter().any(|tek| inside(block, tek))) {
        true => Err(Misbehaved::KeyMismatch("SPI of a TEK in the block of another")),
        false => Ok(()),
    }
}

/// What the TEKs are for: the group's one list, which they need not name any more, or each its own part of it.
fn take_selectors(teks: &mut [OfferedTek]) -> Vec<Selector> {
    let Some((first, rest)) = teks.split_first_mut() else { return Vec::new() };
    if rest.iter().all(|tek| tek.selectors == first.selectors) {
        rest.iter_mut().for_each(|tek| tek.selectors.clear());
        return std::mem::take(&mut first.selectors);
    }
    let mut seen = HashSet::new();
    teks.iter().flat_map(|tek| &tek.selectors).copied().filter(|selector| seen.insert(*selector)).collect()
}

impl OfferedTek {
    /// All but the selectors: what the SATs of one SPI must agree in.
    const fn terms(&self) -> (Transform, Duration, Option<SenderTerms>) {
        (self.transform, self.lifetime, self.senders)
    }

    fn complete(&self, kd: &Kd) -> Result<Tek, Error> {
        let keys = kd.0.iter().find_map(|packet| match packet {
            KeyPacket::Tek { spi, encryption, integrity } if *spi == self.spi.0 => {
                Some(TekKeys::Shared { encryption: encryption.clone(), integrity: integrity.clone() })
            }
            KeyPacket::Seed { spi, seed } if *spi == self.spi.0 => Some(TekKeys::PerSender(seed.clone())),
            _ => None,
        });
        let keys = keys.ok_or(Misbehaved::KeyMismatch("no key for a TEK"))?;
        let (transform, lifetime, senders) = self.terms();
        match keys.fit(transform) {
            true => {
                let selectors = self.selectors.clone();
                Ok(Tek { spi: self.spi, transform, keys, senders, lifetime, selectors })
            }
            false => Err(Misbehaved::KeyMismatch("kind or length of a TEK").into()),
        }
    }
}

impl OfferedKek {
    fn understand(sak: &SaKek) -> Result<Self, Error> {
        let key_len = match (sak.algorithm, sak.key_bits) {
            (KEK_ALG_AES, 128) => 16,
            (KEK_ALG_AES, 256) => 32,
            (KEK_ALG_AES, bits) => {
                return Err(Unacceptable::Unsupported("KEK key length", u32::from(bits)).into())
            }
            (other, _) => return Err(Unacceptable::Unsupported("KEK algorithm", u32::from(other)).into()),
        };
        if sak.protocol != UDP {
            return Err(Unacceptable::Unsupported("rekey protocol", u32::from(sak.protocol)).into());
        }
        if sak.lifetime == 0 {
            return Err(Malformed::Value("KEK_KEY_LIFETIME").into());
        }
        let destination = rekey_address(&sak.destination)?;
        let source = match is_any_sender(&sak.source) {
            true => SocketAddr::new(Prefix::any(Family::of(destination.ip())).address(), sak.source.port),
            false => rekey_address(&sak.source)?,
        };
        Ok(OfferedKek {
            spi: sak.spi,
            key_len,
            lifetime: Duration::from_secs(u64::from(sak.lifetime)),
            signature: understand_signature(sak)?,
            source,
            destination,
            ack: ack_of(sak.ack_requested),
        })
    }

    fn complete(&self, kd: &Kd, sequence: Option<u32>) -> Result<Kek, Error> {
        let packet = kd.0.iter().find_map(|packet| match packet {
            KeyPacket::Kek { spi, key, verification_key } if *spi == self.spi => {
                Some((key, verification_key))
            }
            _ => None,
        });
        let (key, verification) = packet.ok_or(Misbehaved::KeyMismatch("no key for the KEK"))?;
        if key.len() != KEK_IV_LEN + self.key_len {
            return Err(Misbehaved::KeyMismatch("length of the KEK").into());
        }
        let verification = PublicKey::from_spki(self.signature, verification);
        Ok(Kek {
            spi: self.spi,
            key: key.clone(),
            lifetime: self.lifetime,
            signature: self.signature,
            verification: verification.map_err(|_| Misbehaved::KeyMismatch("verification key"))?,
            source: self.source,
            destination: self.destination,
            ack: self.ack,
            sequence: sequence.ok_or(Misbehaved::MissingPayload(PayloadType::SEQ))?,
        })
    }
}

fn understand_signature(sak: &SaKek) -> Result<SignatureAlgorithm, Unacceptable> {
    let (algorithm, hash) = (sak.signature_algorithm, sak.signature_hash);
    let known = |hash| SignatureAlgorithm::from_numbers(algorithm, hash);
    let supported = || [None, Some(3), Some(4), Some(5)].into_iter().any(|hash| known(hash).is_some());
    known((hash != 0).then_some(hash)).ok_or_else(|| match supported() {
        true => Unacceptable::Unsupported("signature hash algorithm", hash.into()),
        false => Unacceptable::Unsupported("signature algorithm", algorithm.into()),
    })
}

/// One address, or any, which is unspecified.
fn rekey_address(field: &IdField) -> Result<SocketAddr, Error> {
    let prefix = field.as_prefix()?;
    match prefix == Prefix::host(prefix.address()) || prefix.length() == 0 {
        true => Ok(SocketAddr::new(prefix.address(), field.port)),
        false => Err(Unacceptable::Unsupported("rekey address prefix", u32::from(prefix.length())).into()),
    }
}
