//! The keys that a member holds, and what they mean at a point in time.

use crate::endpoint::Instant;
use crate::lifetime::switch_margin;
use crate::policy::{Acl, Spi, TekKeys, Transform};
use crate::pull::{GroupPolicy, Kek, Tek};
use crate::push::Push;
use crate::wire::Deletion;
use std::net::SocketAddrV4;
use std::time::Duration;

/// More TEKs are never held at once: the one that ends first goes.
const MAX_TEKS: usize = 8;

/// What the data plane must hold at one point in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Whether a policy was ever downloaded; before that `acl` says nothing.
    pub registered: bool,
    /// Which traffic is protected; it must never be sent in clear, with or without keys.
    pub acl: Acl,
    /// What must be receivable.
    pub inbound: Vec<Sa>,
    /// What sends; None blocks the protected traffic.
    pub outbound: Option<Sa>,
    /// The multicast group to which the key server sends rekey messages, while there is a KEK to read them with.
    pub rekey_group: Option<SocketAddrV4>,
}

/// One security association for the group's traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Sa {
    /// Its SPI.
    pub spi: Spi,
    /// How it is used.
    pub transform: Transform,
    /// Its keys.
    pub keys: TekKeys,
    /// The end of its life.
    pub expires: Instant,
}

/// How much longer a TEK is received with than its lifetime says: that was rounded down to a second.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct HeldTek {
    /// Its end is the latest that the server can have meant: received with until then.
    sa: Sa,
    activates: Instant,
    /// The earliest that the server can have meant: sent with until then.
    ends: Instant,
    life: Duration,
}

impl HeldTek {
    fn shorten(&mut self, ends: Instant, expires: Instant) {
        self.ends = self.ends.min(ends);
        self.sa.expires = self.sa.expires.min(expires);
    }
}

/// All that was downloaded and still lives.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    registered: bool,
    acl: Acl,
    teks: Vec<HeldTek>,
    kek: Option<(Kek, Instant)>,
    /// The one before: the message that replaced it may come again under it, with a new number.
    previous_kek: Option<(Kek, Instant)>,
    delays: (Option<Duration>, Option<Duration>),
    /// The group's time in milliseconds, and when it was that.
    pseudotime: Option<(u64, Instant)>,
}

/// Which way a new TEK came: members pull at different times, a push reaches all at once.
#[derive(Clone, Copy)]
enum Way {
    Pull,
    Push,
}

impl Keyring {
    /// Takes in what a PULL downloaded. TEKs that are held already stay as they are; those that the server
    /// no longer lists live to their end, because other members may still send with them.
    /// `asked` is when the member asked: lifetimes were true at some time between then and now.
    pub(crate) fn pull(&mut self, policy: GroupPolicy, asked: Instant, now: Instant) {
        self.registered = true;
        self.keep_kek_only_if(policy.kek.as_ref());
        self.take(policy, Way::Pull, asked, now);
    }

    /// Takes in what a PUSH said. The delays of its GAP are about its own TEKs: what they replace goes after
    /// the DTD.
    pub(crate) fn push(&mut self, push: Push, now: Instant) {
        push.deletions.iter().for_each(|deletion| self.delete(deletion));
        let keks = [&mut self.kek, &mut self.previous_kek].into_iter().flatten();
        keks.filter(|(kek, _)| kek.spi == push.kek_spi).for_each(|(kek, _)| kek.sequence = push.sequence);
        if let Some(policy) = push.policy {
            if let Some(delay) = policy.deactivation_delay {
                self.retire(&policy.teks, now + delay);
            }
            let made = self.made(&policy, now);
            self.take(policy, Way::Push, made, now);
        }
    }

    /// When a message was made, by the group's time in it; it may have been sent more than once since.
    fn made(&self, policy: &GroupPolicy, now: Instant) -> Instant {
        let age = match (self.pseudotime(now), policy.pseudotime) {
            (Some(ours), Some(theirs)) => Duration::from_millis(ours.saturating_sub(theirs)),
            _ => Duration::ZERO,
        };
        now.before(age)
    }

    fn delete(&mut self, deletion: &Deletion) {
        match deletion {
            Deletion::Tek(spi) => self.teks.retain(|tek| tek.sa.spi != Spi(*spi)),
            Deletion::AllTeks => self.teks.clear(),
            Deletion::Kek => (self.kek, self.previous_kek) = (None, None),
        }
    }

    /// All TEKs but these end by `end`.
    fn retire(&mut self, but: &[Tek], end: Instant) {
        let replaced = self.teks.iter_mut().filter(|held| but.iter().all(|tek| tek.spi != held.sa.spi));
        replaced.for_each(|held| held.shorten(end, end + GRACE));
    }

    fn take(&mut self, policy: GroupPolicy, way: Way, made: Instant, now: Instant) {
        self.teks.retain(|tek| tek.sa.expires > now);
        if !policy.teks.is_empty() {
            self.acl = policy.acl;
        }
        if let Way::Pull = way {
            self.delays = (policy.activation_delay, policy.deactivation_delay);
        }
        if let Some(kek) = policy.kek {
            self.replace_kek(kek, now);
        }
        self.pseudotime = policy.pseudotime.map(|time| (time, made)).or(self.pseudotime);
        let delay = policy.activation_delay.unwrap_or_default();
        policy.teks.into_iter().for_each(|tek| self.add(tek, way, delay, made, now));
    }

    /// A KEK that comes by PUSH cannot name each member's address: that of the PULL holds on.
    fn replace_kek(&mut self, mut kek: Kek, now: Instant) {
        if let Some((held, _)) = self.kek.as_mut().filter(|(held, _)| held.spi == kek.spi) {
            // "The sequence number value in the SEQ payload MUST be considered stale" (RFC 6407 section 3.3).
            held.sequence = held.sequence.max(kek.sequence);
            return;
        }
        if let (Some((held, _)), true) = (&self.kek, kek.destination.ip().is_unspecified()) {
            kek.destination = held.destination;
        }
        let expires = now + kek.lifetime;
        self.previous_kek = self.kek.replace((kek, expires));
    }

    /// After a PULL only the KEK in it counts.
    fn keep_kek_only_if(&mut self, listed: Option<&Kek>) {
        self.previous_kek = None;
        self.kek.take_if(|(held, _)| listed.is_none_or(|listed| listed.spi != held.spi));
    }

    fn add(&mut self, tek: Tek, way: Way, delay: Duration, made: Instant, now: Instant) {
        let (ends, expires) = (made + tek.lifetime, now + tek.lifetime + GRACE);
        if let Some(held) =
            self.teks.iter_mut().find(|held| held.sa.spi == tek.spi && held.sa.keys == tek.keys)
        {
            held.shorten(ends, expires);
            return;
        }
        // A server that gives an SPI new keys has lost the old ones.
        self.teks.retain(|held| held.sa.spi != tek.spi);
        let activates = self.activation(way, delay, now);
        let sa = Sa { spi: tek.spi, transform: tek.transform, keys: tek.keys, expires };
        self.teks.push(HeldTek { sa, activates, ends, life: tek.lifetime });
        if self.teks.len() > MAX_TEKS {
            self.teks.remove(0);
        }
    }

    /// When a new TEK begins to send: at once if it is the only one. Else after the ATD; if it came by PULL not
    /// before shortly before the end of the one before it, and never after that end.
    fn activation(&self, way: Way, delay: Duration, now: Instant) -> Instant {
        let Some(previous) = self.teks.last() else { return now };
        let left = previous.ends.saturating_since(now);
        let margin = switch_margin(previous.life);
        let latest = left.saturating_sub(switch_margin(previous.life.min(left)) / 2);
        let wait = match way {
            Way::Pull => delay.max(left.saturating_sub(margin)),
            Way::Push => delay,
        };
        now + wait.min(latest)
    }

    /// What holds at `now`.
    pub(crate) fn view(&self, now: Instant) -> View {
        let live = || self.teks.iter().filter(|tek| tek.sa.expires > now);
        let sendable = || live().filter(|tek| tek.ends > now);
        let active = sendable().filter(|tek| tek.activates <= now).max_by_key(|tek| tek.activates);
        let outbound = active.or_else(|| sendable().min_by_key(|tek| tek.activates));
        View {
            registered: self.registered,
            acl: self.acl.clone(),
            inbound: live().map(|tek| tek.sa.clone()).collect(),
            outbound: outbound.map(|tek| tek.sa.clone()),
            rekey_group: self.rekey_group(now),
        }
    }

    /// The multicast group of the KEK.
    pub(crate) fn rekey_group(&self, now: Instant) -> Option<SocketAddrV4> {
        let (kek, _) = self.kek(now)?;
        kek.destination.ip().is_multicast().then_some(kek.destination)
    }

    /// When the view's keys will differ from those at `now`.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let times = self.teks.iter().flat_map(|tek| [tek.activates, tek.ends, tek.sa.expires]);
        times.filter(|time| *time > now).min()
    }

    /// The last TEK's end and the life it had when it came; None without a live TEK.
    pub(crate) fn last_tek(&self, now: Instant) -> Option<(Instant, Duration)> {
        let live = self.teks.iter().filter(|tek| tek.sa.expires > now);
        live.max_by_key(|tek| tek.ends).map(|tek| (tek.ends, tek.life))
    }

    /// The KEK and its end, while it lives.
    pub(crate) fn kek(&self, now: Instant) -> Option<(&Kek, Instant)> {
        self.kek.as_ref().filter(|(_, expires)| *expires > now).map(|(kek, expires)| (kek, *expires))
    }

    /// The group's time at `now`, milliseconds, if the server tells it.
    pub(crate) fn pseudotime(&self, now: Instant) -> Option<u64> {
        let (time, then) = self.pseudotime?;
        Some(time.saturating_add(now.saturating_since(then).as_millis() as u64))
    }

    /// The KEK that a rekey message with this cookie pair is under, while it lives.
    pub(crate) fn kek_named(&self, spi: [u8; 16], now: Instant) -> Option<&Kek> {
        let keks = [&self.kek, &self.previous_kek].into_iter().flatten();
        keks.filter(|(_, expires)| *expires > now).map(|(kek, _)| kek).find(|kek| kek.spi == spi)
    }

    /// ATD and DTD as downloaded.
    pub(crate) const fn delays(&self) -> (Option<Duration>, Option<Duration>) {
        self.delays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    fn tek(spi: u32, lifetime: u64) -> Tek {
        let keys =
            TekKeys { encryption: Secret::new(vec![spi as u8; 32]), integrity: Secret::new(vec![1; 32]) };
        let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
        Tek { spi: Spi(spi), transform, keys, lifetime: Duration::from_secs(lifetime) }
    }

    fn policy(teks: Vec<Tek>) -> GroupPolicy {
        let acl = Acl::new(vec!["permit ip 10.0.0.0/8 10.0.0.0/8".parse().unwrap()]).unwrap();
        GroupPolicy {
            acl,
            teks,
            kek: None,
            activation_delay: None,
            deactivation_delay: None,
            pseudotime: None,
        }
    }

    fn shape(keyring: &Keyring, second: u64) -> (Vec<u32>, Option<u32>) {
        let view = keyring.view(at(second));
        (view.inbound.iter().map(|sa| sa.spi.0).collect(), view.outbound.map(|sa| sa.spi.0))
    }

    #[test]
    fn nothing_before_the_first_download() {
        assert_eq!(Keyring::default().view(at(0)), View::default());
        assert_eq!(Keyring::default().next_change(at(0)), None);
    }

    #[test]
    fn a_single_tek_sends_at_once_and_to_its_end() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 60)]), at(0), at(0));
        assert_eq!(shape(&keyring, 0), (vec![1000], Some(1000)));
        assert_eq!(keyring.next_change(at(0)), Some(at(60)));
        assert_eq!(shape(&keyring, 59), (vec![1000], Some(1000)));
        assert_eq!(shape(&keyring, 60), (vec![1000], None), "still received for a moment");
        assert_eq!(shape(&keyring, 61), (vec![], None));
        assert!(keyring.view(at(61)).registered, "the ACL still blocks");
    }

    #[test]
    fn roll_over_receives_both_and_sends_the_old_until_shortly_before_its_end() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 3600)]), at(0), at(0));
        keyring.pull(policy(vec![tek(1000, 200), tek(2000, 3500)]), at(3400), at(3400));
        assert_eq!(shape(&keyring, 3400), (vec![1000, 2000], Some(1000)));
        assert_eq!(keyring.next_change(at(3400)), Some(at(3570)));
        assert_eq!(shape(&keyring, 3570), (vec![1000, 2000], Some(2000)));
        assert_eq!(shape(&keyring, 3601), (vec![2000], Some(2000)));
    }

    #[test]
    fn the_activation_delay_is_a_minimum_but_never_leaves_a_gap() {
        let mut keyring = Keyring::default();
        let with_delay = |teks, seconds| GroupPolicy {
            activation_delay: Some(Duration::from_secs(seconds)),
            ..policy(teks)
        };
        keyring.pull(with_delay(vec![tek(1000, 60)], 5), at(0), at(0));
        keyring.pull(with_delay(vec![tek(2000, 60)], 20), at(30), at(30));
        assert_eq!(shape(&keyring, 58).1, Some(1000));
        assert_eq!(shape(&keyring, 59).1, Some(2000), "1.7 s before the end");
        keyring.pull(with_delay(vec![tek(3000, 60)], 1000), at(80), at(80));
        assert_eq!(shape(&keyring, 89).1, Some(2000));
        assert_eq!(shape(&keyring, 90).1, Some(3000));
    }

    #[test]
    fn a_new_member_in_the_middle_of_a_roll_over_does_as_the_others() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 120), tek(2000, 3600)]), at(0), at(0));
        assert_eq!(shape(&keyring, 0), (vec![1000, 2000], Some(1000)));
        assert_eq!(shape(&keyring, 117).1, Some(2000));
    }

    fn push(teks: Vec<Tek>, delays: (u64, u64)) -> Push {
        let (activation, deactivation) = (Duration::from_secs(delays.0), Duration::from_secs(delays.1));
        let delays = (Some(activation), Some(deactivation).filter(|delay| !delay.is_zero()));
        let policy = GroupPolicy { activation_delay: delays.0, deactivation_delay: delays.1, ..policy(teks) };
        Push { kek_spi: [0; 16], sequence: 1, deletions: Vec::new(), policy: Some(policy) }
    }

    #[test]
    fn a_push_switches_after_its_delay_and_retires_after_the_other() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 3600)]), at(0), at(0));
        keyring.push(push(vec![tek(2000, 3600)], (30, 60)), at(100));
        assert_eq!(shape(&keyring, 129), (vec![1000, 2000], Some(1000)));
        assert_eq!(shape(&keyring, 130), (vec![1000, 2000], Some(2000)));
        assert_eq!(shape(&keyring, 161), (vec![2000], Some(2000)));
    }

    #[test]
    fn a_scheduled_push_leaves_the_old_key_to_its_end() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 30)]), at(0), at(0));
        keyring.push(push(vec![tek(2000, 30)], (8, 0)), at(20));
        assert_eq!(shape(&keyring, 27), (vec![1000, 2000], Some(1000)));
        assert_eq!(shape(&keyring, 28), (vec![1000, 2000], Some(2000)));
        assert_eq!(shape(&keyring, 31), (vec![2000], Some(2000)));
    }

    #[test]
    fn deletions_take_what_they_name() {
        let delete =
            |deletion| Push { kek_spi: [0; 16], sequence: 1, deletions: vec![deletion], policy: None };
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 60), tek(2000, 90)]), at(0), at(0));
        keyring.push(delete(Deletion::Tek(1000)), at(1));
        assert_eq!(shape(&keyring, 1), (vec![2000], Some(2000)), "the only key sends, whenever it was due");
        keyring.push(delete(Deletion::AllTeks), at(2));
        assert_eq!(shape(&keyring, 2), (vec![], None));
        assert!(keyring.view(at(2)).registered, "the ACL still blocks");
    }

    #[test]
    fn a_listed_key_can_only_be_shortened() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 60)]), at(0), at(0));
        keyring.push(push(vec![tek(1000, 600)], (0, 0)), at(10));
        keyring.push(push(vec![tek(1000, 5)], (0, 0)), at(20));
        assert_eq!(keyring.next_change(at(20)), Some(at(25)));
    }

    #[test]
    fn pseudotime_goes_on() {
        let mut keyring = Keyring::default();
        assert_eq!(keyring.pseudotime(at(0)), None);
        keyring.pull(GroupPolicy { pseudotime: Some(500), ..policy(vec![tek(1000, 60)]) }, at(10), at(10));
        assert_eq!(keyring.pseudotime(at(12)), Some(2500));
    }

    #[test]
    fn an_spi_with_new_keys_replaces_the_old_one() {
        let mut keyring = Keyring::default();
        keyring.pull(policy(vec![tek(1000, 60)]), at(0), at(0));
        let other = Tek {
            keys: TekKeys { encryption: Secret::new(vec![9; 32]), ..tek(1000, 60).keys },
            ..tek(1000, 60)
        };
        keyring.pull(policy(vec![other.clone()]), at(1), at(1));
        assert_eq!(keyring.view(at(1)).inbound.len(), 1);
        assert_eq!(keyring.view(at(1)).outbound.unwrap().keys, other.keys);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut keyring = Keyring::default();
        (0..100).for_each(|number| keyring.pull(policy(vec![tek(1000 + number, 600)]), at(0), at(0)));
        assert_eq!(keyring.view(at(0)).inbound.len(), MAX_TEKS);
    }
}
