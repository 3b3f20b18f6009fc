//! A link over time: the death and restart of a server, the renewal of SAs.

use super::world::Chance;
use super::*;

fn downs(server: &Server) -> usize {
    server.count(|event| matches!(event, Event::Down(_)))
}

#[test]
fn a_dead_peer_is_noticed_after_six_seconds() {
    let mut world = linked(DAY);
    assert_talking(&mut world, b"last words");
    let heard = world.now.before(seconds(1));
    world.route = Box::new(|_, flight| (flight.from == address(1)).then_some(flight));
    world.run(seconds(10));
    let dead = Event::Down(Unacceptable::NoAnswer.into());
    let after = world.server(1).when(&dead).unwrap().saturating_since(heard);
    assert!((seconds(6)..seconds(7)).contains(&after), "{after:?}");
    assert!(!world.say(1, 2, b"too late"));
    world.route = Box::new(|_, flight| Some(flight));
    world.run(seconds(30));
    assert_one_sa(&mut world);
    assert_talking(&mut world, b"reunited");
}

#[test]
fn a_quiet_peer_is_never_dropped() {
    let mut world = linked(DAY);
    world.run(seconds(3600));
    assert_one_sa(&mut world);
    for (server, peer) in [(1, 2), (2, 1)] {
        let server = world.server(server);
        assert_eq!(server.log.len(), 1, "{:?}", server.log);
        let status = server.status(peer);
        assert_eq!(status.probes_unanswered, 0);
    }
    // One of the two asks every 3 s, and both know that the other lives.
    let asked = world.server(1).status(2).probes_sent + world.server(2).status(1).probes_sent;
    assert!((1100..2500).contains(&asked), "{asked}");
}

#[test]
fn a_talkative_peer_is_not_asked() {
    let mut world = linked(DAY);
    let before = world.server(1).status(2).probes_sent;
    for _ in 0..60 {
        assert_talking(&mut world, b"announcement");
    }
    assert_eq!(world.server(1).status(2).probes_sent, before);
}

/// A pause of this machine is no death of the peer.
#[test]
fn a_late_timeout_asks_first() {
    let mut world = linked(DAY);
    world.now = world.now + seconds(600);
    world.run(seconds(1));
    assert_one_sa(&mut world);
    assert_eq!(downs(world.server(1)), 0);
}

#[test]
fn a_server_that_restarts_is_linked_at_once() {
    for (restarted, other) in [(1, 2), (2, 1)] {
        for age in [0, 1, 4, 9, 60] {
            let mut world = linked(DAY);
            world.run(seconds(age));
            let now = world.now;
            *world.server(restarted) =
                Server::new(restarted, proposal(DAY), vec![entry(other, b"secret")], now);
            world.run(seconds(1));
            assert_talking(&mut world, b"back");
            world.run(seconds(12));
            assert_one_sa(&mut world);
            let downs = (downs(world.server(1)), downs(world.server(2)));
            assert_eq!(downs, (0, 0), "{restarted} after {age} s");
        }
    }
}

/// The SA before it, which is still there, does not delay the news.
#[test]
fn a_peer_that_dies_while_it_renews_is_noticed_as_soon() {
    let mut world = linked(seconds(100));
    let established = world.server(1).channels(2)[0].established;
    while world.server(1).channels(2)[0].established == established {
        world.run(Duration::from_millis(10));
    }
    assert_eq!(world.server(1).channels(2).len(), 2);
    let heard = world.now;
    world.route = Box::new(|_, _| None);
    world.run(seconds(10));
    let dead = world.server(1).when(&Event::Down(Unacceptable::NoAnswer.into())).unwrap();
    assert!(dead.saturating_since(heard) < seconds(7));
}

/// Both say something every 100 ms, through six lives of an SA: all arrives, and in order.
#[test]
fn renewal_leaves_no_gap() {
    let mut world = linked(seconds(60));
    let said: Vec<_> = (0..3000u32).map(|number| number.to_be_bytes().to_vec()).collect();
    for body in &said {
        assert!(world.say(1, 2, body) && world.say(2, 1, body));
        world.run(Duration::from_millis(100));
    }
    assert!(world.server(1).received() == said && world.server(2).received() == said);
    // The higher address renews at 80 %.
    let first =
        |flight: &&Flight| is(flight, ExchangeType::IDENTITY_PROTECTION) && flight.payload[8..16] == [0; 8];
    let renewals: Vec<_> = world.sent.iter().filter(first).skip(1).collect();
    assert!(renewals.iter().all(|flight| flight.from == address(2)));
    assert_eq!(renewals.len(), 6);
    assert_eq!((downs(world.server(1)), downs(world.server(2))), (0, 0));
    assert!(world.server(1).channels(2).len() <= 2);
}

/// The last message of a phase 1 that server 2 begins is lost.
fn losing_sixth_messages() -> Box<super::world::Route> {
    Box::new(|_, flight| {
        let protected = is(&flight, ExchangeType::IDENTITY_PROTECTION) && flight.payload[19] == 1;
        (!protected || flight.from == address(2)).then_some(flight)
    })
}

/// Server 2 begins to renew the SA before it must.
fn renew(world: &mut World) {
    let now = world.now;
    world.server(2).links.links.values_mut().next().unwrap().initiation = Initiation::At(now);
}

#[test]
fn nothing_is_sent_under_an_sa_that_the_peer_may_not_have() {
    let mut world = linked(DAY);
    let cookies = world.server(1).channels(2)[0].sa.cookies;
    world.route = losing_sixth_messages();
    renew(&mut world);
    for _ in 0..19 {
        assert_talking(&mut world, b"under the old one");
        let channels = world.server(1).channels(2);
        assert_eq!((channels.len(), channels[0].sa.cookies), (2, cookies));
    }
    // It is given up after a while.
    world.run(seconds(2));
    assert_one_sa(&mut world);
    renew(&mut world);
    world.run(seconds(1));
    world.route = Box::new(|_, flight| Some(flight));
    world.run(seconds(1));
    assert_ne!(world.server(1).channels(2)[0].sa.cookies, cookies);
    assert_talking(&mut world, b"under the new one");
}

#[test]
fn a_peer_that_begins_again_and_again_is_held_in_bounds() {
    let mut world = linked(DAY);
    world.run(seconds(20));
    for round in 0..8 {
        renew(&mut world);
        world.run(Duration::from_millis(500));
        let channels = world.server(1).channels(2);
        assert_eq!(channels.len(), (round + 2).min(3));
        let newest = channels.iter().map(|channel| channel.established).max();
        assert_eq!(Some(channels[0].established), newest);
        assert_talking(&mut world, b"under the newest");
    }
    world.run(seconds(11));
    assert_one_sa(&mut world);
}

#[test]
fn nothing_is_taken_under_an_sa_whose_life_is_over() {
    let mut world = linked(seconds(60));
    assert!(world.say(1, 2, b"too late"));
    let message = world.sent.last().unwrap().payload.clone();
    world.flights.clear();
    world.now = world.server(2).channels(1)[0].ends;
    world.inject(address(1), address(2), &message);
    let refused = Event::Rejected(crate::error::Misbehaved::UnknownExchange.into());
    assert_eq!(world.server(2).log.last().unwrap().1, refused);
}

#[test]
fn the_lower_address_renews_where_the_higher_does_not() {
    let mut world = linked(seconds(100));
    let established = world.server(1).channels(2)[0].established;
    world.route = Box::new(|_, flight| {
        let first = is(&flight, ExchangeType::IDENTITY_PROTECTION) && flight.payload[8..16] == [0; 8];
        (!first || flight.from == address(1)).then_some(flight)
    });
    world.run(seconds(97));
    assert_eq!((downs(world.server(1)), downs(world.server(2))), (0, 0));
    let renewed = world.server(1).channels(2)[0].established.saturating_since(established);
    assert!((seconds(90)..seconds(91)).contains(&renewed), "{renewed:?}");
    assert_talking(&mut world, b"renewed");
}

#[test]
fn an_sa_that_cannot_be_renewed_ends() {
    let mut world = linked(seconds(100));
    world.route = Box::new(|_, flight| (!is(&flight, ExchangeType::IDENTITY_PROTECTION)).then_some(flight));
    let ends = world.server(1).channels(2)[0].ends;
    world.run(seconds(120));
    let expired = Event::Down(Unacceptable::Expired.into());
    assert_eq!(world.server(1).when(&expired), Some(ends));
    assert!(world.server(1).count(|event| *event == Event::Failed(Unacceptable::NoAnswer.into())) > 0);
    let protected = |flight: &&Flight| !is(flight, ExchangeType::IDENTITY_PROTECTION);
    let last = world.sent.iter().rfind(protected).unwrap();
    assert!(last.at <= ends + world::DELAY);
}

/// Whatever happened before: after a calm while there is one SA on both sides, and it carries messages.
#[test]
fn all_ends_well_after_any_storm() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let mut draw = move |below: u64| {
            let mut octets = [0; 8];
            chance.fill(&mut octets).unwrap();
            u64::from_be_bytes(octets) % below
        };
        let mut world = World::pair(seconds(40 + draw(60)));
        for _ in 0..40 {
            let (seed, percent) = (draw(u64::MAX), [0, 10, 30, 60, 100][draw(5) as usize]);
            world.route = Box::new(move |number, mut flight| {
                let mut octets = [0; 2];
                Chance(seed ^ number as u64).fill(&mut octets).unwrap();
                flight.at = flight.at + Duration::from_millis(u64::from(octets[1]) / 4);
                (octets[0] as u64 * 100 / 256 >= percent).then_some(flight)
            });
            if draw(8) == 0 {
                let (last, now) = (1 + draw(2) as u8, world.now);
                let life = world.server(last).links.settings.proposals[0];
                *world.server(last) = Server::new(last, life, vec![entry(3 - last, b"secret")], now);
            }
            world.say(1, 2, b"one");
            world.say(2, 1, b"two");
            world.run(Duration::from_millis(100 + draw(4000)));
            for server in &world.servers {
                assert!(server.links.links.values().all(|link| link.channels.len() <= 3));
            }
        }
        world.route = Box::new(|_, flight| Some(flight));
        world.run(seconds(40));
        assert_talking(&mut world, format!("seed {seed}").as_bytes());
        let sends_under = world.server(1).channels(2)[0].sa.cookies;
        assert_eq!(world.server(2).channels(1)[0].sa.cookies, sends_under, "{seed}");
    }
}
