//! A key server: authenticates members, authorizes them for groups, hands out policy and keys.

mod group;
mod sessions;

pub use group::{Authorization, GroupConfig, RekeyConfig};

use crate::crypto::{Random, Secret};
use crate::endpoint::{Endpoint, Instant, Output, Transmit};
use crate::error::{Error, Misbehaved, Unacceptable, Unauthenticated};
use crate::event::KeyServerEvent;
use crate::phase1::{Cookies, Informational, IsakmpSa, Responder, ResponderStep, Settings};
use crate::policy::{Doi, Identity, Ipv4Prefix, Proposal};
use crate::pull::Request;
use crate::rejections::{Rejections, Report};
use crate::status::KeyServerStatus;
use crate::wire::{emit_chain, Cookie, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType};
use group::Group;
use sessions::{Established, Session, Sessions, State};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What a key server is told.
#[derive(Debug)]
pub struct KeyServerConfig {
    /// Who it says it is; members expect the address that they ask.
    pub identity: Identity,
    /// The address and port from which it answers.
    pub address: SocketAddrV4,
    /// Pre-shared keys; the longest prefix that contains a peer's address gives its key.
    pub psks: Vec<PskEntry>,
    /// The phase 1 proposals that it accepts.
    pub proposals: Vec<Proposal>,
    /// Its groups.
    pub groups: Vec<GroupConfig>,
}

/// A pre-shared key for some peers.
#[derive(Clone, Debug)]
pub struct PskEntry {
    /// Which.
    pub peers: Ipv4Prefix,
    /// The key.
    pub key: Secret,
}

/// A key server.
pub struct KeyServer {
    config: KeyServerConfig,
    random: Box<dyn Random + Send>,
    groups: Vec<Group>,
    sessions: Sessions,
    output: VecDeque<Output<KeyServerEvent>>,
    rejections: Rejections,
}

/// What to do with a message that was taken in.
enum Answer {
    /// Send this, now and whenever the same message comes again.
    Send(Vec<u8>),
    /// Nothing.
    Silence,
    /// Forget the session.
    Close,
}

impl KeyServer {
    /// A key server with fresh keys for every group.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn new(
        mut config: KeyServerConfig,
        random: Box<dyn Random + Send>,
        now: Instant,
    ) -> Result<Self, Error> {
        let address = config.address;
        let groups = config.groups.drain(..).map(|group| Group::new(group, address)).collect();
        let (sessions, output, rejections) = (Sessions::default(), VecDeque::new(), Rejections::default());
        let mut server = KeyServer { config, random, groups, sessions, output, rejections };
        server.refresh_groups(now)?;
        Ok(server)
    }

    /// For operators.
    pub fn status(&self, now: Instant) -> KeyServerStatus {
        let (half_open, established) = self.sessions.count();
        KeyServerStatus {
            identity: self.config.identity.clone(),
            half_open,
            established,
            rejected: self.rejections.total(),
            groups: self.groups.iter().map(|group| group.status(now)).collect(),
        }
    }

    fn refresh_groups(&mut self, now: Instant) -> Result<(), Error> {
        for group in &mut self.groups {
            let events = group.refresh(self.random.as_mut(), now)?;
            self.output.extend(events.into_iter().map(Output::Event));
        }
        Ok(())
    }

    fn report(&mut self, event: KeyServerEvent) {
        self.output.push_back(Output::Event(event));
    }

    /// Reports what bad messages led to, within bounds.
    fn complain(&mut self, event: KeyServerEvent, now: Instant) {
        if self.rejections.count(now) == Report::Yes {
            self.report(event);
        }
    }

    fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.output.push_back(Output::Transmit(Transmit { to, payload }));
    }

    /// A message without a session: the first of a phase 1, or nothing of ours.
    fn open(&mut self, from: SocketAddr, header: &Header, body: &[u8], datagram: &[u8], now: Instant) {
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
                let reply =
                    no_proposal.then(|| clear_notify(Cookies::of(header), NotifyType::NO_PROPOSAL_CHOSEN));
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
        let address = ipv4(peer).ok_or(Unacceptable::NoKey)?;
        let candidates = self.config.psks.iter().filter(|entry| entry.peers.contains(address));
        let entry = candidates.max_by_key(|entry| entry.peers.length()).ok_or(Unacceptable::NoKey)?;
        Ok(Settings {
            psk: entry.key.clone(),
            identity: self.config.identity.clone(),
            proposals: self.config.proposals.clone(),
            doi: Doi::Gdoi,
        })
    }

    fn advance(
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
                    session.establish(sa, now);
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
                let keys = pull.step(&established.sa, header, body)?;
                let event = self.groups[*group].register(from, &established.sa, now);
                established.pull = None;
                self.report(event);
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
            Ok((index, member)) => {
                let policy = self.groups[index].policy(member, now);
                let (pull, message) = request.offer(&established.sa, policy, self.random.as_mut())?;
                established.pull = Some((pull, index));
                Ok(Answer::Send(message))
            }
            Err((group, reason)) => {
                let kind = match reason {
                    Unacceptable::UnknownGroup(_) => NotifyType::INVALID_ID_INFORMATION,
                    _ => NotifyType::AUTHENTICATION_FAILED,
                };
                let group = group.map(|index| self.groups[index].name());
                self.report(KeyServerEvent::Refused { group, member: from, reason: reason.into() });
                Ok(Answer::Send(established.sa.notify(kind, self.random.as_mut())?))
            }
        }
    }

    /// The group asked for, if this member may have it.
    fn authorized(
        &mut self,
        from: SocketAddr,
        sa: &IsakmpSa,
        asked: &[u8],
    ) -> Result<(usize, Ipv4Addr), (Option<usize>, Unacceptable)> {
        let found = self.groups.iter().position(|group| group.is_named(asked));
        let index = found.ok_or_else(|| (None, Unacceptable::UnknownGroup(group_text(asked))))?;
        let address = ipv4(from).ok_or((Some(index), Unacceptable::Address))?;
        match self.groups[index].authorize(address, &sa.peer) {
            Ok(()) => Ok((index, address)),
            Err(reason) => Err((Some(index), reason)),
        }
    }

    /// A message that changed nothing; only a wrong pre-shared key is worth an answer.
    fn refuse(
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
                let notify = clear_notify(Cookies::of(header), NotifyType::AUTHENTICATION_FAILED);
                session.remember_refusal(datagram, notify.clone());
                self.transmit(from, notify);
                KeyServerEvent::Phase1Failed { peer: from, reason }
            }
            reason => KeyServerEvent::Rejected { from, reason },
        };
        self.complain(event, now);
    }
}

impl Endpoint for KeyServer {
    type Command = Infallible;
    type Event = KeyServerEvent;

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let (header, body) = match Header::parse(bytes) {
            Ok(parsed) => parsed,
            Err(reason) => {
                return self.complain(KeyServerEvent::Rejected { from, reason: reason.into() }, now)
            }
        };
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
    }

    fn handle_command(&mut self, command: Infallible, _: Instant) {
        match command {}
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.sessions.sweep(now);
        if let Err(reason) = self.refresh_groups(now) {
            // Without randomness there is no new key; the old one serves on, and the next timeout tries again.
            self.complain(
                KeyServerEvent::Rejected { from: SocketAddr::V4(self.config.address), reason },
                now,
            );
        }
    }

    fn poll(&mut self) -> Output<KeyServerEvent> {
        self.output.pop_front().unwrap_or_else(|| {
            let groups = self.groups.iter().filter_map(Group::next_change).min();
            Output::Wait(groups.into_iter().chain(self.sessions.next_sweep()).min())
        })
    }
}

/// A peer that identifies itself by address must do so by its own.
fn check_identity(from: SocketAddr, identity: &Identity) -> Result<(), Error> {
    match identity {
        Identity::Address(address) if ipv4(from) != Some(*address) => {
            Err(Unacceptable::UnexpectedIdentity(identity.to_string()).into())
        }
        _ => Ok(()),
    }
}

fn ipv4(peer: SocketAddr) -> Option<Ipv4Addr> {
    match peer {
        SocketAddr::V4(peer) => Some(*peer.ip()),
        SocketAddr::V6(_) => None,
    }
}

fn group_text(asked: &[u8]) -> String {
    match <[u8; 4]>::try_from(asked) {
        Ok(octets) => u32::from_be_bytes(octets).to_string(),
        Err(_) => asked.escape_ascii().to_string(),
    }
}

/// An informational message outside any protection: a hint for operators, never a proof.
fn clear_notify(cookies: Cookies, kind: NotifyType) -> Vec<u8> {
    let header = Header {
        initiator: cookies.initiator,
        responder: cookies.responder,
        next: PayloadType::NOTIFY,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::NONE,
        message_id: 0,
    };
    header.emit(&emit_chain(&[(PayloadType::NOTIFY, &Notify { kind }.emit())]))
}
