//! The links of a key server: an ISAKMP SA with every server that it cooperates with, kept alive, renewed, and
//! watched by dead peer detection (RFC 3706). Either end may begin one.
//!
//! ```text
//!     datagram -> session table --- established ---> handover: which SAs there are, which one is sent under
//!             \-> owns: messages -> channel: COOP messages under one SA, or liveness: dead peer detection
//!     time ----> peer: phase 1 of our own
//! ```
//!
//! # Protocol decisions
//! * Exchange type 240, `HDR*, HASH(1), COOP` with the hash of an informational exchange; the COOP payload has type
//!   128 and begins with a sequence number of 8 octets, which counts from 1 for each SA and direction.
//! * Each number is taken once, in whatever order within a second: what several groups say at the same moment may overtake
//!   itself on its way. An announcement that came after a later one of its group is not listened to.
//! * Both sides of an ISAKMP SA use the same keys. So that nobody can send a server its own words, the top bit of a
//!   sequence number says that the responder of the phase 1 speaks, and so does bit 30 of the number of an R-U-THERE,
//!   which is random otherwise where RFC 3706 section 6.2 wants it to be.
//! * Only what is new proves that the peer lives: a COOP message, an R-U-THERE, the answer to one. Nothing else does,
//!   because it may be an old message again.
//! * The side that began a phase 1 sends an R-U-THERE under the new SA at once. Before the other side has heard
//!   something under it, it goes on to send under the SA it has: the last message of phase 1 may be lost.

mod channel;
mod handover;
mod liveness;
mod messages;
mod numbers;
mod peer;

use super::CoopPeer;
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved};
use crate::phase1::{Cookies, Credential, IsakmpSa};
use crate::policy::{Identity, Proposal};
use crate::wire::Header;
use channel::Side;
use peer::Link;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroizing;

/// All links of a key server, one to each cooperating server.
pub(crate) struct Links {
    settings: LinkSettings,
    links: BTreeMap<IpAddr, Link>,
    output: VecDeque<LinkOutput>,
}

/// What this server brings to every link.
pub(crate) struct LinkSettings {
    /// Where it is.
    pub(crate) own: SocketAddr,
    /// Who it says it is; the others expect its address.
    pub(crate) identity: Identity,
    /// What it offers in phase 1, in order of preference.
    pub(crate) proposals: Vec<Proposal>,
}

/// What came of a datagram or of time.
pub(crate) enum LinkOutput {
    /// Send this.
    Transmit(Transmit),
    /// An authenticated, fresh message of this peer: the body of its COOP payload. Others may have overtaken it.
    Received { peer: IpAddr, place: Place, body: Zeroizing<Vec<u8>> },
    /// The first ISAKMP SA with the peer stands; there was none.
    Up { peer: IpAddr },
    /// The last ISAKMP SA with the peer is gone.
    Down { peer: IpAddr, reason: Error },
    /// A phase 1 came to nothing; if this side began it, it tries again later.
    Failed { peer: IpAddr, reason: Error },
    /// A datagram that changed nothing.
    Rejected { from: SocketAddr, reason: Error },
}

/// Where a message stands among those of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    sa: Cookies,
    number: u64,
}

impl Place {
    /// Whether the other one was sent later. Of messages under two SAs that is not known.
    pub(crate) fn is_before(&self, other: &Place) -> bool {
        self.sa == other.sa && self.number < other.number
    }
}

/// One link, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkStatus {
    /// With whom.
    pub(crate) peer: IpAddr,
    /// How it stands.
    pub(crate) state: LinkState,
    /// Since when the SA stands that is sent under.
    pub(crate) established: Option<Instant>,
    /// COOP messages sent.
    pub(crate) sent: u64,
    /// COOP messages received.
    pub(crate) received: u64,
    /// Datagrams of the peer's address that changed nothing.
    pub(crate) rejected: u64,
    /// Questions whether the peer is alive.
    pub(crate) probes_sent: u64,
    /// Those of them that it has not answered.
    pub(crate) probes_unanswered: u64,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// No SA, and none asked for at the moment.
    None,
    /// No SA yet, but phase 1 is under way.
    Initiating,
    /// There is an SA.
    Up,
}

/// What the link to one peer needs from all of them.
struct Context<'a> {
    settings: &'a LinkSettings,
    output: &'a mut VecDeque<LinkOutput>,
    random: &'a mut dyn Random,
    now: Instant,
}

impl Links {
    /// Links to `peers`, which begin at the first [`Links::handle_timeout`].
    pub(crate) fn new(settings: LinkSettings, peers: Vec<CoopPeer>, now: Instant) -> Self {
        let links = begin(settings.own.ip(), peers, now);
        Links { settings, links, output: VecDeque::new() }
    }

    /// Changes the list: links to peers that are gone are deleted without [`LinkOutput::Down`], new ones begin. A
    /// new key holds from the next phase 1 on.
    pub(crate) fn set_peers(&mut self, peers: Vec<CoopPeer>, random: &mut dyn Random, now: Instant) {
        let mut links = begin(self.settings.own.ip(), peers, now);
        for (peer, mut known) in std::mem::take(&mut self.links) {
            match links.get_mut(&peer) {
                Some(link) => {
                    known.reconfigure(link.entry.clone(), now);
                    *link = known;
                }
                None => known.close(&mut context(&self.settings, &mut self.output, random, now)),
            }
        }
        self.links = links;
    }

    /// Whether a server to cooperate with has this address.
    pub(crate) fn is_peer(&self, address: IpAddr) -> bool {
        self.link(address).is_some()
    }

    /// What goes with this peer, for a phase 1 that it begins.
    pub(crate) fn credential(&self, address: IpAddr) -> Option<&Credential> {
        self.link(address).map(|link| &link.entry.credential)
    }

    /// A phase 1 that the peer began is done: from now on the SA is the link's.
    pub(crate) fn established(&mut self, peer: IpAddr, sa: IsakmpSa, random: &mut dyn Random, now: Instant) {
        let Links { settings, links, output } = self;
        let Some(link) = links.get_mut(&peer) else { return };
        link.establish(sa, Side::Responder, &mut context(settings, output, random, now));
    }

    /// Whether a datagram belongs here: it comes from a peer, and its cookies are those of an SA or of a phase 1
    /// that this side began.
    pub(crate) fn owns(&self, from: SocketAddr, header: &Header) -> bool {
        self.link(from.ip()).is_some_and(|link| link.owns(header))
    }

    /// Whether this is an SA with a peer that both sides agreed fragments with.
    pub(crate) fn talks_in_fragments(&self, from: SocketAddr, cookies: Cookies) -> bool {
        self.link(from.ip()).is_some_and(|link| link.talks_in_fragments(cookies))
    }

    /// Takes in a datagram.
    pub(crate) fn handle_datagram(
        &mut self,
        from: SocketAddr,
        header: &Header,
        body: &[u8],
        random: &mut dyn Random,
        now: Instant,
    ) {
        let Links { settings, links, output } = self;
        let link = links.get_mut(&from.ip());
        let result = match link {
            Some(link) => link.handle_message(header, body, &mut context(settings, output, random, now)),
            None => Err(Misbehaved::UnknownExchange.into()),
        };
        if let Err(reason) = result {
            self.output.push_back(LinkOutput::Rejected { from, reason });
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, random: &mut dyn Random, now: Instant) {
        let Links { settings, links, output } = self;
        for link in links.values_mut() {
            link.handle_timeout(&mut context(settings, output, random, now));
        }
    }

    /// When [`Links::handle_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.links.values().filter_map(Link::next_timeout).min()
    }

    /// Sends a COOP body to a peer; false, and nothing sent, while there is no SA, or when the body is too long.
    pub(crate) fn send(&mut self, peer: IpAddr, body: &[u8], random: &mut dyn Random) -> bool {
        let message = self.links.get_mut(&peer).and_then(|link| link.seal(body, random));
        let sent = message.is_some();
        self.output.extend(message.map(LinkOutput::Transmit));
        sent
    }

    /// Whether there is an SA with the peer.
    #[cfg(test)]
    pub(crate) fn is_up(&self, peer: IpAddr) -> bool {
        self.links.get(&peer).is_some_and(Link::is_up)
    }

    /// What is to be sent, before what else came of it.
    pub(crate) fn transmits(&mut self) -> impl Iterator<Item = Transmit> + '_ {
        let (transmits, rest): (VecDeque<_>, _) =
            self.output.drain(..).partition(|output| matches!(output, LinkOutput::Transmit(_)));
        self.output = rest;
        transmits.into_iter().filter_map(|output| match output {
            LinkOutput::Transmit(transmit) => Some(transmit),
            _ => None,
        })
    }

    /// The next thing that came of it all.
    pub(crate) fn poll(&mut self) -> Option<LinkOutput> {
        self.output.pop_front()
    }

    /// For operators.
    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        self.links.values().map(Link::status).collect()
    }

    fn link(&self, address: IpAddr) -> Option<&Link> {
        self.links.get(&address)
    }
}

/// A link to each of `peers`; a server is no peer of its own.
fn begin(own: IpAddr, peers: Vec<CoopPeer>, now: Instant) -> BTreeMap<IpAddr, Link> {
    let others = peers.into_iter().filter(|entry| entry.address.ip() != own);
    others.map(|entry| (entry.address.ip(), Link::new(own, entry, now))).collect()
}

fn context<'a>(
    settings: &'a LinkSettings,
    output: &'a mut VecDeque<LinkOutput>,
    random: &'a mut dyn Random,
    now: Instant,
) -> Context<'a> {
    Context { settings, output, random, now }
}

#[cfg(test)]
mod tests;
