//! Who is primary: a pure machine that is told what peers say and decides what this server is.
//!
//! A *reign* is a primary and the number of its epoch. The primary counts its announcements (heartbeats), and every
//! server passes the highest count on, so that a reign is known to live wherever it can be heard through others; it is
//! over when its count stands still. Of several living reigns the one of the highest priority, then address, goes on.

mod claim;
mod others;

pub(crate) use claim::{Claim, Reign, Step, Word};

use super::{Preemption, Redundancy, Role};
use crate::endpoint::Instant;
use others::{Heard, Others};
use std::net::IpAddr;

/// Whether the role can be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Idle,
    /// A rekey is under way.
    Busy,
}

/// A change of what this server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Primary {
        previous: Option<IpAddr>,
        epoch: u64,
    },
    Secondary {
        primary: IpAddr,
        epoch: u64,
    },
    /// Nobody is primary.
    Leaderless {
        lost: Option<IpAddr>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Starting { since: Instant },
    Following { primary: IpAddr, since: Instant },
    Electing { since: Instant, lost: Option<IpAddr> },
    Reigning { epoch: u64, yielding: Option<(IpAddr, Instant)> },
}

#[derive(Debug)]
pub(crate) struct Election {
    own: IpAddr,
    rules: Redundancy,
    standing: Standing,
    /// The highest known.
    epoch: u64,
    heartbeat: u64,
    others: Others,
    resigned: bool,
}

impl Election {
    /// A server that has just started.
    pub(crate) fn new(own: IpAddr, rules: Redundancy, now: Instant) -> Self {
        Election::begin(own, rules, Standing::Starting { since: now })
    }

    /// A server without others: it is primary from the beginning.
    pub(crate) fn alone(own: IpAddr) -> Self {
        Election::begin(own, Redundancy::NONE, Standing::Reigning { epoch: 0, yielding: None })
    }

    fn begin(own: IpAddr, rules: Redundancy, standing: Standing) -> Self {
        let others = Others::new(rules.patience());
        Election { own, rules, standing, epoch: 0, heartbeat: 0, others, resigned: false }
    }

    pub(crate) fn role(&self) -> Role {
        match self.standing {
            Standing::Starting { .. } => Role::Starting,
            Standing::Following { .. } => Role::Secondary,
            Standing::Electing { .. } => Role::Electing,
            Standing::Reigning { yielding: None, .. } => Role::Primary,
            Standing::Reigning { .. } => Role::Yielding,
        }
    }

    pub(crate) const fn rules(&self) -> &Redundancy {
        &self.rules
    }

    /// Other rules; peers that are no more named are forgotten.
    pub(crate) fn set_rules(&mut self, rules: Redundancy) {
        self.others.keep(&rules.peers, rules.patience());
        self.rules = rules;
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn resigned(&self) -> bool {
        self.resigned
    }

    /// Who is primary.
    pub(crate) const fn primary(&self) -> Option<IpAddr> {
        match self.standing {
            Standing::Reigning { .. } => Some(self.own),
            Standing::Following { primary, .. } => Some(primary),
            Standing::Starting { .. } | Standing::Electing { .. } => None,
        }
    }

    pub(crate) fn is_alive(&self, peer: IpAddr, now: Instant) -> bool {
        self.others.is_alive(peer, now)
    }

    /// The peers that are heard.
    pub(crate) fn alive(&self, now: Instant) -> impl Iterator<Item = IpAddr> + '_ {
        self.others.heard(now).map(|(peer, _)| peer)
    }

    /// What a peer said last, how its keys compared, and when.
    pub(crate) fn last_word(&self, peer: IpAddr) -> Option<(Word, Step, Instant)> {
        self.others.last(peer).map(|heard| (heard.word, heard.step, heard.at))
    }

    /// The reign of this server, if it is one, lives on.
    pub(crate) fn beat(&mut self) {
        self.heartbeat += 1;
    }

    /// An epoch that was known in an earlier life.
    pub(crate) fn know(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// What an announcement says.
    pub(crate) fn word(&self, now: Instant) -> Word {
        Word {
            role: self.role(),
            priority: self.rules.priority,
            epoch: self.epoch,
            reign: self.followed(),
            claims: self.claim(now),
            successor: self.successor(),
        }
    }

    fn followed(&self) -> Option<Reign> {
        match self.standing {
            Standing::Reigning { epoch, .. } => {
                let (primary, priority, heartbeat) = (self.own, self.rules.priority, self.heartbeat);
                Some(Reign { primary, priority, epoch, heartbeat })
            }
            Standing::Following { primary, .. } => self.others.reign_of(primary),
            Standing::Starting { .. } | Standing::Electing { .. } => None,
        }
    }

    /// A server that has been back for long enough wants its role again.
    fn claim(&self, now: Instant) -> Claim {
        let (Standing::Following { primary, since }, Preemption::After(hold_down), false) =
            (self.standing, self.rules.preemption, self.resigned)
        else {
            return Claim::None;
        };
        let lower = self.others.reign_of(primary).is_some_and(|reign| reign.priority < self.rules.priority);
        match lower && now.saturating_since(since) >= hold_down {
            true => Claim::Laid,
            false => Claim::None,
        }
    }

    /// Takes in what a peer says of itself.
    pub(crate) fn hear(&mut self, peer: IpAddr, word: Word, step: Step, now: Instant) {
        self.epoch = self.epoch.max(word.epoch);
        let reign = word.reign.filter(|reign| reign.primary != self.own);
        self.epoch = reign.iter().map(|reign| reign.epoch).fold(self.epoch, u64::max);
        self.others.hear(peer, Word { reign, ..word }, step, now);
    }

    /// A peer's keys changed against ours without a word from it.
    pub(crate) fn compare(&mut self, peer: IpAddr, step: Step) {
        self.others.compare(peer, step);
    }

    /// Listens anew who is there, as after a start.
    pub(crate) fn start_again(&mut self, now: Instant) {
        self.standing = Standing::Starting { since: now };
        self.others = Others::new(self.rules.patience());
    }

    /// To whom the role is being handed over.
    pub(crate) const fn successor(&self) -> Option<IpAddr> {
        match self.standing {
            Standing::Reigning { yielding: Some((to, _)), .. } => Some(to),
            _ => None,
        }
    }

    /// Whether another server could take the role.
    pub(crate) fn has_successor(&self, now: Instant) -> bool {
        self.others.in_step(now).next().is_some()
    }

    /// Hands the role to the best of the others, on an operator's word; false if there is none.
    pub(crate) fn resign(&mut self, now: Instant) -> bool {
        let candidates = self.others.in_step(now).map(|(peer, heard)| (heard.word.priority, peer));
        let Some((_, to)) = candidates.max() else { return false };
        let resigned = self.yield_to(to, now);
        self.resigned |= resigned;
        resigned
    }

    fn yield_to(&mut self, to: IpAddr, now: Instant) -> bool {
        match &mut self.standing {
            Standing::Reigning { yielding, .. } => *yielding = Some((to, now)),
            _ => return false,
        }
        true
    }

    /// Decides; to be called again until it has nothing more to say.
    pub(crate) fn judge(&mut self, work: Work, now: Instant) -> Option<Turn> {
        match self.standing {
            Standing::Reigning { epoch, yielding } => self.reign_on(epoch, yielding, work, now),
            standing => match self.others.best_reign(now) {
                Some(reign) if self.is_offered_by(reign.primary, now) => Some(self.crown()),
                Some(reign) => self.follow(reign, now),
                None => self.without_primary(standing, now),
            },
        }
    }

    /// Whether another reign lives beside this server's.
    pub(crate) fn has_rival(&self, now: Instant) -> bool {
        self.others.best_reign(now).is_some()
    }

    fn is_offered_by(&self, primary: IpAddr, now: Instant) -> bool {
        let offers = |heard: &Heard| heard.word.successor == Some(self.own) && heard.step == Step::Same;
        self.others.is_alive(primary, now) && self.others.last(primary).is_some_and(offers)
    }

    /// Who reigns goes on unless a better reign with a later epoch lives. The best of all that reign begins an epoch later
    /// than all that it hears of, so that the others learn that they are not; they only wait for it, or epochs would
    /// grow without end.
    fn reign_on(
        &mut self,
        epoch: u64,
        yielding: Option<(IpAddr, Instant)>,
        work: Work,
        now: Instant,
    ) -> Option<Turn> {
        let rival = self.others.best_reign(now);
        let better = |rival: &Reign| (rival.priority, rival.primary) > (self.rules.priority, self.own);
        let successor = |rival: &Reign| yielding.is_some_and(|(to, _)| to == rival.primary);
        let over = |rival: &Reign| rival.epoch > epoch && (better(rival) || successor(rival));
        if let Some(rival) = rival.filter(over) {
            return self.follow(rival, now);
        }
        let challenged = self.epoch > epoch || rival.is_some_and(|rival| rival.epoch == epoch);
        let best = yielding.is_none() && !rival.as_ref().is_some_and(better);
        let epoch = if challenged && best { self.epoch + 1 } else { epoch };
        self.epoch = self.epoch.max(epoch);
        let yielding = yielding.filter(|(_, since)| now.saturating_since(*since) < self.rules.patience());
        let yielding = yielding.or_else(|| self.claimant(work, now).map(|to| (to, now)));
        self.standing = Standing::Reigning { epoch, yielding };
        None
    }

    /// The best peer of higher priority that wants the role and can have it.
    fn claimant(&self, work: Work, now: Instant) -> Option<IpAddr> {
        if work == Work::Busy {
            return None;
        }
        let above =
            |heard: &Heard| heard.word.claims == Claim::Laid && heard.word.priority > self.rules.priority;
        let claimants = self.others.in_step(now).filter(|(_, heard)| above(heard));
        claimants.map(|(peer, heard)| (heard.word.priority, peer)).max().map(|(_, peer)| peer)
    }

    fn follow(&mut self, reign: Reign, now: Instant) -> Option<Turn> {
        let (primary, epoch) = (reign.primary, reign.epoch);
        if matches!(self.standing, Standing::Following { primary: followed, .. } if followed == primary) {
            return None;
        }
        self.standing = Standing::Following { primary, since: now };
        Some(Turn::Secondary { primary, epoch })
    }

    fn without_primary(&mut self, standing: Standing, now: Instant) -> Option<Turn> {
        match standing {
            Standing::Following { primary, .. } => {
                self.standing = Standing::Electing { since: now, lost: Some(primary) };
                Some(Turn::Leaderless { lost: Some(primary) })
            }
            Standing::Starting { since }
                if now.saturating_since(since) >= self.rules.patience() + self.rules.interval =>
            {
                self.standing = Standing::Electing { since: now, lost: None };
                Some(Turn::Leaderless { lost: None })
            }
            Standing::Electing { since, .. } if self.wins(since, now) => Some(self.crown()),
            _ => None,
        }
    }

    /// The best of those that are heard wins, unless somebody has keys that it lacks yet; who waits for another for
    /// too long goes on without.
    fn wins(&self, since: Instant, now: Instant) -> bool {
        let own = (self.rules.priority, self.own);
        let best = self.others.heard(now).all(|(peer, heard)| (heard.word.priority, peer) < own);
        let ready = self.others.heard(now).all(|(_, heard)| heard.step != Step::Ahead);
        (best && ready) || now.saturating_since(since) >= self.rules.patience() * 2
    }

    fn crown(&mut self) -> Turn {
        let previous = match self.standing {
            Standing::Following { primary, .. } => Some(primary),
            Standing::Electing { lost, .. } => lost,
            Standing::Starting { .. } | Standing::Reigning { .. } => None,
        };
        self.epoch += 1;
        self.heartbeat = 0;
        self.resigned = false;
        self.standing = Standing::Reigning { epoch: self.epoch, yielding: None };
        Turn::Primary { previous, epoch: self.epoch }
    }
}

#[cfg(test)]
mod tests;
