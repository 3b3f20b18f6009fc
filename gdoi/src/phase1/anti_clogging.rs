//! Responder cookies that make an answer to a first message possible without remembering it (RFC 2408 section 2.5.3, the
//! "anti-clogging token").
//!
//! ```text
//! | half-minute | announced (4) |      which offer (21)      |                   proof (38)                    |
//!       (1)
//! ```
//!
//! The proof is a keyed hash of all that an answer follows from: the peer's address and port, its cookie, what it announced
//! and offered, and which of its transforms was chosen. Who comes back with the cookie hears us at that address, and the
//! exchange goes on from what the cookie says. Main Mode's later messages do not repeat the SA payload, which HASH_I
//! covers: the cookie names it. The secret changes each half-minute; the one before it is good as well.
//!
//! # Why 38 bits
//! Who guesses a proof gets one exchange that a peer with an address of its own gets for the asking. At 50,000 guesses each
//! second that happens once in two months.

use super::opening::Opening;
use super::{Announced, Cookies};
use crate::crypto::prf::prf;
use crate::crypto::{DhGroup, Hash, Secret};
use crate::endpoint::Instant;
use crate::policy::{Doi, Proposal};
use crate::wire::{Cookie, Phase1Sa};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a secret makes cookies; they are good for as long again.
const HALF_MINUTE: u64 = 30_000;
const PROOF_BITS: u32 = 38;
const OFFER_BITS: u32 = 21;

const OURS: u32 = 1;
const DPD: u32 = 2;
const FRAGMENTS: u32 = 4;

/// Makes cookies and knows them again.
pub(crate) struct AntiClogging {
    /// That of a half-minute is derived from this one.
    secret: Secret,
}

/// How a cookie names an SA payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfferName {
    /// What a member of this implementation sends: this one proposal. The life is in whole minutes, up to a week.
    One(Doi, Proposal),
    /// All that this side accepts: a cooperating server that is configured alike.
    All,
    /// One that this side remembers in this place.
    Remembered(u16),
}

/// What a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Which offer.
    pub(crate) offer: OfferName,
    /// What the peer announced with it.
    pub(crate) announced: Announced,
}

impl AntiClogging {
    pub(crate) const fn new(secret: Secret) -> Self {
        AntiClogging { secret }
    }

    /// The cookie that answers this first message of `peer`, whose offer goes by this name.
    pub(crate) fn cookie(
        &self,
        peer: SocketAddr,
        opening: &Opening,
        offer: OfferName,
        now: Instant,
    ) -> Cookie {
        self.of(half_minute(now), peer, opening, offer)
    }

    /// Whether the responder's cookie answers that first message of `peer`, as far as the cookie itself named it.
    pub(crate) fn knows(
        &self,
        peer: SocketAddr,
        cookies: Cookies,
        opening: &Opening,
        offer: OfferName,
        now: Instant,
    ) -> bool {
        let newest = half_minute(now);
        let said = u64::from_be_bytes(cookies.responder.0) >> 63;
        let made = if newest & 1 == said { newest } else { newest.wrapping_sub(1) };
        Secret::from(&self.of(made, peer, opening, offer).0[..]).matches(&cookies.responder.0)
    }

    fn of(&self, made: u64, peer: SocketAddr, opening: &Opening, offer: OfferName) -> Cookie {
        let said = ((made as u32 & 1) << 4 | flags(opening.announced)) << OFFER_BITS | offer.number();
        let secret = prf(Hash::Sha256, &self.secret, &[&made.to_be_bytes()]);
        let address = match peer.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let parts: [&[u8]; 6] = [
            &address,
            &peer.port().to_be_bytes(),
            &opening.initiator.0,
            &said.to_be_bytes(),
            &[opening.choice()],
            &opening.sai_b,
        ];
        let proof = prf(Hash::Sha256, &secret, &parts);
        let proof = proof.expose().first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets));
        Cookie((u64::from(said) << PROOF_BITS | proof >> (64 - PROOF_BITS)).to_be_bytes())
    }
}

impl Named {
    /// What a cookie claims: [`AntiClogging::knows`] tells whether it is true.
    pub(crate) fn by(cookie: Cookie) -> Option<Self> {
        let said = (u64::from_be_bytes(cookie.0) >> PROOF_BITS) as u32;
        let flags = said >> OFFER_BITS;
        let announced =
            Announced { ours: flags & OURS != 0, dpd: flags & DPD != 0, fragments: flags & FRAGMENTS != 0 };
        Some(Named { offer: OfferName::numbered(said & ((1 << OFFER_BITS) - 1))?, announced })
    }
}

const fn half_minute(now: Instant) -> u64 {
    now.as_millis() / HALF_MINUTE
}

fn flags(announced: Announced) -> u32 {
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    flag(announced.ours, OURS) | flag(announced.dpd, DPD) | flag(announced.fragments, FRAGMENTS)
}

const DOIS: [Doi; 2] = [Doi::Ipsec, Doi::Gdoi];
const KEY_LENGTHS: [usize; 3] = [16, 24, 32];
const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
const LONGEST: u64 = 7 * 24 * 60;
/// Every proposal that has a number, under either DOI.
const PROPOSALS: u64 = (DOIS.len() * KEY_LENGTHS.len() * HASHES.len() * DhGroup::ALL.len()) as u64 * LONGEST;
const ALL: u64 = PROPOSALS + 1;
const FIRST_REMEMBERED: u64 = ALL + 1;

impl OfferName {
    /// The name of an offer that needs no memory.
    pub(crate) fn of(offer: &Phase1Sa, sai_b: &[u8], accepted: &[Proposal]) -> Option<Self> {
        let is = |proposals: &[Proposal], doi| {
            Phase1Sa::new(doi, proposals).emit().is_ok_and(|emitted| emitted == sai_b)
        };
        match &offer.transforms[..] {
            [only] => {
                let proposal = only.proposal.filter(|proposal| number(offer.doi, proposal).is_some())?;
                is(&[proposal], offer.doi).then_some(OfferName::One(offer.doi, proposal))
            }
            several if several.len() == accepted.len() => is(accepted, Doi::Gdoi).then_some(OfferName::All),
            _ => None,
        }
    }

    /// The body of the SA payload, unless it is a remembered one.
    pub(crate) fn body(self, accepted: &[Proposal]) -> Option<Vec<u8>> {
        match self {
            OfferName::One(doi, proposal) => Phase1Sa::new(doi, &[proposal]).emit().ok(),
            OfferName::All => Phase1Sa::new(Doi::Gdoi, accepted).emit().ok(),
            OfferName::Remembered(_) => None,
        }
    }

    /// Never zero, so that no cookie is.
    fn number(self) -> u32 {
        let number = match self {
            OfferName::One(doi, proposal) => number(doi, &proposal).unwrap_or_default(),
            OfferName::All => ALL,
            OfferName::Remembered(place) => FIRST_REMEMBERED + u64::from(place),
        };
        number as u32
    }

    fn numbered(number: u32) -> Option<Self> {
        match u64::from(number) {
            0 => None,
            number @ 1..=PROPOSALS => proposal(number),
            ALL => Some(OfferName::All),
            number => u16::try_from(number - FIRST_REMEMBERED).ok().map(OfferName::Remembered),
        }
    }
}

/// From 1 to [`PROPOSALS`].
fn number(doi: Doi, proposal: &Proposal) -> Option<u64> {
    let seconds = proposal.lifetime.as_secs();
    let minutes =
        (seconds % 60 == 0).then_some(seconds / 60).filter(|minutes| (1..=LONGEST).contains(minutes))?;
    let places = [
        (DOIS.iter().position(|known| *known == doi)?, DOIS.len()),
        (KEY_LENGTHS.iter().position(|known| *known == proposal.key_len)?, KEY_LENGTHS.len()),
        (HASHES.iter().position(|known| *known == proposal.hash)?, HASHES.len()),
        (DhGroup::ALL.iter().position(|known| *known == proposal.group)?, DhGroup::ALL.len()),
    ];
    let algorithms = places.iter().fold(0, |number, (place, of)| number * *of as u64 + *place as u64);
    Some(algorithms * LONGEST + minutes)
}

/// Undoes [`number`].
fn proposal(number: u64) -> Option<OfferName> {
    let (algorithms, minutes) = ((number - 1) / LONGEST, (number - 1) % LONGEST + 1);
    let mut rest = algorithms as usize;
    let mut digit = |of: usize| {
        let place = rest % of;
        rest /= of;
        place
    };
    let group = *DhGroup::ALL.get(digit(DhGroup::ALL.len()))?;
    let hash = *HASHES.get(digit(HASHES.len()))?;
    let key_len = *KEY_LENGTHS.get(digit(KEY_LENGTHS.len()))?;
    let doi = *DOIS.get(digit(DOIS.len()))?;
    Some(OfferName::One(doi, Proposal { key_len, hash, group, lifetime: Duration::from_secs(minutes * 60) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase1::tests::{first_of, settings_with};

    const NOW: Instant = Instant::from_millis(1_000_000);
    const FOREIGN: Announced = Announced { ours: false, dpd: false, fragments: false };

    fn every() -> impl Iterator<Item = (Doi, Proposal)> {
        DOIS.into_iter().flat_map(|doi| {
            KEY_LENGTHS.into_iter().flat_map(move |key_len| {
                HASHES.into_iter().flat_map(move |hash| {
                    DhGroup::ALL.into_iter().flat_map(move |group| {
                        [1, 5, 60, 1440, LONGEST].into_iter().map(move |minutes| {
                            let lifetime = Duration::from_secs(minutes * 60);
                            (doi, Proposal { key_len, hash, group, lifetime })
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn every_offer_of_our_members_has_a_name_of_its_own() {
        let mut numbers = std::collections::BTreeSet::new();
        for (doi, proposal) in every() {
            let body = Phase1Sa::new(doi, &[proposal]).emit().unwrap();
            let offer = Phase1Sa::parse(&body).unwrap();
            let name = OfferName::of(&offer, &body, &[]).unwrap();
            assert_eq!(name, OfferName::One(doi, proposal));
            assert_eq!(OfferName::numbered(name.number()), Some(name));
            assert_eq!(name.body(&[]), Some(body));
            assert!(numbers.insert(name.number()));
        }
        assert_eq!(numbers.len(), 2 * 3 * 3 * 6 * 5);
        for name in [OfferName::All, OfferName::Remembered(0), OfferName::Remembered(4_095)] {
            assert_eq!(OfferName::numbered(name.number()), Some(name));
            assert!(name.number() < 1 << OFFER_BITS && numbers.insert(name.number()));
        }
        assert_eq!(OfferName::numbered(0), None);
    }

    #[test]
    fn what_is_said_in_other_octets_has_no_name() {
        let (doi, odd) = (Doi::Gdoi, Proposal { lifetime: Duration::from_secs(61), ..Proposal::default() });
        let name = |body: &[u8], accepted: &[Proposal]| {
            OfferName::of(&Phase1Sa::parse(body).unwrap(), body, accepted)
        };
        assert_eq!(name(&Phase1Sa::new(doi, &[odd]).emit().unwrap(), &[odd]), None);
        let mut renumbered = Phase1Sa::new(doi, &[Proposal::default()]);
        renumbered.number = 2;
        assert_eq!(name(&renumbered.emit().unwrap(), &[]), None);
        let both = [Proposal::default(), odd];
        let list = Phase1Sa::new(doi, &both).emit().unwrap();
        assert_eq!(name(&list, &both), Some(OfferName::All));
        assert_eq!(OfferName::All.body(&both), Some(list.clone()));
        assert_eq!(name(&list, &[odd, Proposal::default()]), None);
        assert_eq!(name(&Phase1Sa::new(Doi::Ipsec, &both).emit().unwrap(), &both), None);
    }

    fn peer(last: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, last], port).into()
    }

    #[test]
    fn a_cookie_is_good_for_what_it_was_made_for() {
        let keyed = AntiClogging::new(Secret::new(vec![7; 32]));
        let accepted = settings_with(vec![Proposal::default()]).proposals;
        let opening = |first: &[u8]| {
            let (header, body) = crate::wire::Header::parse(first).unwrap();
            Opening::parse(&accepted, &header, body).unwrap()
        };
        let (one, other) = (opening(&first_of(1)), opening(&first_of(2)));
        let name = OfferName::of(one.offer(), &one.sai_b, &accepted).unwrap();
        let cookie = keyed.cookie(peer(1, 848), &one, name, NOW);
        let claimed = Named::by(cookie).unwrap();
        assert_eq!((claimed.offer, claimed.announced), (name, one.announced));
        let knows = |from, cookie, opening: &Opening, name, now| {
            let cookies = Cookies { initiator: opening.initiator, responder: cookie };
            keyed.knows(from, cookies, opening, name, now)
        };
        assert!(knows(peer(1, 848), cookie, &one, name, NOW));
        assert!(!knows(peer(2, 848), cookie, &one, name, NOW));
        assert!(!knows(peer(1, 849), cookie, &one, name, NOW));
        assert!(!knows(peer(1, 848), cookie, &other, name, NOW));
        assert!(!knows(peer(1, 848), cookie, &one, OfferName::All, NOW));
        for bit in 0..64 {
            let changed = Cookie((u64::from_be_bytes(cookie.0) ^ 1 << bit).to_be_bytes());
            assert!(!knows(peer(1, 848), changed, &one, name, NOW), "bit {bit}");
        }
        let foreign = Opening::of(&accepted, one.initiator, &one.sai_b, FOREIGN).unwrap();
        assert!(!knows(peer(1, 848), cookie, &foreign, name, NOW));
        let strange = AntiClogging::new(Secret::new(vec![8; 32]));
        let cookies = Cookies { initiator: one.initiator, responder: cookie };
        assert!(!strange.knows(peer(1, 848), cookies, &one, name, NOW));
    }

    #[test]
    fn a_cookie_lives_for_half_a_minute_at_least_and_a_minute_at_most() {
        let keyed = AntiClogging::new(Secret::new(vec![7; 32]));
        let accepted = [Proposal::default()];
        let first = first_of(1);
        let (header, body) = crate::wire::Header::parse(&first).unwrap();
        let opening = Opening::parse(&accepted, &header, body).unwrap();
        for begun in [0, 1, 29_999, 30_000, 1_000_000, 1_019_999, 1_020_000] {
            let made = Instant::from_millis(begun);
            let responder = keyed.cookie(peer(1, 848), &opening, OfferName::All, made);
            let cookies = Cookies { initiator: opening.initiator, responder };
            let good = |after: u64| {
                let now = made + Duration::from_millis(after);
                keyed.knows(peer(1, 848), cookies, &opening, OfferName::All, now)
            };
            assert!(good(0) && good(15_000) && good(30_000), "{begun}");
            assert!(!good(60_000) && !good(90_000) && !good(3_600_000), "{begun}");
        }
    }
}
