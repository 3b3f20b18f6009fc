//! Phase 1 settings that both daemons know: proposals and identities.

use super::discretion::own;
use super::located::{mapping, Bounded, Clash, Parsed};
use gdoi::crypto::{DhGroup, Hash};
use gdoi::policy::{Doi, Identity, Proposal};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The key length of a phase 1 cipher, in octets.
#[derive(Clone, Copy)]
struct CipherKey(usize);

impl FromStr for CipherKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "aes-128-cbc" => Ok(CipherKey(16)),
            "aes-192-cbc" => Ok(CipherKey(24)),
            "aes-256-cbc" => Ok(CipherKey(32)),
            _ => Err(format!("`{text}` is no phase 1 cipher (aes-128-cbc, aes-192-cbc or aes-256-cbc)")),
        }
    }
}

struct HashName(Hash);

impl FromStr for HashName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sha-256" => Ok(HashName(Hash::Sha256)),
            "sha-384" => Ok(HashName(Hash::Sha384)),
            "sha-512" => Ok(HashName(Hash::Sha512)),
            _ => Err(format!("`{text}` is no hash (sha-256, sha-384 or sha-512)")),
        }
    }
}

struct GroupNumber(DhGroup);

impl FromStr for GroupNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = text.parse().ok().and_then(DhGroup::from_number);
        known
            .map(GroupNumber)
            .ok_or_else(|| format!("`{text}` is no Diffie-Hellman group (19, 20, 21, 14, 15 or 16)"))
    }
}

struct DoiNumber(Doi);

impl FromStr for DoiNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" => Ok(DoiNumber(Doi::Ipsec)),
            "2" => Ok(DoiNumber(Doi::Gdoi)),
            _ => Err(format!("`{text}` is no domain of interpretation (1 or 2)")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProposal {
    encryption: Option<Parsed<CipherKey>>,
    hash: Option<Parsed<HashName>>,
    group: Option<Parsed<GroupNumber>>,
    lifetime: Option<Bounded<300, 604_800>>,
}

impl RawProposal {
    fn proposal(self) -> Proposal {
        let default = Proposal::default();
        Proposal {
            key_len: self.encryption.map_or(default.key_len, |Parsed(CipherKey(length))| length),
            hash: self.hash.map_or(default.hash, |Parsed(HashName(hash))| hash),
            group: self.group.map_or(default.group, |Parsed(GroupNumber(group))| group),
            lifetime: self.lifetime.map_or(default.lifetime, Bounded::seconds),
        }
    }
}

/// What a member proposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub proposal: Proposal,
    pub doi: Doi,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffer {
    encryption: Option<Parsed<CipherKey>>,
    hash: Option<Parsed<HashName>>,
    group: Option<Parsed<GroupNumber>>,
    lifetime: Option<Bounded<300, 604_800>>,
    doi: Option<Parsed<DoiNumber>>,
}

impl<'de> Deserialize<'de> for Offer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawOffer { encryption, hash, group, lifetime, doi } = RawOffer::deserialize(deserializer)?;
        let proposal = RawProposal { encryption, hash, group, lifetime }.proposal();
        Ok(Offer { proposal, doi: doi.map_or_else(Doi::default, |Parsed(DoiNumber(doi))| doi) })
    }
}

/// One combination that a key server accepts.
struct Accepted(Proposal);

impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawProposal::deserialize(deserializer).map(|raw| Accepted(raw.proposal()))
    }
}

/// What a key server accepts, one combination at least.
#[derive(Clone, Debug)]
pub(super) struct AcceptedList(pub Vec<Proposal>);

impl<'de> Deserialize<'de> for AcceptedList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AcceptedVisitor)
    }
}

struct AcceptedVisitor;

impl AcceptedVisitor {
    fn nothing<E: Error>() -> E {
        E::custom(own("`phase1` accepts nothing; leave it out to accept what is usual"))
    }
}

impl<'de> Visitor<'de> for AcceptedVisitor {
    type Value = AcceptedList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AcceptedList, A::Error> {
        let mut proposals = Vec::new();
        while let Some(Accepted(proposal)) = list.next_element()? {
            proposals.push(proposal);
        }
        match proposals.is_empty() {
            true => Err(Self::nothing()),
            false => Ok(AcceptedList(proposals)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<AcceptedList, E> {
        Err(Self::nothing())
    }
}

/// What a key server accepts that is told nothing else: every combination that this version knows, the strongest ciphers
/// first, but none with group 16, which costs some sixty times what group 19 does.
pub(super) fn usual_proposals() -> Vec<Proposal> {
    let lifetime = Proposal::default().lifetime;
    let mut proposals = Vec::new();
    for key_len in [32, 24, 16] {
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let groups = DhGroup::ALL.into_iter().filter(|group| *group != DhGroup::Modp4096);
            proposals.extend(groups.map(|group| Proposal { key_len, hash, group, lifetime }));
        }
    }
    proposals
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawIdentity {
    address: Option<Parsed<IpAddr>>,
    fqdn: Option<Parsed<Name>>,
    user_fqdn: Option<Parsed<Name>>,
    key_id: Option<Parsed<Name>>,
}

/// 1 to 255 printable ASCII characters.
struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (1..=255).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            true => Ok(Name(text.to_owned())),
            false => Err(format!("`{}` is no identity (1 to 255 printable characters)", text.escape_debug())),
        }
    }
}

/// An identity of phase 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityEntry(pub Identity);

impl Clash for IdentityEntry {
    fn clash(&self, earlier: &Self) -> Option<String> {
        (self == earlier).then(|| format!("identity {} stands here twice", self.0))
    }
}

impl<'de> Deserialize<'de> for IdentityEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawIdentity, Self>(deserializer)
    }
}

impl TryFrom<RawIdentity> for IdentityEntry {
    type Error = String;

    fn try_from(raw: RawIdentity) -> Result<Self, String> {
        let given = [
            raw.address.map(|Parsed(address)| Identity::Address(address)),
            raw.fqdn.map(|Parsed(Name(name))| Identity::Fqdn(name)),
            raw.user_fqdn.map(|Parsed(Name(name))| Identity::UserFqdn(name)),
            raw.key_id.map(|Parsed(Name(name))| Identity::KeyId(name.into_bytes())),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(identity), None) => Ok(IdentityEntry(identity)),
            _ => Err("an identity is exactly one of `address`, `fqdn`, `user-fqdn` and `key-id`".into()),
        }
    }
}
