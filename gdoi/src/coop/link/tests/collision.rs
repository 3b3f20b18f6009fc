//! Both servers begin at about the same time.

use super::*;

#[test]
fn of_a_collision_the_sa_of_the_higher_address_survives() {
    for (first, lead) in [(1, 0), (1, 4), (1, 9), (1, 14), (2, 4), (2, 9), (2, 14)] {
        let mut world = World::pair(DAY);
        for server in [1, 2] {
            let delay = if server == first { 0 } else { lead };
            let link = world.server(server).links.links.values_mut().next().unwrap();
            link.initiation = Initiation::At(START + Duration::from_millis(delay));
        }
        world.run(seconds(1));
        assert_one_sa(&mut world);
        let begun_by = world.server(1).channels(2)[0].begun_by;
        assert_eq!(begun_by, address(2).ip(), "{first} leads by {lead} ms");
        for server in &world.servers {
            let changes = |event: &Event| !matches!(event, Event::Up | Event::Rejected(_));
            assert_eq!(server.count(changes), 0, "{:?}", server.log);
        }
        assert_talking(&mut world, b"after the collision");
    }
}

#[test]
fn what_nobody_answered_is_not_needed_once_the_peer_has_begun_itself() {
    let mut world = World::pair(DAY);
    world.route = Box::new(|_, flight| (flight.to != address(1)).then_some(flight));
    world.run(seconds(1));
    assert_eq!(world.server(1).status(2).state, LinkState::Initiating);
    world.route = Box::new(|_, mut flight| {
        // Server 2 never hears how server 1 begins.
        let first = is(&flight, ExchangeType::IDENTITY_PROTECTION) && flight.payload[8..16] == [0; 8];
        flight.at = flight.at + world::DELAY;
        (!first || flight.from == address(2)).then_some(flight)
    });
    world.run(seconds(60));
    assert_one_sa(&mut world);
    assert_eq!(world.server(1).channels(2)[0].begun_by, address(2).ip());
    assert_eq!(world.server(1).log.len(), 1, "{:?}", world.server(1).log);
}

/// Both began, only one of them got through: nothing is missing, so nothing has failed.
#[test]
fn half_of_a_collision_that_comes_to_nothing_is_no_failure() {
    let mut world = World::pair(DAY);
    for server in [1, 2] {
        let link = world.server(server).links.links.values_mut().next().unwrap();
        link.initiation = Initiation::At(START);
    }
    world.run(Duration::from_millis(12));
    let from_2 = |flight: &&Flight| flight.from == address(2);
    let cookie: [u8; 8] = world.sent.iter().find(from_2).unwrap().payload[..8].try_into().unwrap();
    world.route = Box::new(move |_, flight| (flight.payload[..8] != cookie).then_some(flight));
    world.run(seconds(30));
    assert_one_sa(&mut world);
    for server in &world.servers {
        assert_eq!(server.log.len(), 1, "{:?}", server.log);
    }
}

/// Whatever of the collision is lost: the link never goes down, and in the end there is one SA.
#[test]
fn a_collision_with_any_datagram_lost() {
    for lost in 0..20 {
        let mut world = World::pair(DAY);
        for server in [1, 2] {
            let link = world.server(server).links.links.values_mut().next().unwrap();
            link.initiation = Initiation::At(START);
        }
        world.route = Box::new(move |number, flight| (number != lost).then_some(flight));
        world.run(seconds(30));
        assert_one_sa(&mut world);
        for server in &world.servers {
            assert_eq!(server.count(|event| matches!(event, Event::Down(_))), 0, "{lost}: {:?}", server.log);
        }
        assert_talking(&mut world, b"in the end");
    }
}
