//! What a key server does with the messages of members: phase 1, then the PULL.

use super::sessions::{Established, Session, State};
use super::{Answer, KeyServer};
use crate::crypto::Secret;
use crate::endpoint::{Instant, Output};
use crate::error::{Error, Misbehaved, Unacceptable, Unauthenticated};
use crate::event::KeyServerEvent;
use crate::phase1::{Cookies, Informational, IsakmpSa, Responder, ResponderStep, Settings};
use crate::policy::{Doi, Identity};
use crate::pull::Request;
use crate::wire::{emit_chain, Cookie, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType};
use std::net::{IpAddr, SocketAddr};

impl KeyServer {
    /// A whole message, however it came.
    pub(super) fn handle_message(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let (header, body) = match Header::parse(bytes) {
            Ok(parsed) => parsed,
            Err(reason) => return self.malformed(from, bytes, reason, now),
        };
        if header.exchange == ExchangeType::GROUPKEY_PUSH_ACK {
            self.acknowledgement(from, &header, body, now);
            return self.store_members(now);
        }
        let main_mode = header.exchange == ExchangeType::IDENTITY_PROTECTION;
        if self.links.owns(from, &header) && !(main_mode && self.sessions.knows(from, header.initiator)) {
            self.links.handle_datagram(from, &header, body, self.random.as_mut(), now);
            self.drain_links(now);
            return self.store_members(now);
        }
        let Some(mut session) = self.sessions.take(from, header.initiator) else {
            return self.open(from, &header, body, bytes, now);
        };
        let answer = match session.repeated(bytes) {
            Some(reply) => Ok(Answer::Send(reply)),
            None => self.advance(from, &mut session, &header, body, now),
        };
        match answer {
            Ok(Answer::Send(message)) => {
                session.remember(bytes, message.clone());
                self.transmit(from, message);
            }
            Ok(Answer::Silence) => {}
            Ok(Answer::Close) => return,
            Err(reason) => self.refuse(from, &mut session, &header, bytes, reason, now),
        }
        self.sessions.insert(from, header.initiator, session);
        let registered: Vec<_> =
            self.groups.iter_mut().flat_map(|group| std::mem::take(&mut group.events)).collect();
        self.output.extend(registered.into_iter().map(Output::Event));
        self.store_members(now);
    }

    /// A message without a session: the first of a phase 1, or nothing of ours.
    pub(super) fn open(
        &mut self,
        from: SocketAddr,
        header: &Header,
        body: &[u8],
        datagram: &[u8],
        now: Instant,
    ) {
        if let Some(reply) = self.sessions.turned_away(datagram) {
            return reply.into_iter().for_each(|reply| self.transmit(from, reply));
        }
        match self.accept(from, header, body) {
            Ok((responder, reply)) => {
                self.transmit(from, reply.clone());
                let mut session = Session::half_open(responder, now);
                session.remember(datagram, reply);
                self.sessions.insert(from, header.initiator, session);
            }
            Err(reason @ Error::Unacceptable(_)) => {
                let no_proposal = reason == Unacceptable::NoProposal.into();
                let notify = || clear_notify(Cookies::of(header), NotifyType::NO_PROPOSAL_CHOSEN);
                let reply = no_proposal.then(notify).flatten();
                self.sessions.turn_away(datagram, reply.clone());
                reply.into_iter().for_each(|reply| self.transmit(from, reply));
                self.complain(KeyServerEvent::Phase1Failed { peer: from, reason }, now);
            }
            Err(reason) => self.complain(KeyServerEvent::Rejected { from, reason }, now),
        }
    }

    fn accept(
        &mut self,
        from: SocketAddr,
        header: &Header,
        body: &[u8],
    ) -> Result<(Responder, Vec<u8>), Error> {
        match header.exchange {
            ExchangeType::IDENTITY_PROTECTION if header.responder == Cookie::ZERO => {}
            ExchangeType::IDENTITY_PROTECTION | ExchangeType::GROUPKEY_PULL | ExchangeType::INFORMATIONAL => {
                return Err(Misbehaved::UnknownExchange.into())
            }
            other => return Err(Misbehaved::UnsupportedExchange(other).into()),
        }
        let settings = self.settings(from)?;
        self.sessions.admit(from)?;
        Responder::start(settings, header, body, self.random.as_mut())
    }

    fn settings(&self, peer: SocketAddr) -> Result<Settings, Error> {
        let table = || self.key_of(peer.ip());
        let psk = self.links.psk(peer.ip()).cloned().or_else(table).ok_or(Unacceptable::NoKey)?;
        Ok(Settings {
            psk,
            identity: self.config.identity.clone(),
            proposals: self.config.proposals.clone(),
            doi: Doi::Gdoi,
        })
    }

    fn key_of(&self, address: IpAddr) -> Option<Secret> {
        let candidates = self.config.psks.iter().filter(|entry| entry.peers.contains(address));
        candidates.max_by_key(|entry| entry.peers.length()).map(|entry| entry.key.clone())
    }

    pub(super) fn advance(
        &mut self,
        from: SocketAddr,
        session: &mut Session,
        header: &Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Answer, Error> {
        match &mut session.state {
            State::HalfOpen(responder) => match responder.step(header, body, self.random.as_mut())? {
                ResponderStep::Next(next, message) => {
                    **responder = next;
                    Ok(Answer::Send(message))
                }
                ResponderStep::Established(sa, message) => {
                    check_identity(from, &sa.peer)?;
                    match self.links.is_peer(from.ip()) {
                        true => {
                            session.hand_over();
                            self.links.established(from.ip(), sa, self.random.as_mut(), now);
                        }
                        false => session.establish(sa, now),
                    }
                    Ok(Answer::Send(message))
                }
            },
            State::Established(established) => match header.exchange {
                ExchangeType::GROUPKEY_PULL => self.pull(from, established, header, body, now),
                ExchangeType::INFORMATIONAL => match established.sa.informed(header, body)? {
                    Informational::Deleted => Ok(Answer::Close),
                    _ => Ok(Answer::Silence),
                },
                other => Err(Misbehaved::UnsupportedExchange(other).into()),
            },
            State::Handed => Err(Misbehaved::UnknownExchange.into()),
        }
    }

    fn pull(
        &mut self,
        from: SocketAddr,
        established: &mut Established,
        header: &Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Answer, Error> {
        match &established.pull {
            Some((pull, group)) if pull.message_id() == header.message_id => {
                let proof = pull.check(&established.sa, header, body)?;
                let index = *group;
                let group = &mut self.groups[index];
                let sids = match group.give_sids(proof.sender_ids, pull, &established.sa) {
                    Err(reason) => return self.refuse_sids(from, established, index, reason),
                    Ok(sids) => sids,
                };
                let keys = pull.deliver(&established.sa, &proof, sids)?;
                group.register(from, &established.sa, group.clock.time(now));
                group.share_members(now);
                established.pull = None;
                // Sender IDs must not be forgotten before they are known.
                self.flush(index, Vec::new(), now);
                Ok(Answer::Send(keys))
            }
            _ => {
                let request = Request::parse(&established.sa, header, body)?;
                established.begin(header.message_id)?;
                self.offer(from, established, request, now)
            }
        }
    }

    /// Answers a member that asks for a group: with the policy, or with a notify that says why not.
    fn offer(
        &mut self,
        from: SocketAddr,
        established: &mut Established,
        request: Request,
        now: Instant,
    ) -> Result<Answer, Error> {
        match self.authorized(from, &established.sa, request.group()) {
            Ok((index, _)) if self.groups[index].is_blocked(from) => self.put_off(established),
            Ok((index, member)) => {
                let time = self.groups[index].clock.time(now);
                let policy = self.groups[index].policy(member, &established.sa, time);
                let (pull, message) = request.offer(&established.sa, policy, self.random.as_mut())?;
                established.pull = Some((pull, index));
                Ok(Answer::Send(message))
            }
            Err((group, reason)) => {
                let kind = match reason {
                    Unacceptable::UnknownGroup(_) => NotifyType::INVALID_ID_INFORMATION,
                    Unacceptable::ForeignMember => NotifyType::NO_PROPOSAL_CHOSEN,
                    _ => NotifyType::AUTHENTICATION_FAILED,
                };
                let group = group.map(|index| self.groups[index].name());
                self.report(KeyServerEvent::Refused { group, member: from, reason: reason.into() });
                Ok(Answer::Send(established.sa.notify(kind, self.random.as_mut())?))
            }
        }
    }

    fn refuse_sids(
        &mut self,
        from: SocketAddr,
        established: &mut Established,
        index: usize,
        reason: Error,
    ) -> Result<Answer, Error> {
        established.pull = None;
        let group = Some(self.groups[index].name());
        self.report(KeyServerEvent::Refused { group, member: from, reason });
        self.put_off(established)
    }

    /// "Try later": a word of ours, which others would not understand.
    fn put_off(&mut self, established: &Established) -> Result<Answer, Error> {
        match established.sa.ours {
            true => Ok(Answer::Send(established.sa.notify(NotifyType::TRY_LATER, self.random.as_mut())?)),
            false => Ok(Answer::Silence),
        }
    }

    /// The group asked for, if this member may have it.
    fn authorized(
        &mut self,
        from: SocketAddr,
        sa: &IsakmpSa,
        asked: &[u8],
    ) -> Result<(usize, IpAddr), (Option<usize>, Unacceptable)> {
        let found = self.groups.iter().position(|group| group.is_named(asked));
        let index = found.ok_or_else(|| (None, Unacceptable::UnknownGroup(group_text(asked))))?;
        let address = from.ip();
        let group = &mut self.groups[index];
        match group.authorize(address, &sa.peer).and_then(|()| group.admit(from, sa)) {
            Ok(()) => Ok((index, address)),
            Err(reason) => Err((Some(index), reason)),
        }
    }

    /// A message that changed nothing; only a wrong pre-shared key is worth an answer.
    pub(super) fn refuse(
        &mut self,
        from: SocketAddr,
        session: &mut Session,
        header: &Header,
        datagram: &[u8],
        reason: Error,
        now: Instant,
    ) {
        let event = match reason {
            Error::Unauthenticated(Unauthenticated::PreSharedKey) | Error::Unacceptable(_) => {
                if let Some(notify) = clear_notify(Cookies::of(header), NotifyType::AUTHENTICATION_FAILED) {
                    session.remember_refusal(datagram, notify.clone());
                    self.transmit(from, notify);
                }
                KeyServerEvent::Phase1Failed { peer: from, reason }
            }
            reason => KeyServerEvent::Rejected { from, reason },
        };
        self.complain(event, now);
    }
}

/// A peer that identifies itself by address must do so by its own.
fn check_identity(from: SocketAddr, identity: &Identity) -> Result<(), Error> {
    match identity {
        Identity::Address(address) if from.ip() != *address => {
            Err(Unacceptable::UnexpectedIdentity(identity.to_string()).into())
        }
        _ => Ok(()),
    }
}

fn group_text(asked: &[u8]) -> String {
    match <[u8; 4]>::try_from(asked) {
        Ok(octets) => u32::from_be_bytes(octets).to_string(),
        Err(_) => asked.escape_ascii().to_string(),
    }
}

/// An informational message outside any protection: a hint for operators, never a proof.
fn clear_notify(cookies: Cookies, kind: NotifyType) -> Option<Vec<u8>> {
    let header = Header {
        initiator: cookies.initiator,
        responder: cookies.responder,
        next: PayloadType::NOTIFY,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::NONE,
        message_id: 0,
    };
    let notify = Notify { kind }.emit().ok()?;
    header.emit(&emit_chain(&[(PayloadType::NOTIFY, &notify)]).ok()?).ok()
}
