//! The first message of Main Mode and its answer: what both sides keep of them, and nothing of the responder's but its
//! cookie.

use super::*;
use crate::wire::{Phase1Sa, Phase1Transform};

/// The longest SA payload that is answered, octets: 64 transforms with room for what else they may say.
pub(crate) const MAX_OFFER: usize = 4_096;

/// A first message that can be answered.
pub struct Opening {
    pub(super) initiator: Cookie,
    /// The body of its SA payload.
    pub(crate) sai_b: Vec<u8>,
    pub(crate) announced: Announced,
    offer: Phase1Sa,
    /// The place of the transform that is chosen.
    choice: usize,
    pub(super) proposal: Proposal,
}

impl Opening {
    /// Reads a first message; `accepted` is what this side agrees to.
    ///
    /// # Errors
    /// [`Unacceptable::NoProposal`] should be answered with NO-PROPOSAL-CHOSEN.
    pub fn parse(accepted: &[Proposal], header: &Header, body: &[u8]) -> Result<Self, Error> {
        if header.initiator == Cookie::ZERO || header.responder != Cookie::ZERO {
            return Err(Misbehaved::Cookie.into());
        }
        check_header(header, Cookies::of(header))?;
        let mut payloads = clear_payloads(header, body)?;
        let sai_b = payloads.take(PayloadType::SA)?.body;
        let announced = take_vendor_ids(&mut payloads);
        payloads.finish()?;
        Opening::of(accepted, header.initiator, sai_b, announced)
    }

    /// The first message that offered this and announced that.
    ///
    /// # Errors
    /// As [`Opening::parse`].
    pub(crate) fn of(
        accepted: &[Proposal],
        initiator: Cookie,
        sai_b: &[u8],
        announced: Announced,
    ) -> Result<Self, Error> {
        if sai_b.len() > MAX_OFFER {
            return Err(Malformed::Length("SA payload").into());
        }
        let offer = Phase1Sa::parse(sai_b)?;
        let (choice, proposal) = choose(&offer, accepted)?;
        let announced = Announced { dpd: announced.dpd && announced.ours, ..announced };
        Ok(Opening { initiator, sai_b: sai_b.to_vec(), announced, offer, choice, proposal })
    }

    /// The second message.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn answer(&self, responder: Cookie) -> Result<Vec<u8>, Error> {
        let transforms: Vec<Phase1Transform> =
            self.offer.transforms.get(self.choice).cloned().into_iter().collect();
        let answer = Phase1Sa { doi: self.offer.doi, number: self.offer.number, transforms }.emit()?;
        let cookies = Cookies { initiator: self.initiator, responder };
        main_mode(cookies, &first_payloads(&answer, &vendor_ids(self.announced)))
    }

    /// What the peer offered.
    pub(crate) const fn offer(&self) -> &Phase1Sa {
        &self.offer
    }

    /// Which of its transforms is chosen; there are 64 at most.
    pub(crate) fn choice(&self) -> u8 {
        u8::try_from(self.choice).unwrap_or(u8::MAX)
    }

    /// The group in which keys will be agreed.
    pub(crate) const fn group(&self) -> DhGroup {
        self.proposal.group
    }
}

/// What is announced to such a peer. Dead peer detection only to another key server of this implementation: who
/// announces it must answer (RFC 3706 section 5.2), and what answers stands only between those. Fragments likewise.
fn vendor_ids(peer: Announced) -> Vec<&'static [u8]> {
    let fragments = peer.fragments.then_some(&FRAGMENTS_VENDOR_ID[..]);
    let dpd = peer.dpd.then_some(&DPD_VENDOR_ID[..]);
    [Some(&VENDOR_ID[..]), fragments, dpd].into_iter().flatten().collect()
}

/// The first transform of the offer that is accepted here.
fn choose(offer: &Phase1Sa, accepted: &[Proposal]) -> Result<(usize, Proposal), Error> {
    let suits = |proposal: &Proposal| accepted.iter().any(|ours| ours.same_algorithms(proposal));
    let found = offer
        .transforms
        .iter()
        .enumerate()
        .find_map(|(index, transform)| Some((index, transform.proposal.filter(suits)?)));
    found.ok_or(Unacceptable::NoProposal.into())
}
