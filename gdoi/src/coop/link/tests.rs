mod world;

use std::time::Duration;
use world::{address, Event, World};

const DAY: Duration = Duration::from_secs(86_400);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two servers with a link.
fn linked() -> World {
    let mut world = World::pair(DAY);
    world.run(seconds(2));
    assert!(world.server(1).links.is_up(*address(2).ip()));
    assert!(world.server(2).links.is_up(*address(1).ip()));
    world
}

#[test]
fn a_link_comes_up_and_carries_messages_both_ways() {
    let mut world = linked();
    assert!(world.say(1, 2, b"from 1") && world.say(2, 1, b"from 2"));
    world.run(seconds(1));
    assert_eq!(world.server(2).received(), [b"from 1".to_vec()]);
    assert_eq!(world.server(1).received(), [b"from 2".to_vec()]);
    for server in &world.servers {
        assert_eq!(server.count(|event| *event == Event::Up), 1);
        assert_eq!(server.log.len(), 2, "{:?}", server.log);
    }
}
