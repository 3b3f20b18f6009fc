//! What a key server does with the messages of members: phase 1, then the PULL.

use super::door::is_first;
use super::group::Group;
use super::hint::clear_notify;
use super::registrant::Registrant;
use super::session_name::SessionName;
use super::sessions::{Established, Exchange, Session};
use super::{Answer, KeyServer};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved, Unacceptable, Unauthenticated};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::phase1::{Cookies, Informational, ResponderStep};
use crate::policy::GroupId;
use crate::pull::{AwaitProof, Proof, Request, GROUP_IDENTITY};
use crate::wire::{ExchangeType, Header, NotifyType};
use std::net::SocketAddr;

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
        if header.exchange == ExchangeType::COOP && !self.links.is_peer(from.ip()) {
            let event = CoopEvent::Refused { peer: from.ip(), reason: Unacceptable::NotAPeer.into() };
            return self.complain(KeyServerEvent::Coop { group: None, event }, now);
        }
        let name = SessionName { peer: from, initiator: header.initiator.0 };
        let main_mode = header.exchange == ExchangeType::IDENTITY_PROTECTION;
        if self.links.owns(from, &header) && !(main_mode && self.sessions.knows(name)) {
            self.links.handle_datagram(from, &header, body, self.random.as_mut(), now);
            self.drain_links(now);
            return self.store_members(now);
        }
        if is_first(&header) {
            return self.open(from, &header, body, bytes, now);
        }
        match self.sessions.take(name) {
            Some(session) => self.go_on(name, session, bytes, now),
            None => self.come_back(name, &header, body, bytes, now),
        }
        self.store_members(now);
    }

    /// A message of a session.
    pub(super) fn go_on(&mut self, name: SessionName, mut session: Session, datagram: &[u8], now: Instant) {
        let from = name.peer;
        if let Some(reply) = session.repeated(datagram) {
            self.transmit(from, reply);
            return self.sessions.put_back(name, session, now);
        }
        let answer = match Header::parse(datagram) {
            Ok((header, body)) => {
                self.advance(from, &mut session, &header, body, now).map_err(|reason| (reason, header))
            }
            Err(_) => Ok(Answer::Silence),
        };
        match answer {
            Ok(Answer::Send(message)) => {
                session.remember(datagram, message.clone());
                session.live_on(now);
                self.transmit(from, message);
            }
            Ok(Answer::Silence) => {}
            Ok(Answer::Close) => return self.sessions.end(name, &session, now),
            Err((reason, header)) => self.refuse(from, &mut session, &header, datagram, reason, now),
        }
        self.sessions.put_back(name, session, now);
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
            // The same message again, since an exchange has but one third.
            Exchange::Waiting(_) => Ok(Answer::Silence),
            Exchange::MainMode(responder) => match responder.step(header, body, self.random.as_mut())? {
                ResponderStep::Next(next, message) => {
                    **responder = next;
                    Ok(Answer::Send(message))
                }
                ResponderStep::Established(sa, message) => {
                    self.check_identity(from, &sa.peer)?;
                    self.door.prove(from.ip(), responder);
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
                ExchangeType::GROUPKEY_PULL => match self.pull(from, established, header, body, now) {
                    // What is refused under an SA is refused under it (RFC 2408 section 4.8).
                    Err(Error::Unacceptable(reason)) => {
                        self.refuse_group(from, established, None, reason, now)
                    }
                    done => done,
                },
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
                let registrant = self.registrant(from, &established.sa);
                let authorized = self.act(group, now, |group, _| Ok(group.check(&registrant)?));
                if let Err(Error::Unacceptable(reason)) = authorized {
                    established.pull = None;
                    return self.refuse_group(from, established, Some(group), reason, now);
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
                        let again = reason == Unacceptable::KeysChanged.into() && !established.sa.ours;
                        self.report_refusal(from, Some(group), reason, now);
                        match again {
                            // Other software begins anew when its SA is gone, sooner than when nothing comes.
                            true => Ok(Answer::Send(established.sa.delete(self.random.as_mut())?)),
                            false => self.put_off(established),
                        }
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
            group.check_offer(pull.policy())?;
            let sids = group.give_sids(proof.sender_ids, &offered, registrant)?;
            let keys = pull.deliver(sa, proof, sids)?;
            group.register(registrant, pull.policy(), now);
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
        let (sa, registrant) = (&established.sa, self.registrant(from, &established.sa));
        let Some(id) = self.groups.iter().find(|group| group.is_named(request.group())).map(Group::id) else {
            let reason = Unacceptable::UnknownGroup(group_text(request.group()));
            return self.refuse_group(from, established, None, reason, now);
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
            Err(Error::Unacceptable(reason)) => self.refuse_group(from, established, Some(id), reason, now),
            Err(reason) => Err(reason),
        }
    }

    fn refuse_group(
        &mut self,
        from: SocketAddr,
        established: &Established,
        group: Option<GroupId>,
        reason: Unacceptable,
        now: Instant,
    ) -> Result<Answer, Error> {
        let kind = match reason {
            Unacceptable::UnknownGroup(_) | Unacceptable::Unsupported(GROUP_IDENTITY, _) => {
                NotifyType::INVALID_ID_INFORMATION
            }
            Unacceptable::Unsupported(..) => NotifyType::ATTRIBUTES_NOT_SUPPORTED,
            Unacceptable::Busy => {
                self.report_refusal(from, group, reason.into(), now);
                return self.put_off(established);
            }
            Unacceptable::ForeignMember => NotifyType::NO_PROPOSAL_CHOSEN,
            _ => NotifyType::AUTHENTICATION_FAILED,
        };
        self.report_refusal(from, group, reason.into(), now);
        Ok(Answer::Send(established.sa.notify(kind, self.random.as_mut())?))
    }

    fn report_refusal(&mut self, member: SocketAddr, group: Option<GroupId>, reason: Error, now: Instant) {
        let group = group.and_then(|id| self.group(id)).map(Group::name);
        self.tell(KeyServerEvent::Refused { group, member, reason }, now);
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
                let (cookies, kind) = (Cookies::of(header), NotifyType::AUTHENTICATION_FAILED);
                if let Some(notify) = clear_notify(cookies, kind, self.random.as_mut()) {
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

fn group_text(asked: &[u8]) -> String {
    match <[u8; 4]>::try_from(asked) {
        Ok(octets) => u32::from_be_bytes(octets).to_string(),
        Err(_) => asked.escape_ascii().to_string(),
    }
}
