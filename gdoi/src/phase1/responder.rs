//! The side that is asked.

use super::*;
use crate::protect::{open, seal};

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
        let opening = Opening::parse(&settings.proposals, header, body)?;
        let responder = fresh_cookie(random)?;
        let message = opening.answer(responder)?;
        Ok((Responder::answered(settings, responder, opening), message))
    }

    /// The state after `opening` was answered with this cookie.
    pub(crate) fn answered(settings: Settings, responder: Cookie, opening: Opening) -> Responder {
        let Opening { initiator, sai_b, announced, proposal, .. } = opening;
        let cookies = Cookies { initiator, responder };
        let transcript = Transcript { cookies, proposal, sai_b, announced };
        Responder::AwaitKe(AwaitKe { settings, transcript })
    }

    /// Whether this can be the third message, without any work for it. Later messages are not looked at.
    ///
    /// # Errors
    /// Those of [`Responder::step`]; [`Unacceptable::PublicValue`] is the end of the exchange.
    pub(crate) fn check(&self, header: &Header, body: &[u8]) -> Result<(), Error> {
        match self {
            Responder::AwaitKe(state) => state.contribution(header, body).map(drop),
            Responder::AwaitAuth(_) => Ok(()),
        }
    }

    /// What the SA payload of the first message said.
    pub(crate) fn offered(&self) -> &[u8] {
        match self {
            Responder::AwaitKe(state) => &state.transcript.sai_b,
            Responder::AwaitAuth(state) => &state.transcript.sai_b,
        }
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

impl AwaitKe {
    fn step(&self, header: &Header, body: &[u8], random: &mut dyn Random) -> Result<ResponderStep, Error> {
        let theirs = self.contribution(header, body)?;
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

    /// The peer's public value, which is one of the group, and its nonce.
    fn contribution<'a>(&self, header: &Header, body: &'a [u8]) -> Result<Contribution<'a>, Error> {
        check_header(header, self.transcript.cookies)?;
        let mut payloads = clear_payloads(header, body)?;
        let theirs = take_contribution(&mut payloads)?;
        take_vendor_ids(&mut payloads);
        payloads.finish()?;
        check_public(self.transcript.proposal.group, theirs.public)?;
        Ok(theirs)
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
