//! One group on its key server: its policy, its keys, its members.

use crate::crypto::sign::SigningKey;
use crate::crypto::{Random, Secret};
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::event::{GroupName, KeyServerEvent};
use crate::lifetime::replacement_margin;
use crate::phase1::IsakmpSa;
use crate::policy::{Acl, Identity, Ipv4Prefix, Spi, TekKeys, Transform};
use crate::pull::{GroupPolicy, Kek, Tek};
use crate::status::{GroupStatus, KekStatus, MemberRecord, TekRole, TekStatus};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

const MAX_MEMBERS: usize = 16_384;
const KEK_IV_LEN: usize = 16;

/// What a key server is told about a group.
#[derive(Debug)]
pub struct GroupConfig {
    /// Name and number.
    pub group: GroupName,
    /// How its traffic is protected.
    pub transform: Transform,
    /// The life of a TEK, whole seconds.
    pub tek_lifetime: Duration,
    /// Which traffic is protected; permit entries only, RFC 6407 cannot express others.
    pub acl: Acl,
    /// Who may register.
    pub authorization: Authorization,
    /// ATD, whole seconds.
    pub activation_delay: Duration,
    /// DTD, whole seconds.
    pub deactivation_delay: Duration,
    /// The rekey SA, if the group has one.
    pub rekey: Option<RekeyConfig>,
}

/// The rekey SA that members get with their registration.
#[derive(Debug)]
pub struct RekeyConfig {
    /// The AES key's length in octets: 16 or 32.
    pub key_len: usize,
    /// The life of a KEK, whole seconds.
    pub lifetime: Duration,
    /// Signs rekey messages.
    pub signing_key: SigningKey,
}

/// Who may register. With both lists empty, every peer that passed phase 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// Addresses.
    pub addresses: Vec<Ipv4Prefix>,
    /// Phase 1 identities.
    pub identities: Vec<Identity>,
}

impl Authorization {
    /// One match in either list is enough.
    fn check(&self, address: Ipv4Addr, identity: &Identity) -> Result<(), Unacceptable> {
        let open = self.addresses.is_empty() && self.identities.is_empty();
        if open
            || self.identities.contains(identity)
            || self.addresses.iter().any(|prefix| prefix.contains(address))
        {
            return Ok(());
        }
        match self.identities.is_empty() {
            true => Err(Unacceptable::Address),
            false => Err(Unacceptable::Identity(identity.to_string())),
        }
    }
}

pub(super) struct Group {
    config: GroupConfig,
    source: SocketAddrV4,
    /// The one that ends first before the others.
    teks: Vec<GroupTek>,
    kek: Option<GroupKek>,
    members: BTreeMap<IpAddr, MemberRecord>,
    refused: u64,
}

struct GroupTek {
    spi: Spi,
    keys: TekKeys,
    expires: Instant,
}

struct GroupKek {
    spi: [u8; 16],
    key: Secret,
    expires: Instant,
}

impl Group {
    pub(super) fn new(config: GroupConfig, source: SocketAddrV4) -> Self {
        Group { config, source, teks: Vec::new(), kek: None, members: BTreeMap::new(), refused: 0 }
    }

    pub(super) fn name(&self) -> GroupName {
        self.config.group.clone()
    }

    /// Whether `asked` is this group's number, 4 octets, or its name.
    pub(super) fn is_named(&self, asked: &[u8]) -> bool {
        asked == self.config.group.id.0.to_be_bytes() || asked == self.config.group.name.as_bytes()
    }

    pub(super) fn authorize(&mut self, address: Ipv4Addr, identity: &Identity) -> Result<(), Unacceptable> {
        let full = self.members.len() == MAX_MEMBERS && !self.members.contains_key(&IpAddr::V4(address));
        let result = match full {
            true => Err(Unacceptable::Busy),
            false => self.config.authorization.check(address, identity),
        };
        self.refused += u64::from(result.is_err());
        result
    }

    /// Makes the keys that are due and forgets those that have ended.
    pub(super) fn refresh(
        &mut self,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Vec<KeyServerEvent>, Error> {
        let mut events = Vec::new();
        self.teks.retain(|tek| tek.expires > now);
        if self.tek_due().is_none_or(|due| due <= now) {
            let tek = self.fresh_tek(random, now)?;
            events.push(KeyServerEvent::NewTek { group: self.name(), spi: tek.spi });
            self.teks.push(tek);
        }
        if let Some(rekey) = &self.config.rekey {
            if self.kek_due().is_none_or(|due| due <= now) {
                self.kek = Some(fresh_kek(rekey, random, now)?);
                events.push(KeyServerEvent::NewKek { group: self.name() });
            }
        }
        Ok(events)
    }

    fn fresh_tek(&self, random: &mut dyn Random, now: Instant) -> Result<GroupTek, Error> {
        let Transform { cipher, integrity } = self.config.transform;
        let keys = TekKeys {
            encryption: random.secret(cipher.key_len())?,
            integrity: random.secret(integrity.key_len())?,
        };
        Ok(GroupTek { spi: self.fresh_spi(random)?, keys, expires: now + self.config.tek_lifetime })
    }

    fn fresh_spi(&self, random: &mut dyn Random) -> Result<Spi, Error> {
        let mut octets = [0; 4];
        loop {
            random.fill(&mut octets)?;
            let spi = Spi(u32::from_be_bytes(octets));
            if spi.is_usable() && self.teks.iter().all(|tek| tek.spi != spi) {
                return Ok(spi);
            }
        }
    }

    /// When the next TEK must be made.
    fn tek_due(&self) -> Option<Instant> {
        let life = self.config.tek_lifetime;
        self.teks.last().map(|tek| before(tek.expires, replacement_margin(life)))
    }

    fn kek_due(&self) -> Option<Instant> {
        let life = self.config.rekey.as_ref()?.lifetime;
        self.kek.as_ref().map(|kek| before(kek.expires, replacement_margin(life)))
    }

    /// When [`Group::refresh`] has something to do.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let end = self.teks.first().map(|tek| tek.expires);
        [self.tek_due(), self.kek_due(), end].into_iter().flatten().min()
    }

    /// What `member` gets.
    pub(super) fn policy(&self, member: Ipv4Addr, now: Instant) -> GroupPolicy {
        GroupPolicy {
            acl: self.config.acl.clone(),
            teks: self.teks.iter().filter_map(|tek| tek.as_of(self.config.transform, now)).collect(),
            kek: self.kek_for(member, now),
            activation_delay: Some(self.config.activation_delay),
            deactivation_delay: Some(self.config.deactivation_delay),
            pseudotime: None,
        }
    }

    fn kek_for(&self, member: Ipv4Addr, now: Instant) -> Option<Kek> {
        let (rekey, kek) = (self.config.rekey.as_ref()?, self.kek.as_ref()?);
        Some(Kek {
            spi: kek.spi,
            key: kek.key.clone(),
            lifetime: kek.expires.saturating_since(now),
            signature: rekey.signing_key.algorithm(),
            verification: rekey.signing_key.public().clone(),
            source: self.source,
            destination: SocketAddrV4::new(member, self.source.port()),
            // No GROUPKEY-PUSH was ever sent under this KEK (RFC 6407 section 3.2).
            sequence: 0,
            ack: None,
        })
    }

    /// Records a member that has proved to be alive.
    pub(super) fn register(&mut self, from: SocketAddr, sa: &IsakmpSa, now: Instant) -> KeyServerEvent {
        let fresh = MemberRecord {
            address: from.ip(),
            identity: sa.peer.clone(),
            first_registered: now,
            last_registered: now,
            registrations: 0,
            ours: sa.ours,
        };
        let record = self.members.entry(from.ip()).or_insert(fresh);
        record.last_registered = now;
        record.registrations += 1;
        record.identity = sa.peer.clone();
        record.ours = sa.ours;
        KeyServerEvent::Registered { group: self.name(), member: from, identity: sa.peer.clone() }
    }

    pub(super) fn status(&self, now: Instant) -> GroupStatus {
        GroupStatus {
            group: self.name(),
            transform: self.config.transform,
            tek_lifetime: self.config.tek_lifetime,
            acl: self.config.acl.clone(),
            authorization: self.config.authorization.clone(),
            teks: self.tek_status(now),
            kek: self.kek_for(Ipv4Addr::UNSPECIFIED, now).map(|kek| KekStatus::of(&kek, now + kek.lifetime)),
            members: self.members.values().cloned().collect(),
            refused: self.refused,
        }
    }

    /// Members send with the TEK that ends first until shortly before its end.
    fn tek_status(&self, now: Instant) -> Vec<TekStatus> {
        let live = self.teks.iter().filter(|tek| tek.expires > now);
        let role = |index| if index == 0 { TekRole::Sending } else { TekRole::Receiving };
        let transform = self.config.transform;
        live.enumerate()
            .map(|(index, tek)| TekStatus {
                spi: tek.spi,
                transform,
                expires: tek.expires,
                role: role(index),
            })
            .collect()
    }
}

impl GroupTek {
    /// The TEK with what is left of its life; None where that is less than a second.
    fn as_of(&self, transform: Transform, now: Instant) -> Option<Tek> {
        let lifetime = Duration::from_secs(self.expires.saturating_since(now).as_secs());
        let tek = Tek { spi: self.spi, transform, keys: self.keys.clone(), lifetime };
        (!lifetime.is_zero()).then_some(tek)
    }
}

fn fresh_kek(rekey: &RekeyConfig, random: &mut dyn Random, now: Instant) -> Result<GroupKek, Error> {
    let mut spi = [0; 16];
    random.fill(&mut spi)?;
    Ok(GroupKek { spi, key: random.secret(KEK_IV_LEN + rekey.key_len)?, expires: now + rekey.lifetime })
}

fn before(end: Instant, margin: Duration) -> Instant {
    Instant::default() + end.saturating_since(Instant::default() + margin)
}
