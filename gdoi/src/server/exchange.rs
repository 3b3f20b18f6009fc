//! What a key server does with the messages of members: phase 1, then the PULL.

use super::group::Group;
use super::registrant::Registrant;
use super::sessions::{Established, Exchange, Session, SessionName};
use super::{Answer, KeyServer};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved, Unacceptable, Unauthenticated};
use crate::event::KeyServerEvent;
use crate::phase1::{Cookies, Credential, Informational, Responder, ResponderStep, Settings};
use crate::policy::{Doi, GroupId, Identity};
use crate::pull::{AwaitProof, Proof, Request};
use crate::wire::{emit_chain, Cookie, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType};
use std::net::{IpAddr, SocketAddr};

impl KeyServer {
    /// A whole message of IKEv1, however it came.
    pub(super) fn handle_message(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let (header, body) = match Header::parse(bytes) {
            Ok(parsed) => parsed,
            Err(reason) => return self.malformed(from, bytes, reason, now),
        };
        if header.exchange == ExchangeType::GROUPKEY_PUSH_ACK {
            self.acknowledgement(from, &header, body, now);
            return self.store_members(now);
        }
        let name = SessionName { peer: from, initiator: header.initiator.0 };
        let main_mode = header.exchange == ExchangeType::IDENTITY_PROTECTION;
        if self.links.owns(from, &header) && !(main_mode && self.sessions.knows(name)) {
            self.links.handle_datagram(from, &header, body, self.random.as_mut(), now);
            self.drain_links(now);
            return self.store_members(now);
        }
        let Some(mut session) = self.sessions.take(name) else {
            return self.open(name, &header, body, bytes, now);
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
        self.sessions.insert(name, session);
        self.store_members(now);
    }

    /// A message without a session: the first of a phase 1, or nothing of ours.
    pub(super) fn open(
        &mut self,
        name: SessionName,
        header: &Header,
        body: &[u8],
        datagram: &[u8],
        now: Instant,
    ) {
        let from = name.peer;
        if let Some(reply) = self.sessions.turned_away(datagram) {
            return reply.into_iter().for_each(|reply| self.transmit(from, reply));
        }
        match self.accept(from, header, body) {
            Ok((responder, reply)) => {
                self.transmit(from, reply.clone());
                let mut session = Session::half_open(responder, now);
                session.remember(datagram, reply);
                self.sessions.insert(name, session);
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
        let table = || self.credential_of(peer.ip());
        let own = self.links.credential(peer.ip()).cloned();
        Ok(Settings {
            credential: own.or_else(table).ok_or(Unacceptable::NoKey)?,
            identity: self.config.identity.clone(),
            proposals: self.config.proposals.clone(),
            doi: Doi::Gdoi,
        })
    }

    fn credential_of(&self, address: IpAddr) -> Option<Credential> {
        let candidates = self.config.credentials.iter().filter(|entry| entry.peers.contains(address));
        candidates.max_by_key(|entry| entry.peers.length()).map(|entry| entry.credential.clone())
    }

    pub(super) fn advance(
        &mut self,
        from: SocketAddr,
        session: &mut Session,
        header: &Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Answer, Error> {
        match &mut session.exchange {
            Exchange::MainMode(responder) => match responder.step(header, body, self.random.as_mut())? {
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
            Exchange::Pull(established) => match header.exchange {
                ExchangeType::GROUPKEY_PULL => self.pull(from, established, header, body, now),
                ExchangeType::INFORMATIONAL => match established.sa.informed(header, body)? {
                    Informational::Deleted => Ok(Answer::Close),
                    _ => Ok(Answer::Silence),
                },
                other => Err(Misbehaved::UnsupportedExchange(other).into()),
            },
            Exchange::Handed => Err(Misbehaved::UnknownExchange.into()),
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
                let (proof, group) = (pull.check(&established.sa, header, body)?, *group);
                let registrant = Registrant::of(from, &established.sa);
                let authorized = self.act(group, now, |group, _| Ok(group.check(&registrant)?));
                if let Err(Error::Unacceptable(reason)) = authorized {
                    established.pull = None;
                    return self.refuse_group(from, established, Some(group), reason);
                }
                let newer = |group: &mut Group, _: &mut dyn Random| {
                    Ok(group.nothing_newer_before(&registrant, proof.holds, now))
                };
                if let Some(delay) = self.act(group, now, newer)? {
                    established.pull = None;
                    let message = established.sa.postpone(delay, self.random.as_mut())?;
                    return Ok(Answer::Send(message));
                }
                let delivered = self.deliver(&registrant, established, group, (pull, &proof), now);
                established.pull = None;
                match delivered {
                    Ok(keys) => Ok(Answer::Send(keys)),
                    Err(reason) => {
                        self.report_refusal(from, Some(group), reason);
                        self.put_off(established)
                    }
                }
            }
            _ => {
                let request = Request::parse(&established.sa, header, body)?;
                established.begin(header.message_id)?;
                self.offer(from, established, request, now)
            }
        }
    }

    /// The keys for a member that has proved to be alive.
    fn deliver(
        &mut self,
        registrant: &Registrant,
        established: &Established,
        group: GroupId,
        (pull, proof): (&AwaitProof, &Proof),
        now: Instant,
    ) -> Result<Vec<u8>, Error> {
        let sa = &established.sa;
        let offered: Vec<_> = pull.generations().collect();
        // Sender IDs must not be forgotten before they are known: what happens to a group is stored first.
        self.act(group, now, |group, _| {
            let sids = group.give_sids(proof.sender_ids, &offered, registrant)?;
            let keys = pull.deliver(sa, proof, sids)?;
            group.register(registrant, now);
            Ok(keys)
        })
    }

    /// Answers a member that asks for a group: with the policy, or with a notify that says why not.
    fn offer(
        &mut self,
        from: SocketAddr,
        established: &mut Established,
        request: Request,
        now: Instant,
    ) -> Result<Answer, Error> {
        let (sa, registrant) = (&established.sa, Registrant::of(from, &established.sa));
        let Some(id) = self.groups.iter().find(|group| group.is_named(request.group())).map(Group::id) else {
            let reason = Unacceptable::UnknownGroup(group_text(request.group()));
            return self.refuse_group(from, established, None, reason);
        };
        let offered = self.act(id, now, |group, random| {
            group.authorize(&registrant)?;
            match group.admits(from) {
                true => request.offer(sa, group.policy(&registrant, now), random).map(Some),
                false => Ok(None),
            }
        });
        match offered {
            Ok(Some((pull, message))) => {
                established.pull = Some((pull, id));
                Ok(Answer::Send(message))
            }
            Ok(None) => self.put_off(established),
            Err(Error::Unacceptable(reason)) => self.refuse_group(from, established, Some(id), reason),
            Err(reason) => Err(reason),
        }
    }

    fn refuse_group(
        &mut self,
        from: SocketAddr,
        established: &Established,
        group: Option<GroupId>,
        reason: Unacceptable,
    ) -> Result<Answer, Error> {
        let kind = match reason {
            Unacceptable::UnknownGroup(_) => NotifyType::INVALID_ID_INFORMATION,
            Unacceptable::ForeignMember => NotifyType::NO_PROPOSAL_CHOSEN,
            _ => NotifyType::AUTHENTICATION_FAILED,
        };
        self.report_refusal(from, group, reason.into());
        Ok(Answer::Send(established.sa.notify(kind, self.random.as_mut())?))
    }

    fn report_refusal(&mut self, member: SocketAddr, group: Option<GroupId>, reason: Error) {
        let group = group.and_then(|id| self.group(id)).map(Group::name);
        self.report(KeyServerEvent::Refused { group, member, reason });
    }

    /// "Try later": a word of ours, which others would not understand.
    fn put_off(&mut self, established: &Established) -> Result<Answer, Error> {
        match established.sa.ours {
            true => Ok(Answer::Send(established.sa.notify(NotifyType::TRY_LATER, self.random.as_mut())?)),
            false => Ok(Answer::Silence),
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
