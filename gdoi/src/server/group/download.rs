//! What members get: keys, and the terms that go with them.

use super::Group;
use crate::endpoint::Instant;
use crate::group::{AckType, AclNotice, GroupPolicy, Kek};
use crate::policy::{Family, Prefix};
use crate::server::clock::GroupTime;
use crate::server::keys::GroupKek;
use crate::server::registrant::Registrant;
use crate::server::terms::{RekeyTerms, Terms, Transport};
use std::net::SocketAddr;
use std::time::Duration;

impl Group {
    /// A secondary hands out what the primary's configuration says.
    pub(super) fn terms(&self) -> Terms {
        let shared = self.ledger.state().terms.as_ref().filter(|_| !self.leads());
        shared.map_or_else(|| self.config.terms(), Terms::clone)
    }

    /// What a member gets when it registers.
    pub(in crate::server) fn policy(&self, registrant: &Registrant, now: Instant) -> GroupPolicy {
        let (terms, keys, now) = (self.terms(), self.standing.released(), self.ledger.time(now));
        let ours = registrant.ours;
        let kek = terms.rekey.as_ref().zip(keys.kek.as_ref());
        GroupPolicy {
            teks: keys.as_of(now),
            kek: kek.map(|(rekey, kek)| self.kek_for(rekey, kek, registrant, now)),
            acl: if ours { AclNotice::List(terms.acl) } else { AclNotice::Selectors(terms.acl) },
            mode: terms.mode,
            activation_delay: Some(terms.activation_delay),
            deactivation_delay: Some(terms.deactivation_delay),
            pseudotime: ours.then(|| now.as_millis()),
        }
    }

    /// The KEK as one member gets it in a PULL: with where it speaks from.
    fn kek_for(&self, rekey: &RekeyTerms, kek: &GroupKek, registrant: &Registrant, now: GroupTime) -> Kek {
        let mut kek = self.kek_of(rekey, kek, now);
        if rekey.transport == Transport::Unicast {
            kek.destination = registrant.address;
        }
        // Members of other software may not know what asks for acknowledgements, and must not join then (RFC 6407 section
        // 5.3.2).
        Kek { ack: kek.ack.filter(|_| registrant.ours), ..kek }
    }

    /// The KEK as all members get it in a PUSH: a unicast one cannot name the address of each.
    pub(super) fn kek_of(&self, rekey: &RekeyTerms, kek: &GroupKek, now: GroupTime) -> Kek {
        let (destination, ack) = match rekey.transport {
            Transport::Unicast => (
                SocketAddr::new(Prefix::any(Family::of(self.source.ip())).address(), self.source.port()),
                Some(AckType::KekSha256),
            ),
            Transport::Multicast(group) => (group, None),
        };
        Kek {
            spi: kek.spi,
            key: kek.key.clone(),
            lifetime: Duration::from_secs(kek.expires.saturating_since(now).as_secs().max(1)),
            signature: rekey.signature,
            verification: rekey.verification.clone(),
            source: self.source,
            destination,
            sequence: kek.sequence,
            ack,
        }
    }
}
