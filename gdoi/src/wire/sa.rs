//! The SA payload of GDOI with its SAK, GAP and SATs (RFC 6407 section 5.2).

use super::acl::{parse_acl, usual_len, write_acl};
use super::codec::{Reader, Writer};
use super::gap::Gap;
use super::header::MAX_MESSAGE;
use super::kek::SaKek;
use super::payloads::{Chain, ChainWriter, Padding};
use super::registry::PayloadType;
use super::tek::SaTek;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::policy::Acl;

const DOI_GDOI: u32 = 2;

/// The most SATs in one message: of the shortest usual ones, 67 octets each, as many as go into the longest message.
pub const MAX_SA_TEKS: usize = MAX_MESSAGE / 67;

/// Room for what stands before the ACL and the SATs, and for a usual SAT.
const FIXED_LEN: usize = 256;
const USUAL_SAT_LEN: usize = 72;

/// The group's policy.
///
/// ```text
/// |                            DOI (4)                            |
/// |                         situation (4)                         |
/// |  SA attribute next payload    |          RESERVED2            | SAK, GAP, ACL, SAT ... payloads
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSa {
    /// The KEK's policy, where the group has a rekey SA.
    pub kek: Option<SaKek>,
    /// Group associated policy.
    pub gap: Option<Gap>,
    /// The whole ACL, between our own implementations only.
    pub acl: Option<Acl>,
    /// The TEKs' policies, one for each traffic selector.
    pub teks: Vec<SaTek>,
}

impl GroupSa {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`], another DOI, payloads missing or not in the order SAK, GAP, ACL, SATs (section 5.2.1).
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "SA payload");
        let (doi, situation) = (reader.u32()?, reader.u32()?);
        if doi != DOI_GDOI {
            return Err(Unacceptable::Unsupported("DOI", doi).into());
        }
        if situation != 0 {
            return Err(Malformed::Value("SA payload").into());
        }
        let first = u8::try_from(reader.u16()?).map_err(|_| Malformed::Value("SA payload"))?;
        reader.reserved(2)?;
        let chain = Chain::parse_bounded(PayloadType(first), reader.rest(), Padding::None, MAX_SA_TEKS + 3)?;
        GroupSa::collect(chain)
    }

    fn collect(chain: Chain<'_>) -> Result<Self, Error> {
        let mut sa = GroupSa::default();
        for payload in chain.payloads {
            sa.check_place(payload.kind)?;
            match payload.kind {
                PayloadType::SAK => sa.kek = Some(SaKek::parse(payload.body)?),
                PayloadType::GAP => sa.gap = Some(Gap::parse(payload.body)?),
                PayloadType::ACL => sa.acl = Some(parse_acl(payload.body)?),
                _ => sa.teks.push(SaTek::parse(payload.body)?),
            }
        }
        match sa.says_nothing() {
            true => Err(Misbehaved::MissingPayload(PayloadType::SAT).into()),
            false => Ok(sa),
        }
    }

    /// There is a KEK or a TEK (section 5.2.1); between our own implementations the group's time is enough, in a message that
    /// only ends keys.
    fn says_nothing(&self) -> bool {
        let timed = self.gap.as_ref().is_some_and(|gap| gap.pseudotime.is_some());
        self.kek.is_none() && self.teks.is_empty() && (!timed || self.acl.is_some())
    }

    /// Whether a payload of this type may follow what is there.
    fn check_place(&self, kind: PayloadType) -> Result<(), Misbehaved> {
        let behind_acl = self.acl.is_some() || !self.teks.is_empty();
        let (again, late) = match kind {
            PayloadType::SAK => (self.kek.is_some(), self.gap.is_some() || behind_acl),
            PayloadType::GAP => (self.gap.is_some(), behind_acl),
            PayloadType::ACL => (self.acl.is_some(), !self.teks.is_empty()),
            PayloadType::SAT => (false, false),
            other => return Err(Misbehaved::UnexpectedPayload(other)),
        };
        match (again, late) {
            (true, _) => Err(Misbehaved::DuplicatePayload(kind)),
            (false, true) => Err(Misbehaved::PayloadOrder(kind)),
            (false, false) => Ok(()),
        }
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`]: a payload that is too long.
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        let acl_len = self.acl.as_ref().map_or(0, usual_len);
        Writer::plain(FIXED_LEN + acl_len + self.teks.len() * USUAL_SAT_LEN, |out| self.write(out))
    }

    fn write(&self, out: &mut Writer) {
        out.u32(DOI_GDOI);
        out.u32(0);
        out.u8(0);
        let first = out.position();
        out.u8(PayloadType::NONE.0);
        out.u16(0);
        let mut chain = ChainWriter::new(out, Some(first));
        self.kek.iter().for_each(|kek| kek.write(&mut chain.payload(PayloadType::SAK)));
        self.gap.iter().for_each(|gap| gap.write(&mut chain.payload(PayloadType::GAP)));
        self.acl.iter().for_each(|acl| write_acl(&mut chain.payload(PayloadType::ACL), acl));
        self.teks.iter().for_each(|tek| tek.write(&mut chain.payload(PayloadType::SAT)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixture::{sak, sat};
    use crate::wire::{emit_acl, emit_chain};

    fn example() -> GroupSa {
        let gap = Gap { activation_delay: Some(1), ..Gap::default() };
        let acl = Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap();
        GroupSa { kek: Some(sak()), gap: Some(gap), acl: Some(acl), teks: vec![sat(), sat()] }
    }

    #[test]
    fn round_trip() {
        assert_eq!(GroupSa::parse(&example().emit().unwrap()), Ok(example()));
        let bare = GroupSa { kek: None, gap: None, acl: None, ..example() };
        assert_eq!(GroupSa::parse(&bare.emit().unwrap()), Ok(bare.clone()));
        assert_eq!(bare.emit().unwrap()[..12], [0, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0, 0]);
    }

    #[test]
    fn the_groups_time_alone_goes_with_what_ends() {
        let timed = Gap { pseudotime: Some(7), ..Gap::default() };
        let sa = GroupSa { kek: None, gap: Some(timed), acl: None, teks: Vec::new() };
        assert_eq!(GroupSa::parse(&sa.emit().unwrap()), Ok(sa.clone()));
        let listed = GroupSa { acl: example().acl, ..sa };
        assert_eq!(
            GroupSa::parse(&listed.emit().unwrap()),
            Err(Misbehaved::MissingPayload(PayloadType::SAT).into())
        );
    }

    fn parse(payloads: &[(PayloadType, &[u8])]) -> Error {
        let mut body = vec![0, 0, 0, 2, 0, 0, 0, 0, 0, payloads.first().map_or(0, |(kind, _)| kind.0), 0, 0];
        body.extend_from_slice(&emit_chain(payloads).unwrap());
        GroupSa::parse(&body).unwrap_err()
    }

    #[test]
    fn order_and_number_are_checked() {
        let sa = example();
        let (sak, gap, sat) = (
            sa.kek.as_ref().unwrap().emit().unwrap(),
            sa.gap.as_ref().unwrap().emit().unwrap(),
            sa.teks[0].emit().unwrap(),
        );
        let (sak, gap, sat) =
            ((PayloadType::SAK, &sak[..]), (PayloadType::GAP, &gap[..]), (PayloadType::SAT, &sat[..]));
        let list = emit_acl(sa.acl.as_ref().unwrap()).unwrap();
        let acl = (PayloadType::ACL, &list[..]);
        assert_eq!(parse(&[acl]), Misbehaved::MissingPayload(PayloadType::SAT).into());
        assert_eq!(parse(&[acl, acl, sat]), Misbehaved::DuplicatePayload(PayloadType::ACL).into());
        assert_eq!(parse(&[sat, acl]), Misbehaved::PayloadOrder(PayloadType::ACL).into());
        assert_eq!(parse(&[acl, gap]), Misbehaved::PayloadOrder(PayloadType::GAP).into());
        assert_eq!(parse(&[acl, sak]), Misbehaved::PayloadOrder(PayloadType::SAK).into());
        assert_eq!(parse(&[]), Misbehaved::MissingPayload(PayloadType::SAT).into());
        assert_eq!(parse(&[gap]), Misbehaved::MissingPayload(PayloadType::SAT).into());
        assert_eq!(parse(&[sak, sak]), Misbehaved::DuplicatePayload(PayloadType::SAK).into());
        assert_eq!(parse(&[gap, gap, sat]), Misbehaved::DuplicatePayload(PayloadType::GAP).into());
        assert_eq!(parse(&[sat, sak]), Misbehaved::PayloadOrder(PayloadType::SAK).into());
        assert_eq!(parse(&[gap, sak, sat]), Misbehaved::PayloadOrder(PayloadType::SAK).into());
        assert_eq!(parse(&[sat, gap]), Misbehaved::PayloadOrder(PayloadType::GAP).into());
        assert_eq!(parse(&[(PayloadType::KD, &[])]), Misbehaved::UnexpectedPayload(PayloadType::KD).into());
    }

    #[test]
    fn rejects() {
        let edit = |offset: usize, value: u8| {
            let mut bytes = example().emit().unwrap();
            bytes[offset] = value;
            GroupSa::parse(&bytes).unwrap_err()
        };
        assert_eq!(edit(3, 1), Unacceptable::Unsupported("DOI", 1).into());
        assert_eq!(edit(7, 1), Malformed::Value("SA payload").into());
        assert_eq!(edit(8, 1), Malformed::Value("SA payload").into());
        assert_eq!(edit(11, 1), Malformed::Reserved("SA payload").into());
        assert_eq!(GroupSa::parse(&[0; 5]), Err(Malformed::Truncated("SA payload").into()));
        let many = GroupSa { teks: vec![example().teks[0].clone(); MAX_SA_TEKS + 4], ..GroupSa::default() };
        assert_eq!(GroupSa::parse(&many.emit().unwrap()), Err(Malformed::TooMany("payloads").into()));
    }
}
