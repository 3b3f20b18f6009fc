//! A group of 100 for a long time over a network that loses, doubles and reorders: nobody is ever without a key, and no key
//! is used past its life. Three days of it in every run; all 30 with `GDOI_MONTH=1 cargo test -p gdoi --test exchanges
//! month -- --nocapture`. And on a network that loses less a new key each hour by order: nobody is deaf for longer than a
//! member takes to notice it.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Archive, Link, World};
use gdoi::policy::Spi;
use gdoi::{Instant, KeyServerCommand, KeyServerEvent, MemberCommand, RekeyKind, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const MEMBERS: u16 = 100;
const DAY: Duration = Duration::from_secs(86_400);
/// The longest that somebody may be deaf whom a new key did not reach.
const DEAF: Duration = Duration::from_secs(10);
/// How much longer than its life a key may be received with: the 2 s that a member adds, what a promptly sent message
/// waits for its turn among 100, and the time that it is on its way.
const GRACE: Duration = Duration::from_millis(2_000 + 200 + 400);
/// A member cannot tell when its first PULL was answered within the time that it took, until one message came promptly:
/// on such a line that may take some hours.
const PULL: Duration = Duration::from_secs(15);
const ACQUAINTANCE: Duration = Duration::from_secs(8 * 3600);
const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

/// What one member holds.
#[derive(Clone, Debug, Default)]
struct Held {
    inbound: Vec<Spi>,
    outbound: Option<Spi>,
}

/// Follows all views by their changes.
#[derive(Default)]
struct Watch {
    held: BTreeMap<SocketAddr, Held>,
    holders: BTreeMap<Spi, usize>,
    senders: BTreeMap<Spi, usize>,
    /// When each TEK ends, by the server's word.
    ends: BTreeMap<Spi, Instant>,
    events: usize,
    /// How often and how long somebody sent with a key that somebody else had not.
    unread: (u64, Duration),
    /// The longest of these times.
    longest: Duration,
    unread_since: Option<Instant>,
    /// How much longer than its life a key was received with: while members know little, and later.
    latest: (Duration, Duration),
    acquainted: Instant,
}

fn count(of: &mut BTreeMap<Spi, usize>, spi: Spi, change: isize) {
    let number = of.entry(spi).or_default();
    *number = number.checked_add_signed(change).unwrap();
    if *number == 0 {
        of.remove(&spi);
    }
}

impl Watch {
    fn follow(&mut self, world: &mut World, life: Duration) {
        for (at, event) in &world.server_events(server_address(1))[self.events..] {
            self.events += 1;
            if let KeyServerEvent::NewTek { spi, .. } = event {
                assert!(self.ends.insert(*spi, *at + life).is_none(), "{spi} was used before");
            }
        }
        let changed = std::mem::take(&mut world.changed);
        changed.iter().for_each(|address| self.changed(world, *address));
        if !changed.is_empty() {
            self.compare(world.now);
        }
    }

    fn changed(&mut self, world: &World, address: SocketAddr) {
        let view = world.view(address);
        let new = Held {
            inbound: view.inbound.iter().map(|sa| sa.spi).collect(),
            outbound: view.outbound.as_ref().map(|sa| sa.spi),
        };
        assert!(!view.registered || new.outbound.is_some(), "{address} has no key at {:?}", world.now);
        let old = self.held.insert(address, new.clone()).unwrap_or_default();
        if let Some(spi) = old.outbound.filter(|spi| new.outbound != Some(*spi)) {
            assert!(world.now <= self.ends[&spi], "{address} sent with {spi} after its end");
        }
        for spi in old.inbound.iter().filter(|spi| !new.inbound.contains(spi)) {
            let (end, (early, later)) = (self.ends[spi], &mut self.latest);
            let latest = if end < self.acquainted { early } else { later };
            *latest = world.now.saturating_since(end).max(*latest);
        }
        new.inbound.iter().for_each(|spi| count(&mut self.holders, *spi, 1));
        new.outbound.iter().for_each(|spi| count(&mut self.senders, *spi, 1));
        old.inbound.iter().for_each(|spi| count(&mut self.holders, *spi, -1));
        old.outbound.iter().for_each(|spi| count(&mut self.senders, *spi, -1));
    }

    /// Whether all hold what any sends with.
    fn compare(&mut self, now: Instant) {
        let registered = self.held.values().filter(|held| held.outbound.is_some()).count();
        let unread = self.senders.keys().any(|spi| self.holders.get(spi) != Some(&registered));
        match (unread, self.unread_since) {
            (true, None) => (self.unread.0, self.unread_since) = (self.unread.0 + 1, Some(now)),
            (false, Some(since)) => {
                let span = now.saturating_since(since);
                self.longest = self.longest.max(span);
                self.unread.1 += span;
                self.unread_since = None;
            }
            _ => {}
        }
    }
}

fn start(transport: Transport, life: Duration, link: Link) -> World {
    let mut world = World::new(1, link);
    world.archive = Archive::Nothing;
    let (mut config, mut rekey) = (server_config(1), rekey_config());
    rekey.transport = transport;
    config.groups[0].tek_lifetime = life;
    config.groups[0].rekey = Some(rekey);
    world.add_server(server_address(1), server(config, 1, world.now));
    let mut random = Seeded::new(2);
    for number in 1..=MEMBERS {
        world.add_member(member_address(number), member(member_config(number), random.draw()));
    }
    world
}

fn run(transport: Transport, span: Duration) {
    let life = Duration::from_secs(3600);
    let mut world = start(transport, life, Link::GALE);
    let mut watch = Watch { acquainted: world.now + ACQUAINTANCE, ..Watch::default() };
    let end = world.now + span;
    while world.step(end) {
        watch.follow(&mut world, life);
    }
    report(&world, &watch, transport, span);
    assert_eq!(watch.unread, (0, Duration::ZERO), "somebody sent with a key that not all had");
    assert!(watch.latest.0 <= PULL + GRACE && watch.latest.1 <= GRACE, "{:?}", watch.latest);
}

/// What the data planes of members see: every three seconds each looks whether somebody sends what it cannot read.
fn look(world: &mut World, watch: &Watch) {
    let registered = watch.held.values().filter(|held| held.outbound.is_some()).count();
    let unread = watch.senders.keys().filter(|spi| watch.holders.get(spi) != Some(&registered));
    for spi in unread.copied().collect::<Vec<_>>() {
        let lacks = |held: &Held| held.outbound.is_some() && !held.inbound.contains(&spi);
        for (address, _) in watch.held.iter().filter(|(_, held)| lacks(held)) {
            world.command(*address, MemberCommand::UnknownEsp(spi));
        }
    }
}

/// New keys each hour because an operator wants them.
fn run_forced(transport: Transport, span: Duration) {
    let life = Duration::from_secs(3 * 3600);
    let group = crate::bench::fleet::group().id;
    let mut world = start(transport, life, Link::DRIZZLE);
    let mut watch = Watch { acquainted: world.now + ACQUAINTANCE, ..Watch::default() };
    let (end, mut next_look, mut next_order) = (world.now + span, world.now, world.now + DEAF);
    while world.now < end {
        let until = end.min(next_look).min(next_order);
        while world.step(until) {
            watch.follow(&mut world, life);
        }
        if world.now >= next_order {
            let command = KeyServerCommand::Rekey(group.into(), RekeyKind::Forced);
            world.command_server(server_address(1), command);
            next_order = world.now + Duration::from_secs(3600);
        }
        if world.now >= next_look {
            look(&mut world, &watch);
            next_look = world.now + Duration::from_secs(3);
        }
    }
    report(&world, &watch, transport, span);
    println!("deaf at most {:?}", watch.longest);
    assert!(watch.longest <= DEAF && watch.unread_since.is_none(), "{:?}", watch.unread);
}

fn report(world: &World, watch: &Watch, transport: Transport, span: Duration) {
    let members = (1..=MEMBERS).map(|number| world.member(member_address(number)).status(world.now));
    let (registrations, received) = members.fold((0, 0), |(registrations, received), status| {
        (registrations + status.registrations, received + status.rekeys.received)
    });
    println!(
        "{transport:?}, {} days, {MEMBERS} members: {} TEKs, {received} rekeys received, {registrations} registrations, \
         {} times ({:?}) unreadable, received at most {:?} ({:?} in the first hours) after the end",
        span.as_secs() / 86_400,
        watch.ends.len(),
        watch.unread.0,
        watch.unread.1,
        watch.latest.1,
        watch.latest.0,
    );
}

fn days(usual: u32) -> Duration {
    match std::env::var_os("GDOI_MONTH") {
        Some(_) => 30 * DAY,
        None => usual * DAY,
    }
}

#[test]
fn a_month_of_unicast_rekeys() {
    run(Transport::Unicast, days(3));
}

#[test]
fn a_month_of_unicast_rekeys_by_order() {
    run_forced(Transport::Unicast, days(1));
}

#[test]
fn a_month_of_multicast_rekeys_by_order() {
    run_forced(MULTICAST, days(1));
}

#[test]
fn days_of_multicast_rekeys() {
    run(MULTICAST, days(1));
}
