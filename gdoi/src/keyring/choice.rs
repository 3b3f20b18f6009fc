//! Which TEK sends, and from when on.

use super::held_acl::Way;
use super::held_tek::{HeldTek, Standing, GRACE};
use super::traffic::{Apart, Carried};
use super::{Keyring, Made, Others, View};
use crate::endpoint::Instant;
use crate::group::Tek;
use crate::lifetime::switch_margin;
use crate::policy::Sid;
use std::time::Duration;

impl Keyring {
    /// What holds at `now`.
    pub(crate) fn view(&self, now: Instant) -> View {
        let live = self.teks.iter().filter(|tek| tek.sa.expires > now);
        let outbound = self.sending(now, |_| true);
        View {
            registered: self.registered,
            acl: self.acl().clone(),
            inbound: live.map(|tek| tek.sa.clone()).collect(),
            outbound: outbound.map(|tek| tek.sa.clone()),
            rekey_group: self.rekey_group(now),
            sids: outbound.map_or(&[][..], |tek| self.sids_for(tek)).to_vec(),
            mode: self.mode,
            apart: self.traffic_apart(now),
        }
    }

    /// What sends, of these. Keys stand in their order: one that had longer to wait does not come back after a newer one.
    pub(super) fn sending(&self, now: Instant, of: impl Fn(&HeldTek) -> bool) -> Option<&HeldTek> {
        let sendable = || self.sendable(now).filter(|tek| tek.ends > now && of(tek));
        let active = || sendable().filter(|tek| tek.activates <= now);
        // What counted under lost sender IDs must not begin anew: such a key is the last choice, and no other than before.
        let counts = |tek: &&HeldTek| !tek.generation.is_some_and(|name| self.identifiers.is_lost(name));
        let first = active().filter(counts).max_by_key(|tek| tek.standing);
        let first = first.or_else(|| sendable().filter(counts).min_by_key(|tek| tek.activates));
        let first = first.or_else(|| active().max_by_key(|tek| tek.standing));
        first.or_else(|| sendable().min_by_key(|tek| tek.activates))
    }

    /// What is not among those that a PULL lists has no future. A server that does not know a TEK which lives on knows of no
    /// rekey that brought it, and has not brought forward the end of another for it either.
    pub(super) fn judge(&mut self, listed: &[Tek], made: Made, now: Instant) {
        for held in &mut self.teks {
            let is_listed = listed.iter().any(|tek| held.is(tek));
            held.standing = if is_listed { Standing::Current } else { Standing::Left };
        }
        let lives_on = |tek: &HeldTek| tek.standing == Standing::Left && tek.ends > now + GRACE;
        if self.teks.iter().any(lives_on) {
            for held in &mut self.teks {
                let said = listed.iter().find(|tek| held.is(tek));
                said.into_iter().for_each(|tek| held.restate(tek.lifetime, made));
            }
        }
    }

    /// A TEK that was held before the server ceased to list what sends need not wait for the end of that.
    pub(super) fn hasten(&mut self, others: Others, delay: Duration, now: Instant) {
        if self.sending(now, |_| true).is_none_or(|tek| tek.standing == Standing::Current) {
            return;
        }
        let latest = match others {
            Others::Ahead => now,
            Others::Alike => now + delay,
        };
        let sendable: Vec<_> = self.sendable(now).map(|tek| tek.sa.spi).collect();
        let current = self.teks.iter_mut().filter(|tek| tek.standing == Standing::Current);
        let first = current.filter(|tek| sendable.contains(&tek.sa.spi)).min_by_key(|tek| tek.activates);
        first.into_iter().for_each(|tek| tek.activates = tek.activates.min(latest));
    }

    /// When a new TEK begins to send: at once if it is the only one for its traffic. Else after the ATD; if it came by PULL not
    /// before shortly before the end of the one before it, and never after that end. One that the server does not list
    /// any more is not waited for: it has lost it, and whoever registers now does not get it.
    pub(super) fn activation(&self, carried: &Carried, way: Way, delay: Duration, now: Instant) -> Instant {
        let before = || self.teks.iter().filter(|held| held.carried.overlaps(carried));
        let current = before().rfind(|tek| tek.standing == Standing::Current);
        let Some(previous) = current.or_else(|| before().next_back()) else { return now };
        let left = previous.ends.saturating_since(now);
        let margin = switch_margin(previous.life);
        let latest = left.saturating_sub(switch_margin(previous.life.min(left)) / 2);
        let wait = match (way, previous.standing) {
            (Way::Pull(_), Standing::Current) => delay.max(left.saturating_sub(margin)),
            (Way::Pull(Others::Ahead), Standing::Left) => Duration::ZERO,
            (Way::Pull(Others::Alike), Standing::Left) | (Way::Push, _) => delay,
        };
        now + wait.min(latest)
    }

    /// The end of the last TEK that this member may send with, and the life it had when it came; if it may send with
    /// none, of the last that lives. One that the server does not list any more counts only where there is no other.
    pub(crate) fn last_tek(&self, now: Instant) -> Option<(Instant, Duration)> {
        if self.apart == Apart::Yes {
            return self.first_last_tek(now);
        }
        let live = self.teks.iter().filter(|tek| tek.sa.expires > now);
        let last = self.sendable(now).max_by_key(|tek| (tek.standing, tek.ends));
        last.or(live.max_by_key(|tek| (tek.standing, tek.ends))).map(|tek| (tek.ends, tek.life))
    }

    /// The TEKs that this member may send with: where every sender has its own key only those for which it has sender
    /// IDs. Those of another generation may be another member's under this TEK, and under one that had gone they would count anew.
    pub(super) fn sendable(&self, now: Instant) -> impl Iterator<Item = &HeldTek> {
        let live = self.teks.iter().filter(move |tek| tek.sa.expires > now);
        live.filter(|tek| tek.generation.is_none() || !self.sids_for(tek).is_empty())
    }

    fn sids_for(&self, tek: &HeldTek) -> &[Sid] {
        match tek.generation {
            Some(generation) if !self.identifiers.has_ended(tek) => self.identifiers.of(generation),
            _ => &[],
        }
    }
}
