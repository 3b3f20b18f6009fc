//! The side that asks: one struct for each state, one function for each message.

use super::*;
use crate::error::Unauthenticated;
use crate::protect::{open, seal};
use crate::wire::Phase1Sa;

/// A phase 1 exchange that this side began.
pub enum Initiator {
    /// The first message is out.
    AwaitSa(AwaitSa),
    /// The third message is out.
    AwaitKe(AwaitKe),
    /// The fifth message is out.
    AwaitAuth(AwaitAuth),
}

/// What a message led to.
pub enum InitiatorStep {
    /// The next state, and the message to send.
    Next(Initiator, Vec<u8>),
    /// Done.
    Established(IsakmpSa),
}

/// Waits for the second message.
pub struct AwaitSa {
    settings: Settings,
    cookie: Cookie,
    sai_b: Vec<u8>,
}

/// Waits for the fourth message.
pub struct AwaitKe {
    settings: Settings,
    transcript: Transcript,
    pair: KeyPair,
    nonce: Vec<u8>,
}

/// Waits for the sixth message.
pub struct AwaitAuth {
    credential: Credential,
    transcript: Transcript,
    keys: Keys,
    iv: Block,
}

impl Initiator {
    /// Begins: the state and the first message.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn start(settings: Settings, random: &mut dyn Random) -> Result<(Initiator, Vec<u8>), Error> {
        Initiator::announcing(&[&VENDOR_ID, &FRAGMENTS_VENDOR_ID], settings, random)
    }

    /// As [`Initiator::start`], and announces that dead peers are detected (RFC 3706 section 5.1).
    ///
    /// # Errors
    /// Only internal ones.
    pub fn start_with_dpd(
        settings: Settings,
        random: &mut dyn Random,
    ) -> Result<(Initiator, Vec<u8>), Error> {
        let vendor_ids: [&[u8]; 3] = [&VENDOR_ID, &FRAGMENTS_VENDOR_ID, &DPD_VENDOR_ID];
        Initiator::announcing(&vendor_ids, settings, random)
    }

    fn announcing(
        vendor_ids: &[&[u8]],
        settings: Settings,
        random: &mut dyn Random,
    ) -> Result<(Initiator, Vec<u8>), Error> {
        let cookie = fresh_cookie(random)?;
        let sai_b = Phase1Sa::new(settings.doi, &settings.proposals).emit()?;
        let cookies = Cookies { initiator: cookie, responder: Cookie::ZERO };
        let message = main_mode(cookies, &first_payloads(&sai_b, vendor_ids))?;
        Ok((Initiator::AwaitSa(AwaitSa { settings, cookie, sai_b }), message))
    }

    /// This side's cookie: which datagrams are for this exchange.
    pub fn cookie(&self) -> Cookie {
        match self {
            Initiator::AwaitSa(state) => state.cookie,
            Initiator::AwaitKe(state) => state.transcript.cookies.initiator,
            Initiator::AwaitAuth(state) => state.transcript.cookies.initiator,
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
    ) -> Result<InitiatorStep, Error> {
        match self {
            Initiator::AwaitSa(state) => state.step(header, body, random),
            Initiator::AwaitKe(state) => state.step(header, body),
            Initiator::AwaitAuth(state) => state.step(header, body),
        }
    }
}

impl AwaitSa {
    fn step(&self, header: &Header, body: &[u8], random: &mut dyn Random) -> Result<InitiatorStep, Error> {
        check_header(header, Cookies { initiator: self.cookie, responder: header.responder })?;
        if header.responder == Cookie::ZERO {
            return Err(Misbehaved::Cookie.into());
        }
        let mut payloads = clear_payloads(header, body)?;
        let answer = Phase1Sa::parse(payloads.take(PayloadType::SA)?.body)?;
        let announced = take_vendor_ids(&mut payloads);
        payloads.finish()?;
        let proposal = self.chosen(&answer)?;
        let transcript =
            Transcript { cookies: Cookies::of(header), proposal, sai_b: self.sai_b.clone(), announced };
        self.exchange_keys(transcript, random)
    }

    /// The one proposal of ours that the answer repeats.
    fn chosen(&self, answer: &Phase1Sa) -> Result<Proposal, Error> {
        let not_offered = Misbehaved::NotOffered("phase 1 proposal");
        let [transform] = &answer.transforms[..] else { return Err(not_offered.into()) };
        let offered =
            |proposal: &Proposal| self.settings.proposals.iter().any(|ours| ours.same_algorithms(proposal));
        let proposal =
            transform.proposal.filter(|proposal| offered(proposal) && answer.doi == self.settings.doi);
        proposal.ok_or(not_offered.into())
    }

    fn exchange_keys(&self, transcript: Transcript, random: &mut dyn Random) -> Result<InitiatorStep, Error> {
        let pair = KeyPair::generate(transcript.proposal.group, random)?;
        let nonce = fresh_nonce(random)?;
        let message =
            main_mode(transcript.cookies, &[(PayloadType::KE, pair.public()), (PayloadType::NONCE, &nonce)])?;
        let next = AwaitKe { settings: self.settings.clone(), transcript, pair, nonce };
        Ok(InitiatorStep::Next(Initiator::AwaitKe(next), message))
    }
}

impl AwaitKe {
    fn step(&self, header: &Header, body: &[u8]) -> Result<InitiatorStep, Error> {
        check_header(header, self.transcript.cookies)?;
        let mut payloads = clear_payloads(header, body)?;
        let theirs = take_contribution(&mut payloads)?;
        take_vendor_ids(&mut payloads);
        payloads.finish()?;
        let g_xy = agree(&self.pair, theirs.public)?;
        let own = Contribution { public: self.pair.public(), nonce: &self.nonce };
        let keys = Keys::derive(&self.transcript, &self.settings.credential, &g_xy, &own, &theirs);
        self.authenticate(keys)
    }

    fn authenticate(&self, keys: Keys) -> Result<InitiatorStep, Error> {
        let id = Identification::phase1(&self.settings.identity).emit()?;
        let (kind, proof) = self.settings.credential.prove(keys.hash_i(&self.transcript, &id));
        let payloads = [(PayloadType::ID, &id[..]), (kind, proof.expose())];
        let sealed = seal(main_mode_header(self.transcript.cookies), &keys.cipher, &keys.iv, &payloads)?;
        let (credential, transcript) = (self.settings.credential.clone(), self.transcript.clone());
        let next = AwaitAuth { credential, transcript, keys, iv: sealed.next_iv };
        Ok(InitiatorStep::Next(Initiator::AwaitAuth(next), sealed.message))
    }
}

impl AwaitAuth {
    /// What is wrong where the peer does not answer any more.
    pub(super) const fn failure(&self) -> Unauthenticated {
        self.credential.failure()
    }

    fn step(&self, header: &Header, body: &[u8]) -> Result<InitiatorStep, Error> {
        check_header(header, self.transcript.cookies)?;
        let opened = open(header, body, &self.keys.cipher, &self.iv)?;
        let peer = take_identity(&opened, &self.credential, |id| self.keys.hash_r(&self.transcript, id))?;
        Ok(InitiatorStep::Established(IsakmpSa {
            cookies: self.transcript.cookies,
            proposal: self.transcript.proposal,
            peer,
            ours: self.transcript.announced.ours,
            dpd: self.transcript.announced.dpd,
            fragments: self.transcript.announced.fragments,
            skeyid: self.keys.skeyid.clone(),
            cipher: self.keys.cipher.clone(),
            last_block: opened.next_iv,
        }))
    }
}
