//! The initiator's side until it is established or given up: with retransmission, and with an ear for what
//! others say about the silence.

use super::{Initiator, InitiatorStep, IsakmpSa};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::retransmit::{Due, Pace, Retransmission};
use crate::wire::{Chain, Cookie, ExchangeType, Header, Notify, NotifyType, Padding, PayloadType, Payloads};
use std::net::SocketAddr;

/// A phase 1 that this side began and that waits for an answer.
pub(crate) struct Negotiation {
    state: Initiator,
    retransmission: Retransmission,
    /// The message that led here: the peer sends it again when our answer is late.
    last_seen: Option<(Header, Vec<u8>)>,
    /// What somebody who knows our cookie said in clear: believed only if nothing better comes.
    hint: Option<NotifyType>,
}

/// What a message led to.
pub(crate) enum Negotiated {
    /// Send this and wait on.
    Send(Transmit),
    /// Wait on.
    Nothing,
    /// Done.
    Established(Box<IsakmpSa>),
}

impl Negotiation {
    /// What [`Initiator::start`] began with `peer`; the caller makes the first transmission itself.
    pub(crate) fn new(peer: SocketAddr, begun: (Initiator, Vec<u8>), pace: Pace, now: Instant) -> Self {
        let (state, message) = begun;
        let retransmission = Retransmission::new(peer, message, pace, now);
        Negotiation { state, retransmission, last_seen: None, hint: None }
    }

    pub(crate) fn first(&self) -> Transmit {
        self.retransmission.first()
    }

    pub(crate) const fn due(&self) -> Instant {
        self.retransmission.due()
    }

    /// Which messages are for this negotiation.
    pub(crate) fn cookie(&self) -> Cookie {
        self.state.cookie()
    }

    /// Whether the peer has not said anything yet.
    pub(crate) const fn is_unanswered(&self) -> bool {
        matches!(self.state, Initiator::AwaitSa(_))
    }

    /// What to send again, if it is time.
    ///
    /// # Errors
    /// It came to nothing: the reason as far as one can tell.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<Option<Transmit>, Error> {
        match self.retransmission.handle_timeout(now) {
            Due::Later => Ok(None),
            Due::Again(transmit) => Ok(Some(transmit)),
            Due::Exhausted => Err(self.silence()),
        }
    }

    fn silence(&self) -> Error {
        match (&self.state, self.hint) {
            (Initiator::AwaitAuth(state), None | Some(NotifyType::AUTHENTICATION_FAILED)) => {
                state.failure().into()
            }
            (_, Some(NotifyType::NO_PROPOSAL_CHOSEN)) => Unacceptable::NoProposal.into(),
            (_, Some(hint)) => Unacceptable::PeerSays(hint).into(),
            (_, None) => Unacceptable::NoAnswer.into(),
        }
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// The message is not the peer's or not for this negotiation, which goes on.
    pub(crate) fn handle_message(
        &mut self,
        header: &Header,
        body: &[u8],
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Negotiated, Error> {
        if self.last_seen.as_ref().is_some_and(|(seen, rest)| seen == header && rest == body) {
            return Ok(Negotiated::Nothing);
        }
        if header.exchange == ExchangeType::INFORMATIONAL {
            self.hint = Some(hinted(self.cookie(), header, body)?);
            return Ok(Negotiated::Nothing);
        }
        match self.state.step(header, body, random)? {
            InitiatorStep::Next(next, message) => {
                self.last_seen = Some((*header, body.to_vec()));
                Ok(self.go_on(next, message, now))
            }
            InitiatorStep::Established(sa) => Ok(Negotiated::Established(Box::new(sa))),
        }
    }

    fn go_on(&mut self, next: Initiator, message: Vec<u8>, now: Instant) -> Negotiated {
        (self.state, self.hint) = (next, None);
        let (to, pace) = (self.retransmission.to(), self.retransmission.pace());
        self.retransmission = Retransmission::new(to, message, pace, now);
        Negotiated::Send(self.retransmission.first())
    }
}

/// The error that a notify in clear names. It proves nothing, but it may explain the silence.
pub(crate) fn hinted(own: Cookie, header: &Header, body: &[u8]) -> Result<NotifyType, Error> {
    if header.initiator != own || header.flags.is_encrypted() {
        return Err(Misbehaved::UnknownExchange.into());
    }
    let mut payloads = Payloads::new(Chain::parse(header.next, body, Padding::None)?);
    let notify = Notify::parse(payloads.take(PayloadType::NOTIFY)?.body)?;
    payloads.finish()?;
    match notify.kind.is_error() {
        true => Ok(notify.kind),
        false => Err(Malformed::Value("notify payload").into()),
    }
}
