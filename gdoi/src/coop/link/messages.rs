//! What a link does with the messages of its peer.

use super::channel::Channel;
use super::liveness::Verdict;
use super::peer::{Initiation, Link};
use super::{Context, LinkOutput, Side};
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::phase1::{Cookies, Informational, Negotiated};
use crate::wire::{ExchangeType, Header, NotifyType};

impl Link {
    /// Whether a message is of an SA of this link or of a phase 1 that this side began. A main mode message may have
    /// the cookies of an SA that the peer began: that is the peer repeating its last message.
    pub(super) fn owns(&self, header: &Header) -> bool {
        let main_mode = header.exchange == ExchangeType::IDENTITY_PROTECTION;
        let of_sa = |channel: &Channel| {
            channel.sa.cookies == Cookies::of(header) && (channel.side == Side::Initiator || !main_mode)
        };
        self.negotiates(header) || self.channels.iter().any(of_sa)
    }

    pub(super) fn talks_in_fragments(&self, cookies: Cookies) -> bool {
        self.channels.iter().any(|channel| channel.sa.cookies == cookies && channel.sa.fragments)
    }

    fn negotiates(&self, header: &Header) -> bool {
        match &self.initiation {
            Initiation::Underway(negotiation) => negotiation.cookie() == header.initiator,
            _ => false,
        }
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// It changed nothing.
    pub(super) fn handle_message(
        &mut self,
        header: &Header,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let result = match self.negotiates(header) {
            true => self.negotiate(header, body, context),
            false => self.take_in(header, body, context),
        };
        self.rejected += u64::from(result.is_err());
        result
    }

    fn negotiate(&mut self, header: &Header, body: &[u8], context: &mut Context<'_>) -> Result<(), Error> {
        let Initiation::Underway(negotiation) = &mut self.initiation else { return Ok(()) };
        match negotiation.handle_message(header, body, context.random, context.now)? {
            Negotiated::Send(transmit) => context.output.push_back(LinkOutput::Transmit(transmit)),
            Negotiated::Nothing => {}
            Negotiated::Established(sa) => {
                self.initiation = Initiation::Idle;
                self.establish(*sa, Side::Initiator, context);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, header: &Header, body: &[u8], context: &mut Context<'_>) -> Result<(), Error> {
        let named =
            |channel: &Channel| channel.sa.cookies == Cookies::of(header) && channel.ends > context.now;
        let index = self.channels.iter().position(named).ok_or(Misbehaved::UnknownExchange)?;
        match header.exchange {
            ExchangeType::COOP => self.receive(index, header, body, context),
            ExchangeType::INFORMATIONAL => self.inform(index, header, body, context),
            ExchangeType::IDENTITY_PROTECTION => Err(Misbehaved::UnknownExchange.into()),
            other => Err(Misbehaved::UnsupportedExchange(other).into()),
        }
    }

    fn receive(
        &mut self,
        index: usize,
        header: &Header,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let (place, body) = self.channels[index].open(header, body, context.now)?;
        self.received += 1;
        context.output.push_back(LinkOutput::Received { peer: self.address(), place, body });
        self.hear(index, context);
        Ok(())
    }

    fn inform(
        &mut self,
        index: usize,
        header: &Header,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        match self.channels[index].sa.informed(header, body)? {
            Informational::Deleted => self.remove(index, Unacceptable::PeerDeleted, context),
            Informational::AreYouThere(number) => self.answer(index, number, context)?,
            Informational::StillHere(number) => {
                self.channels[index].liveness.answered(number)?;
                self.probes_answered += 1;
                self.hear(index, context);
            }
            // Proves nothing: it may be an old message again.
            Informational::Notified(_) | Informational::Postponed(_) | Informational::Other => {}
        }
        Ok(())
    }

    fn answer(&mut self, index: usize, number: u32, context: &mut Context<'_>) -> Result<(), Error> {
        let channel = &mut self.channels[index];
        channel.liveness.asked(number)?;
        let answer = channel.sa.liveness(NotifyType::R_U_THERE_ACK, number, context.random)?;
        context.output.push_back(LinkOutput::Transmit(self.to_peer(answer)));
        self.hear(index, context);
        Ok(())
    }

    /// Asks whether the peer is alive, when it has been quiet.
    pub(super) fn watch(&mut self, context: &mut Context<'_>) {
        let Some(sending) = self.channels.first_mut() else { return };
        match sending.liveness.handle_timeout(context.now) {
            Verdict::Wait => {}
            Verdict::Ask => self.ask(0, context),
            Verdict::Dead => self.bury(context),
        }
    }

    /// Asks under one SA. Without randomness nothing is sent: as if the question was lost.
    pub(super) fn ask(&mut self, index: usize, context: &mut Context<'_>) {
        let channel = &mut self.channels[index];
        let number = channel.liveness.ask();
        if let Ok(question) = channel.sa.liveness(NotifyType::R_U_THERE, number, context.random) {
            self.probes_sent += 1;
            context.output.push_back(LinkOutput::Transmit(self.to_peer(question)));
        }
    }
}
