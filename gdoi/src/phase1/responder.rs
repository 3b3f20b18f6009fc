//! The side that is asked.

use super::*;
use crate::protect::{open, seal};
use crate::wire::{Phase1Sa, Phase1Transform};

/// A phase 1 exchange that a peer began.
pub enum Responder {
    /// The second message is out; the peer has shown nothing yet, not even that it can receive.
    AwaitKe(AwaitKe),
    /// The fourth message is out.
    AwaitAuth(AwaitAuth),
}

/// What a message led to.
pub enum ResponderStep {
    /// The next state, and the message to send.
    Next(Responder, Vec<u8>),
    /// Done, with the last message to send.
    Established(IsakmpSa, Vec<u8>),
}

/// Waits for the third message.
pub struct AwaitKe {
    settings: Settings,
    transcript: Transcript,
}

/// Waits for the fifth message.
pub struct AwaitAuth {
    credential: Credential,
    identity: Identity,
    transcript: Transcript,
    keys: Keys,
}

impl Responder {
    /// Takes in a first message: the state and the second message.
    ///
    /// # Errors
    /// [`Unacceptable::NoProposal`] should be answered with NO-PROPOSAL-CHOSEN.
    pub fn start(
        settings: Settings,
        header: &Header,
        body: &[u8],
        random: &mut dyn Random,
    ) -> Result<(Responder, Vec<u8>), Error> {
        if header.initiator == Cookie::ZERO || header.responder != Cookie::ZERO {
            return Err(Misbehaved::Cookie.into());
        }
        check_header(header, Cookies::of(header))?;
        let mut payloads = clear_payloads(header, body)?;
        let sai_b = payloads.take(PayloadType::SA)?.body;
        let announced = take_vendor_ids(&mut payloads);
        payloads.finish()?;
        let offer = Phase1Sa::parse(sai_b)?;
        let (transform, proposal) = choose(&offer, &settings.proposals)?;
        let cookies = Cookies { initiator: header.initiator, responder: fresh_cookie(random)? };
        let answer = Phase1Sa { doi: offer.doi, number: offer.number, transforms: vec![transform] }.emit()?;
        let announced = Announced { dpd: announced.dpd && announced.ours, ..announced };
        let message = main_mode(cookies, &first_payloads(&answer, &vendor_ids(announced)))?;
        let transcript = Transcript { cookies, proposal, sai_b: sai_b.to_vec(), announced };
        Ok((Responder::AwaitKe(AwaitKe { settings, transcript }), message))
    }

    /// The name that the SA will have.
    pub fn cookies(&self) -> Cookies {
        match self {
            Responder::AwaitKe(state) => state.transcript.cookies,
            Responder::AwaitAuth(state) => state.transcript.cookies,
        }
    }

    /// Takes in a message. On an error the exchange is as it was.
    ///
    /// # Errors
    /// Any but internal ones are the sender's fault.
    pub fn step(
        &self,
        header: &Header,
        body: &[u8],
        random: &mut dyn Random,
    ) -> Result<ResponderStep, Error> {
        match self {
            Responder::AwaitKe(state) => state.step(header, body, random),
            Responder::AwaitAuth(state) => state.step(header, body),
        }
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
fn choose(offer: &Phase1Sa, accepted: &[Proposal]) -> Result<(Phase1Transform, Proposal), Error> {
    let suits = |proposal: &Proposal| accepted.iter().any(|ours| ours.same_algorithms(proposal));
    let found = offer.transforms.iter().find_map(|transform| {
        let proposal = transform.proposal.filter(suits)?;
        Some((transform.clone(), proposal))
    });
    found.ok_or(Unacceptable::NoProposal.into())
}

impl AwaitKe {
    fn step(&self, header: &Header, body: &[u8], random: &mut dyn Random) -> Result<ResponderStep, Error> {
        check_header(header, self.transcript.cookies)?;
        let mut payloads = clear_payloads(header, body)?;
        let theirs = take_contribution(&mut payloads)?;
        take_vendor_ids(&mut payloads);
        payloads.finish()?;
        let pair = KeyPair::generate(self.transcript.proposal.group, random)?;
        let nonce = fresh_nonce(random)?;
        let g_xy = agree(&pair, theirs.public)?;
        let own = Contribution { public: pair.public(), nonce: &nonce };
        let keys = Keys::derive(&self.transcript, &self.settings.credential, &g_xy, &theirs, &own);
        let message = main_mode(
            self.transcript.cookies,
            &[(PayloadType::KE, pair.public()), (PayloadType::NONCE, &nonce)],
        )?;
        let Settings { credential, identity, .. } = self.settings.clone();
        let next = AwaitAuth { credential, identity, transcript: self.transcript.clone(), keys };
        Ok(ResponderStep::Next(Responder::AwaitAuth(next), message))
    }
}

impl AwaitAuth {
    fn step(&self, header: &Header, body: &[u8]) -> Result<ResponderStep, Error> {
        check_header(header, self.transcript.cookies)?;
        let opened = open(header, body, &self.keys.cipher, &self.keys.iv)?;
        let peer = take_identity(&opened, &self.credential, |id| self.keys.hash_i(&self.transcript, id))?;
        let id = Identification::phase1(&self.identity).emit()?;
        let (kind, proof) = self.credential.prove(self.keys.hash_r(&self.transcript, &id));
        let payloads = [(PayloadType::ID, &id[..]), (kind, proof.expose())];
        let header = main_mode_header(self.transcript.cookies);
        let sealed = seal(header, &self.keys.cipher, &opened.next_iv, &payloads)?;
        let sa = IsakmpSa {
            cookies: self.transcript.cookies,
            proposal: self.transcript.proposal,
            peer,
            ours: self.transcript.announced.ours,
            dpd: self.transcript.announced.dpd,
            fragments: self.transcript.announced.fragments,
            skeyid: self.keys.skeyid.clone(),
            cipher: self.keys.cipher.clone(),
            last_block: sealed.next_iv,
        };
        Ok(ResponderStep::Established(sa, sealed.message))
    }
}
