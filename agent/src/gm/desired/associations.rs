//! Security associations: which there are, and how long they live.

use crate::config::SIDS_PER_INTERFACE;
use crate::gm::senders::Senders;
use gdoi::endpoint::Instant;
use gdoi::policy::{EspKeys, Selector, SharedKeys, Spi, SpiBlock, TekKeys, Transform};
use gdoi::{SenderSa, Traffic, View};
use std::collections::BTreeSet;
use std::time::Duration;
use xfrm::{Family, Lane, Replay, Sa, Slot};

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
    keys.filter_map(|sa| SpiBlock::of_senders(sa.spi)).collect()
}

/// What is received with in these families.
///
/// # Errors
/// A key that does not fit its transform.
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
                Some(keys) => states.push(state(sa, sa.spi, (*family, Lane::Unicast), keys, now)),
                None => {
                    let heard = senders.under(place.slot, *family, sa.spi);
                    states
                        .extend(heard.map(|sender| sender_state(sa, sender, (*family, Lane::Unicast), now)));
                }
            }
        }
    }
    Ok(states)
}

/// What is sent with in these families; nothing in one for which there is no sender identifier.
///
/// # Errors
/// A key that does not fit its transform.
pub fn outbound(view: &View, place: Place, families: &[Family], now: Instant) -> Result<Vec<Sa>, String> {
    let Some(sa) = &view.outbound else { return Ok(Vec::new()) };
    if shared(sa)?.is_some() {
        return outbound_shared(view, sa, families, now);
    }
    let mine = view.sids.iter().skip(place.interface * usize::from(SIDS_PER_INTERFACE)).zip(LANES);
    let mine =
        mine.filter_map(|(sid, lane)| Some((sid, lane.filter(|(family, _)| families.contains(family))?)));
    Ok(mine.filter_map(|(sid, lane)| Some(sender_state(sa, &sa.sender(*sid)?, lane, now))).collect())
}

/// With keys that all share: one for all, or those of single entries, each once.
fn outbound_shared(
    view: &View,
    whole: &gdoi::Sa,
    families: &[Family],
    now: Instant,
) -> Result<Vec<Sa>, String> {
    let mut sas: Vec<_> = view.apart.iter().filter_map(|traffic| traffic.outbound.as_ref()).collect();
    if view.apart.is_empty() {
        sas.push(whole);
    }
    let mut seen = BTreeSet::new();
    let mut states = Vec::new();
    for sa in sas.into_iter().filter(|sa| seen.insert(sa.spi)) {
        let lanes = LANES.into_iter().flatten().filter(|(family, _)| families.contains(family));
        let keys = shared(sa)?;
        states.extend(lanes.filter_map(|lane| Some(state(sa, sa.spi, lane, keys.clone()?, now))));
    }
    Ok(states)
}

/// Which state sends which entry, where entries have keys of their own.
pub fn apart(view: &View) -> Vec<(Selector, Option<Spi>)> {
    let spi = |traffic: &Traffic| traffic.outbound.as_ref().map(|sa| sa.spi);
    view.apart.iter().map(|traffic| (traffic.selector, spi(traffic))).collect()
}

/// A state for a sender that is heard for the first time, with this sequence number.
pub fn newcomer(sa: &gdoi::Sa, sender: &SenderSa, family: Family, sequence: u64, now: Instant) -> Sa {
    let mut state = sender_state(sa, sender, (family, Lane::Unicast), now);
    if let Replay::Window { size, .. } = state.replay {
        state.replay = Replay::under_way(size, sequence);
    }
    state
}

fn sender_state(sa: &gdoi::Sa, sender: &SenderSa, lane: (Family, Lane), now: Instant) -> Sa {
    state(sa, sender.spi, lane, EspKeys::Sender(sender.key.clone()), now)
}

fn state(sa: &gdoi::Sa, spi: Spi, (family, lane): (Family, Lane), keys: EspKeys, now: Instant) -> Sa {
    let replay = match sa.replay_window {
        0 => Replay::Off,
        size => Replay::Window { size, high: 0 },
    };
    let hard_lifetime = Some(sa.expires.saturating_since(now) + GRACE);
    Sa { spi, family, lane, keys, replay, hard_lifetime }
}

/// None where every sender has its own key.
fn shared(sa: &gdoi::Sa) -> Result<Option<EspKeys>, String> {
    let (TekKeys::Shared { encryption, integrity }, Transform::Shared { cipher, integrity: mac }) =
        (&sa.keys, sa.transform)
    else {
        return Ok(None);
    };
    match SharedKeys::new((cipher, encryption.clone()), (mac, integrity.clone())) {
        Ok(keys) => Ok(Some(EspKeys::Shared(keys))),
        Err(error) => Err(error.to_string()),
    }
}
