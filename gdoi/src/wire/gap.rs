//! The GAP payload (RFC 6407 section 5.4).

use super::attribute::{Attribute, Attributes};
use super::codec::Writer;
use crate::error::{Error, Malformed};
use crate::group::AclDigest;
use crate::policy::{SendMode, SidNonce};

mod class {
    pub const ACTIVATION_TIME_DELAY: u16 = 1;
    pub const DEACTIVATION_TIME_DELAY: u16 = 2;
    pub const SENDER_ID_REQUEST: u16 = 3;
    /// Private use, between our own implementations only.
    pub const PSEUDOTIME: u16 = 128;
    pub const ACL_DIGEST: u16 = 129;
    pub const SEND_MODE: u16 = 130;
    pub const HOLDS: u16 = 131;
    pub const SENDER_ID_NONCE: u16 = 132;
}

/// The body of a GAP payload; each attribute is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// ATD: seconds from the receipt of a new SA to its use for sending.
    pub activation_delay: Option<u16>,
    /// DTD: seconds from the receipt of a new SA to the removal of the one that it replaces.
    pub deactivation_delay: Option<u16>,
    /// How many sender IDs a member asks for; in the third message of a PULL only.
    pub sender_ids: Option<u16>,
    /// The group's time when the message was made, milliseconds since the group began; 8 octets.
    pub pseudotime: Option<u64>,
    /// Which ACL the group has, 16 octets.
    pub acl: Option<AclDigest>,
    /// What members do when they send: 1 encrypt, 2 send in clear.
    pub mode: Option<SendMode>,
    /// With a request for sender IDs: 16 octets by which a member gets the same ones again.
    pub sender_id_nonce: Option<SidNonce>,
    /// What a member that registers again has already; in the third message of a PULL only.
    pub holds: Option<Holds>,
}

/// What a member that registers again has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// 1: all that the second message of the PULL offered, and sender IDs for it.
    AllOffered,
}

impl Gap {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`], or an attribute that is not understood (section 5.4).
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut attributes = Attributes::parse(body, "GAP payload")?;
        let gap = Gap {
            activation_delay: number(&mut attributes, class::ACTIVATION_TIME_DELAY, "ACTIVATION_TIME_DELAY")?,
            deactivation_delay: number(
                &mut attributes,
                class::DEACTIVATION_TIME_DELAY,
                "DEACTIVATION_TIME_DELAY",
            )?,
            sender_ids: number(&mut attributes, class::SENDER_ID_REQUEST, "SENDER_ID_REQUEST")?,
            pseudotime: octets(&mut attributes, class::PSEUDOTIME, "pseudotime")?.map(u64::from_be_bytes),
            acl: octets(&mut attributes, class::ACL_DIGEST, "ACL digest")?.map(AclDigest),
            mode: parse_mode(&mut attributes)?,
            holds: parse_holds(&mut attributes)?,
            sender_id_nonce: octets(&mut attributes, class::SENDER_ID_NONCE, "sender ID nonce")?
                .map(SidNonce),
        };
        attributes.finish("GAP attribute")?;
        Ok(gap)
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(64, |out| self.write(out))
    }

    /// Writes a body.
    pub(super) fn write(&self, out: &mut Writer) {
        for (kind, value) in [
            (class::ACTIVATION_TIME_DELAY, self.activation_delay),
            (class::DEACTIVATION_TIME_DELAY, self.deactivation_delay),
            (class::SENDER_ID_REQUEST, self.sender_ids),
        ] {
            if let Some(value) = value {
                Attribute::basic(kind, value).write(out);
            }
        }
        if let Some(pseudotime) = self.pseudotime {
            Attribute::variable(class::PSEUDOTIME, &pseudotime.to_be_bytes()).write(out);
        }
        if let Some(AclDigest(digest)) = &self.acl {
            Attribute::variable(class::ACL_DIGEST, digest).write(out);
        }
        if let Some(mode) = self.mode {
            Attribute::basic(class::SEND_MODE, mode_number(mode)).write(out);
        }
        if let Some(Holds::AllOffered) = self.holds {
            Attribute::basic(class::HOLDS, ALL_OFFERED).write(out);
        }
        if let Some(SidNonce(nonce)) = &self.sender_id_nonce {
            Attribute::variable(class::SENDER_ID_NONCE, nonce).write(out);
        }
    }
}

fn number(attributes: &mut Attributes<'_>, kind: u16, name: &'static str) -> Result<Option<u16>, Error> {
    let value = attributes.number(kind, name)?.map(u16::try_from).transpose();
    value.map_err(|_| Malformed::Value("GAP payload").into())
}

fn octets<const N: usize>(
    attributes: &mut Attributes<'_>,
    kind: u16,
    name: &'static str,
) -> Result<Option<[u8; N]>, Error> {
    let octets = attributes.optional_octets(kind, name)?.map(<[u8; N]>::try_from).transpose();
    octets.map_err(|_| Malformed::Length(name).into())
}

const fn mode_number(mode: SendMode) -> u16 {
    match mode {
        SendMode::Both => 1,
        SendMode::ReceiveOnly => 2,
    }
}

const ALL_OFFERED: u16 = 1;

fn parse_holds(attributes: &mut Attributes<'_>) -> Result<Option<Holds>, Error> {
    match number(attributes, class::HOLDS, "holdings")? {
        None => Ok(None),
        Some(ALL_OFFERED) => Ok(Some(Holds::AllOffered)),
        Some(_) => Err(Malformed::Value("GAP payload").into()),
    }
}

fn parse_mode(attributes: &mut Attributes<'_>) -> Result<Option<SendMode>, Error> {
    let Some(number) = number(attributes, class::SEND_MODE, "send mode")? else { return Ok(None) };
    let mode = [SendMode::Both, SendMode::ReceiveOnly].into_iter().find(|mode| mode_number(*mode) == number);
    Ok(Some(mode.ok_or(Malformed::Value("GAP payload"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Misbehaved, Unacceptable};

    #[test]
    fn round_trip() {
        let gap = Gap { activation_delay: Some(15), deactivation_delay: Some(30), ..Gap::default() };
        assert_eq!(gap.emit().unwrap(), [0x80, 1, 0, 15, 0x80, 2, 0, 30]);
        assert_eq!(Gap::parse(&gap.emit().unwrap()), Ok(gap));
        assert_eq!(Gap::parse(&[0x80, 3, 0, 2]).unwrap().sender_ids, Some(2));
        assert_eq!(Gap::parse(&[]), Ok(Gap::default()));
        let timed = Gap { pseudotime: Some(0x0102_0304_0506_0708), ..Gap::default() };
        assert_eq!(timed.emit().unwrap(), [0, 128, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Gap::parse(&timed.emit().unwrap()), Ok(timed));
        for (mode, number) in [(SendMode::Both, 1), (SendMode::ReceiveOnly, 2)] {
            let ours = Gap { acl: Some(AclDigest([7; 16])), mode: Some(mode), ..Gap::default() };
            assert_eq!(
                ours.emit().unwrap(),
                [&[0, 129, 0, 16][..], &[7; 16], &[0x80, 130, 0, number]].concat()
            );
            assert_eq!(Gap::parse(&ours.emit().unwrap()), Ok(ours));
        }
        let asking = Gap { sender_ids: Some(4), sender_id_nonce: Some(SidNonce([9; 16])), ..Gap::default() };
        assert_eq!(asking.emit().unwrap(), [&[0x80, 3, 0, 4, 0, 132, 0, 16][..], &[9; 16]].concat());
        assert_eq!(Gap::parse(&asking.emit().unwrap()), Ok(asking));
        let again = Gap { holds: Some(Holds::AllOffered), ..Gap::default() };
        assert_eq!(again.emit().unwrap(), [0x80, 131, 0, 1]);
        assert_eq!(Gap::parse(&again.emit().unwrap()), Ok(again));
    }

    #[test]
    fn rejects() {
        assert_eq!(Gap::parse(&[0x80, 4, 0, 1]), Err(Unacceptable::Unsupported("GAP attribute", 4).into()));
        assert_eq!(Gap::parse(&[0, 1, 0, 3, 1, 0, 0]), Err(Malformed::Value("GAP payload").into()));
        assert_eq!(Gap::parse(&[0, 128, 0, 1, 1]), Err(Malformed::Length("pseudotime").into()));
        assert_eq!(Gap::parse(&[0, 129, 0, 1, 1]), Err(Malformed::Length("ACL digest").into()));
        assert_eq!(Gap::parse(&[0, 132, 0, 1, 1]), Err(Malformed::Length("sender ID nonce").into()));
        assert_eq!(Gap::parse(&[0x80, 130, 0, 0]), Err(Malformed::Value("GAP payload").into()));
        assert_eq!(Gap::parse(&[0x80, 130, 0, 3]), Err(Malformed::Value("GAP payload").into()));
        assert_eq!(Gap::parse(&[0x80, 131, 0, 2]), Err(Malformed::Value("GAP payload").into()));
        let twice = [0x80, 1, 0, 1, 0x80, 1, 0, 1];
        assert_eq!(Gap::parse(&twice), Err(Misbehaved::DuplicateAttribute("ACTIVATION_TIME_DELAY").into()));
        assert_eq!(Gap::parse(&[0x80]), Err(Malformed::Truncated("GAP payload").into()));
    }
}
