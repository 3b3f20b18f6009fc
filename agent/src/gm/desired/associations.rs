//! Security associations in the kernel's form.

use crate::config::SIDS_PER_INTERFACE;
use crate::gm::senders::Senders;
use gdoi::endpoint::Instant;
use gdoi::policy::{Aead, Cipher, Integrity, TekKeys, Transform};
use gdoi::{SenderSa, View};
use std::time::Duration;
use xfrm::{
    AeadKey, Algorithm, EncryptionKey, Family, IntegrityKey, Key, Lane, Replay, Sa, Slot, Spi, SpiBlock,
};

/// How much longer than the key's life the kernel keeps a state that nobody removed.
const GRACE: Duration = Duration::from_secs(2);

/// What sends on one interface, by family and lane, in the order of their sender identifiers.
const LANES: [Option<(Family, Lane)>; SIDS_PER_INTERFACE as usize] = [
    Some((Family::V4, Lane::Unicast)),
    Some((Family::V6, Lane::Unicast)),
    // IPv4 multicast is sent with the state of IPv4 unicast.
    None,
    Some((Family::V6, Lane::Multicast)),
];

/// One place of a group: which of its interfaces, and where in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the interface in the group's list.
    pub interface: usize,
    /// Its plane.
    pub slot: Slot,
}

/// The SPIs of all keys whose senders have their own.
pub fn blocks(view: &View) -> Vec<SpiBlock> {
    let keys = view.inbound.iter().filter(|sa| sa.transform.is_per_sender());
    keys.filter_map(|sa| SpiBlock::new(Spi(sa.spi.0), gdoi::policy::SID_BITS as u8)).collect()
}

/// What is received with in these families.
///
/// # Errors
/// A key that the kernel has no form for.
pub fn inbound(
    view: &View,
    place: Place,
    families: &[Family],
    senders: &Senders,
    now: Instant,
) -> Result<Vec<Sa>, String> {
    let mut states = Vec::new();
    for sa in &view.inbound {
        for family in families {
            match shared(sa)? {
                Some(algorithm) => states.push(state(sa, sa.spi, (*family, Lane::Unicast), algorithm, now)),
                None => {
                    for sender in senders.under(place.slot, *family, sa.spi) {
                        states.push(sender_state(sa, sender, (*family, Lane::Unicast), now)?);
                    }
                }
            }
        }
    }
    Ok(states)
}

/// What is sent with in these families; nothing in one for which there is no sender identifier.
///
/// # Errors
/// A key that the kernel has no form for.
pub fn outbound(view: &View, place: Place, families: &[Family], now: Instant) -> Result<Vec<Sa>, String> {
    let Some(sa) = &view.outbound else { return Ok(Vec::new()) };
    if let Some(algorithm) = shared(sa)? {
        let lanes = LANES.into_iter().flatten().filter(|(family, _)| families.contains(family));
        return Ok(lanes.map(|lane| state(sa, sa.spi, lane, algorithm.clone(), now)).collect());
    }
    let mine = view.sids.iter().skip(place.interface * usize::from(SIDS_PER_INTERFACE)).zip(LANES);
    let mine =
        mine.filter_map(|(sid, lane)| Some((sid, lane.filter(|(family, _)| families.contains(family))?)));
    mine.filter_map(|(sid, lane)| Some(sender_state(sa, &sa.sender(*sid)?, lane, now))).collect()
}

/// A state for a sender that is heard for the first time, with this sequence number.
///
/// # Errors
/// A key that the kernel has no form for.
pub fn newcomer(
    sa: &gdoi::Sa,
    sender: &SenderSa,
    family: Family,
    sequence: u64,
    now: Instant,
) -> Result<Sa, String> {
    let mut state = sender_state(sa, sender, (family, Lane::Unicast), now)?;
    if let Replay::Window { size, .. } = state.replay {
        state.replay = Replay::under_way(size, sequence);
    }
    Ok(state)
}

fn sender_state(sa: &gdoi::Sa, sender: &SenderSa, lane: (Family, Lane), now: Instant) -> Result<Sa, String> {
    let octets = sender.key.expose();
    let key = match sender.aead {
        Aead::AesGcm128 => AeadKey::AesGcm128(key(octets)?),
        Aead::AesGcm256 => AeadKey::AesGcm256(key(octets)?),
        Aead::ChaCha20Poly1305 => AeadKey::ChaCha20Poly1305(key(octets)?),
    };
    Ok(state(sa, sender.spi, lane, Algorithm::Aead(key), now))
}

fn state(
    sa: &gdoi::Sa,
    spi: gdoi::policy::Spi,
    (family, lane): (Family, Lane),
    algorithm: Algorithm,
    now: Instant,
) -> Sa {
    let replay = match sa.replay_window {
        0 => Replay::Off,
        size => Replay::Window { size, high: 0 },
    };
    let hard_lifetime = Some(sa.expires.saturating_since(now) + GRACE);
    Sa { spi: Spi(spi.0), family, lane, algorithm, replay, hard_lifetime }
}

/// None where every sender has its own key.
fn shared(sa: &gdoi::Sa) -> Result<Option<Algorithm>, String> {
    let (TekKeys::Shared { encryption, integrity }, Transform::Shared { cipher, integrity: mac }) =
        (&sa.keys, sa.transform)
    else {
        return Ok(None);
    };
    let (encryption, integrity) = (encryption.expose(), integrity.expose());
    let encryption = match cipher {
        Cipher::AesCbc128 => EncryptionKey::AesCbc128(key(encryption)?),
        Cipher::AesCbc256 => EncryptionKey::AesCbc256(key(encryption)?),
    };
    let integrity = match mac {
        Integrity::HmacSha256 => IntegrityKey::HmacSha256(key(integrity)?),
        Integrity::HmacSha384 => IntegrityKey::HmacSha384(key(integrity)?),
        Integrity::HmacSha512 => IntegrityKey::HmacSha512(key(integrity)?),
    };
    Ok(Some(Algorithm::Cbc { encryption, integrity }))
}

fn key<const N: usize>(octets: &[u8]) -> Result<Key<N>, String> {
    let octets: [u8; N] =
        octets.try_into().map_err(|_| format!("a key has {} octets, not {N}", octets.len()))?;
    Ok(Key::new(octets))
}
