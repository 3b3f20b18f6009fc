//! One group on its key server: its policy, its keys, its members, and the rekey message under way.

use super::distribution::{Distribution, Retransmit, Transport};
use super::keys::{GroupKek, Keys, Life, Succession};
use super::members::Members;
use super::rekey::{RekeyKind, Removal};
use crate::coop::Redundancy;
use crate::crypto::sign::SigningKey;
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved, Unacceptable, Unauthenticated};
use crate::event::{GroupName, KeyServerEvent};
use crate::phase1::IsakmpSa;
use crate::policy::{Acl, Identity, Ipv4Prefix, Transform};
use crate::pull::{AckType, GroupPolicy, Kek};
use crate::push::Acknowledgement;
use crate::status::{AckCounters, GroupStatus, KekStatus, RekeyStatus, TekRole, TekStatus};
use crate::wire::Header;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

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
    /// DTD, whole seconds; longer where the ATD and the retransmissions of a rekey message take longer.
    pub deactivation_delay: Duration,
    /// The rekey SA, if the group has one.
    pub rekey: Option<RekeyConfig>,
    /// The servers that share the group, if there are others.
    pub redundancy: Option<Redundancy>,
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
    /// How they reach the members.
    pub transport: Transport,
    /// When they are sent again.
    pub retransmit: Retransmit,
    /// How long after the last rekey the keys are sent once more, for members that missed them.
    pub reminder: Duration,
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
    pub(super) config: GroupConfig,
    source: SocketAddrV4,
    pub(super) keys: Keys,
    pub(super) members: Members,
    /// When the group's pseudotime was zero.
    pub(super) began: Instant,
    pub(super) distribution: Option<Distribution>,
    pub(super) events: Vec<KeyServerEvent>,
    /// Whether there is something that must be stored before anything is sent.
    pub(super) changed: bool,
    /// Whether the member list differs from the one stored, which may lag.
    pub(super) members_changed: bool,
    pub(super) rekeys: u64,
    pub(super) last_rekey: Option<Instant>,
    acks: AckCounters,
    refused: u64,
}

impl Group {
    pub(super) fn new(config: GroupConfig, source: SocketAddrV4, now: Instant) -> Self {
        Group {
            config,
            source,
            keys: Keys::default(),
            members: Members::default(),
            began: now,
            distribution: None,
            events: Vec::new(),
            changed: false,
            members_changed: false,
            rekeys: 0,
            last_rekey: None,
            acks: AckCounters::default(),
            refused: 0,
        }
    }

    pub(super) fn name(&self) -> GroupName {
        self.config.group.clone()
    }

    /// Whether `asked` is this group's number, 4 octets, or its name.
    pub(super) fn is_named(&self, asked: &[u8]) -> bool {
        asked == self.config.group.id.0.to_be_bytes() || asked == self.config.group.name.as_bytes()
    }

    pub(super) fn authorize(&mut self, address: Ipv4Addr, identity: &Identity) -> Result<(), Unacceptable> {
        let ip = IpAddr::V4(address);
        let result = match (self.members.is_revoked(ip), self.members.is_full_for(ip)) {
            (true, _) => Err(Unacceptable::Revoked),
            (_, true) => Err(Unacceptable::Busy),
            _ => self.config.authorization.check(address, identity),
        };
        self.refused += u64::from(result.is_err());
        result
    }

    /// Makes the keys that are due, forgets those that have ended, sends what is to be sent.
    pub(super) fn handle_timeout(
        &mut self,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Vec<Transmit>, Error> {
        self.changed |= self.keys.expire(now);
        self.make_keys(random, now)?;
        let Some(distribution) = &mut self.distribution else { return Ok(Vec::new()) };
        if distribution.is_over(now) {
            self.conclude();
            return Ok(Vec::new());
        }
        Ok(distribution.handle_timeout(now))
    }

    /// Sends the keys once more after a restart: nobody knows whom the message reached that was under way. Where a
    /// new KEK was in it, under the one before; where it ended that one, this is said again instead.
    pub(super) fn resume(&mut self, random: &mut dyn Random, now: Instant) -> Result<Vec<Transmit>, Error> {
        if self.members.is_empty() {
            self.keys.previous_kek = None;
        }
        if self.distribution.is_some() || self.members.is_empty() || self.keys.kek.is_none() {
            return Ok(Vec::new());
        }
        match self.keys.previous_kek.clone().filter(|kek| kek.succession == Succession::Ended) {
            Some(ended) => self.dismiss_again(&ended, now)?,
            None => self.rekey(RekeyKind::Reminder, random, now)?,
        }
        self.handle_timeout(random, now)
    }

    fn make_keys(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        if let (None, Some(rekey)) = (&self.keys.kek, &self.config.rekey) {
            self.keys.replace_kek(rekey.key_len, rekey.lifetime, random, now)?;
            self.events.push(KeyServerEvent::NewKek { group: self.name() });
            self.changed = true;
        }
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(Some(self.keys.tek_due(self.tek_life()))) || due(self.kek_due()) {
            self.changed = true;
            return self.rekey(RekeyKind::Scheduled, random, now);
        }
        match due(self.reminder_due()) {
            true => self.rekey(RekeyKind::Reminder, random, now),
            false => Ok(()),
        }
    }

    /// The last wait for acknowledgements is over.
    fn conclude(&mut self) {
        let Some(distribution) = self.distribution.take() else { return };
        self.changed |= self.keys.previous_kek.take().is_some();
        for member in distribution.silent() {
            self.members_changed = true;
            if self.members.missed(member) {
                self.events.push(KeyServerEvent::MemberDropped { group: self.name(), member });
            }
        }
    }

    pub(super) fn tek_life(&self) -> Life {
        Life { total: self.config.tek_lifetime, distribution: self.distribution_time() }
    }

    pub(super) fn kek_life(&self) -> Option<Life> {
        let total = self.config.rekey.as_ref()?.lifetime;
        Some(Life { total, distribution: self.distribution_time() })
    }

    pub(super) fn distribution_time(&self) -> Duration {
        self.config.rekey.as_ref().map_or(Duration::ZERO, |rekey| rekey.retransmit.total())
    }

    fn kek_due(&self) -> Option<Instant> {
        Some(self.keys.kek_due(self.kek_life()?))
    }

    /// Without members nothing is sent, so nothing would ever be the last one sent.
    fn reminder_due(&self) -> Option<Instant> {
        let reminder = self.config.rekey.as_ref().filter(|_| !self.members.is_empty())?.reminder;
        Some(self.last_rekey? + reminder)
    }

    /// When [`Group::handle_timeout`] has something to do.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let end = self.keys.teks.first().map(|tek| tek.expires);
        let sending = self.distribution.as_ref().map(Distribution::due);
        let tek = Some(self.keys.tek_due(self.tek_life()));
        [tek, self.kek_due(), self.reminder_due(), end, sending].into_iter().flatten().min()
    }

    /// Milliseconds since the group began.
    pub(super) fn pseudotime(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// What `member` gets in a PULL.
    pub(super) fn policy(&self, member: Ipv4Addr, sa: &IsakmpSa, now: Instant) -> GroupPolicy {
        let kek = self.config.rekey.as_ref().zip(self.keys.kek.as_ref());
        GroupPolicy {
            acl: self.config.acl.clone(),
            teks: self.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect(),
            kek: kek.map(|(rekey, kek)| self.kek_for(rekey, kek, member, now)),
            activation_delay: Some(self.config.activation_delay),
            deactivation_delay: Some(self.config.deactivation_delay),
            pseudotime: sa.ours.then(|| self.pseudotime(now)),
        }
    }

    /// The KEK as one member gets it in a PULL: with its own address.
    fn kek_for(&self, rekey: &RekeyConfig, kek: &GroupKek, member: Ipv4Addr, now: Instant) -> Kek {
        let mut kek = self.kek_of(rekey, kek, now);
        if rekey.transport == Transport::Unicast {
            kek.destination = SocketAddrV4::new(member, self.source.port());
        }
        kek
    }

    /// The KEK as all members get it in a PUSH: a unicast one cannot name the address of each.
    pub(super) fn kek_of(&self, rekey: &RekeyConfig, kek: &GroupKek, now: Instant) -> Kek {
        let (destination, ack) = match rekey.transport {
            Transport::Unicast => {
                (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.source.port()), Some(AckType::KekSha256))
            }
            Transport::Multicast(group) => (group, None),
        };
        Kek {
            spi: kek.spi,
            key: kek.key.clone(),
            lifetime: Duration::from_secs(kek.expires.saturating_since(now).as_secs().max(1)),
            signature: rekey.signing_key.algorithm(),
            verification: rekey.signing_key.public().clone(),
            source: self.source,
            destination,
            sequence: kek.sequence,
            ack,
        }
    }

    /// Records a member that has proved to be alive.
    pub(super) fn register(&mut self, from: SocketAddr, sa: &IsakmpSa, now: Instant) {
        self.members.register(from, sa, now);
        self.members_changed = true;
        self.events.push(KeyServerEvent::Registered {
            group: self.name(),
            member: from,
            identity: sa.peer.clone(),
        });
    }

    /// Whether rekey messages under this KEK are of this group.
    pub(super) fn has_kek(&self, spi: [u8; 16]) -> bool {
        self.keys.kek_named(spi).is_some()
    }

    /// An acknowledgement could not even be read.
    pub(super) fn count_malformed(&mut self) {
        self.acks.malformed += 1;
    }

    /// Takes in an acknowledgement. Who is not waited for is answered before any cryptography (RFC 8263 section 5).
    pub(super) fn acknowledge(
        &mut self,
        from: SocketAddr,
        spi: [u8; 16],
        message: (&Header, &[u8]),
        now: Instant,
    ) -> Result<(), Error> {
        let checked = self.check_acknowledgement(from, spi, message, now);
        match &checked {
            Ok(()) => {
                self.acks.received += 1;
                self.members.acknowledged(from.ip(), now);
                self.members_changed = true;
            }
            Err(Error::Misbehaved(Misbehaved::UnknownAcknowledgement)) => self.acks.unexpected += 1,
            Err(Error::Unauthenticated(Unauthenticated::Hash)) => self.acks.forged += 1,
            Err(_) => self.acks.malformed += 1,
        }
        checked
    }

    fn check_acknowledgement(
        &mut self,
        from: SocketAddr,
        spi: [u8; 16],
        (header, body): (&Header, &[u8]),
        now: Instant,
    ) -> Result<(), Error> {
        let unexpected = Misbehaved::UnknownAcknowledgement;
        let (rekey, kek) = self.config.rekey.as_ref().zip(self.keys.kek_named(spi)).ok_or(unexpected)?;
        let kek = self.kek_of(rekey, kek, now);
        let distribution =
            self.distribution.as_mut().filter(|under_way| under_way.kek_spi == spi).ok_or(unexpected)?;
        if !distribution.expects(from.ip()) {
            return Err(unexpected.into());
        }
        let ack = Acknowledgement::parse(&kek, header, body)?;
        let right = ack.sequence == distribution.sequence && IpAddr::V4(ack.member) == from.ip();
        match right && distribution.acknowledge(from.ip()) {
            true => Ok(()),
            false => Err(unexpected.into()),
        }
    }

    /// Removes one member, or all. One that is named is revoked: it must not come back.
    pub(super) fn remove(
        &mut self,
        member: Option<IpAddr>,
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        self.dismiss(removal, random, now)?;
        match member {
            Some(member) => {
                self.members.forget(member);
                self.members.revoke(member);
                self.events.push(KeyServerEvent::Revoked { group: self.name(), member });
            }
            None => self.members.forget_all(),
        }
        (self.changed, self.members_changed) = (true, true);
        Ok(())
    }

    pub(super) fn status(&self, now: Instant) -> GroupStatus {
        let kek = self.config.rekey.as_ref().zip(self.keys.kek.as_ref());
        GroupStatus {
            group: self.name(),
            transform: self.config.transform,
            tek_lifetime: self.config.tek_lifetime,
            acl: self.config.acl.clone(),
            authorization: self.config.authorization.clone(),
            teks: self.tek_status(now),
            kek: kek.map(|(rekey, kek)| KekStatus::of(&self.kek_of(rekey, kek, now), kek.expires)),
            members: self.members.records().cloned().collect(),
            revoked: self.members.revoked().copied().collect(),
            refused: self.refused,
            rekey: self.config.rekey.as_ref().map(|rekey| self.rekey_status(rekey)),
            coop: None,
        }
    }

    fn rekey_status(&self, rekey: &RekeyConfig) -> RekeyStatus {
        RekeyStatus {
            transport: rekey.transport,
            retransmit: rekey.retransmit,
            rekeys: self.rekeys,
            last: self.last_rekey,
            next: Some(self.keys.tek_due(self.tek_life())).into_iter().chain(self.kek_due()).min(),
            reminder: self.reminder_due(),
            waiting_for: self.distribution.as_ref().map_or(0, |under_way| under_way.silent().len()),
            transmissions: self.distribution.as_ref().map_or(0, Distribution::transmissions),
            acks: self.acks,
        }
    }

    /// Members send with the TEK that ends first until shortly before its end.
    fn tek_status(&self, now: Instant) -> Vec<TekStatus> {
        let live = self.keys.teks.iter().filter(|tek| tek.expires > now);
        let role = |index| if index == 0 { TekRole::Sending } else { TekRole::Receiving };
        live.enumerate()
            .map(|(index, tek)| TekStatus {
                spi: tek.spi,
                transform: tek.transform,
                expires: tek.expires,
                role: role(index),
            })
            .collect()
    }
}
