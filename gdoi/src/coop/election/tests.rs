use super::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

const HOLD_DOWN: Duration = Duration::from_secs(10);

fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
}

fn rules(own: u8, servers: u8, priority: u8, preemption: Preemption) -> Redundancy {
    let peers = (1..=servers).filter(|number| *number != own).map(address).collect();
    Redundancy { priority, peers, preemption, interval: Duration::from_secs(1), dead_after: 3 }
}

/// Servers 1, 2, ... that announce themselves every second; who is cut off from whom hears nothing of it.
struct Field {
    now: Instant,
    servers: BTreeMap<u8, Election>,
    cut: Vec<(u8, u8)>,
    preemption: Preemption,
    count: u8,
    turns: Vec<(u8, Turn)>,
}

impl Field {
    /// The higher the number, the higher the priority.
    fn new(count: u8, preemption: Preemption) -> Self {
        let now = Instant::from_millis(1_000_000);
        let mut field =
            Field { now, servers: BTreeMap::new(), cut: Vec::new(), preemption, count, turns: Vec::new() };
        (1..=count).for_each(|number| field.start(number));
        field
    }

    fn start(&mut self, number: u8) {
        let rules = rules(number, self.count, number * 10, self.preemption);
        self.servers.insert(number, Election::new(address(number), rules, self.now));
    }

    fn hears(&self, to: u8, from: u8) -> bool {
        !self.cut.contains(&(to, from)) && !self.cut.contains(&(from, to))
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now = self.now + Duration::from_millis(250);
            if self.now.as_millis() % 1000 == 0 {
                self.announce();
            }
            self.judge();
        }
    }

    fn announce(&mut self) {
        self.servers.values_mut().for_each(Election::beat);
        let now = self.now;
        let words: Vec<_> = self.servers.iter().map(|(number, server)| (*number, server.word(now))).collect();
        for (from, word) in words {
            for to in self.servers.keys().copied().filter(|to| *to != from).collect::<Vec<_>>() {
                if self.hears(to, from) {
                    self.servers.get_mut(&to).unwrap().hear(address(from), word, Step::Same, now);
                }
            }
        }
    }

    fn judge(&mut self) {
        for (number, server) in &mut self.servers {
            while let Some(turn) = server.judge(Work::Idle, self.now) {
                self.turns.push((*number, turn));
            }
        }
    }

    fn primaries(&self) -> Vec<u8> {
        let leads = self.servers.iter().filter(|(_, server)| server.role().leads());
        leads.map(|(number, _)| *number).collect()
    }
}

#[test]
fn the_highest_priority_is_elected_and_the_others_follow() {
    let mut field = Field::new(3, Preemption::Never);
    field.run(3);
    assert!(field.primaries().is_empty(), "nobody takes the role before it has listened");
    field.run(7);
    assert_eq!(field.primaries(), [3]);
    assert!(field.servers.values().all(|server| server.primary() == Some(address(3))));
}

#[test]
fn among_equals_the_highest_address_is_elected() {
    let mut field = Field::new(2, Preemption::Never);
    for number in 1..=2 {
        let rules = rules(number, 2, 7, Preemption::Never);
        field.servers.insert(number, Election::new(address(number), rules, field.now));
    }
    field.run(10);
    assert_eq!(field.primaries(), [2]);
}

#[test]
fn a_dead_primary_is_replaced_in_under_five_seconds() {
    let mut field = Field::new(3, Preemption::Never);
    field.run(10);
    field.servers.remove(&3);
    field.turns.clear();
    let mut waited = 0;
    while field.primaries().is_empty() {
        field.run(1);
        waited += 1;
    }
    assert!(waited < 5, "{waited} s");
    let lost = Turn::Leaderless { lost: Some(address(3)) };
    assert!(field.turns.contains(&(2, lost)) && field.turns.contains(&(1, lost)));
    assert!(field.turns.contains(&(2, Turn::Primary { previous: Some(address(3)), epoch: 2 })));
}

#[test]
fn who_comes_back_takes_its_role_after_the_hold_down_or_never() {
    for (preemption, expected) in [(Preemption::After(HOLD_DOWN), 3), (Preemption::Never, 2)] {
        let mut field = Field::new(3, preemption);
        field.run(10);
        field.servers.remove(&3);
        field.run(6);
        field.start(3);
        field.run(9);
        assert_eq!(field.primaries(), [2], "not before the hold-down is over");
        field.run(12);
        assert_eq!(field.primaries(), [expected]);
    }
}

#[test]
fn nothing_is_handed_over_while_a_rekey_is_under_way() {
    let mut field = Field::new(2, Preemption::After(Duration::ZERO));
    let low = rules(1, 2, 5, Preemption::Never);
    field.servers.remove(&2);
    field.servers.insert(1, Election::new(address(1), low, field.now));
    field.run(10);
    field.start(2);
    let mut primary = field.servers.remove(&1).unwrap();
    let word = Word {
        role: Role::Secondary,
        priority: 20,
        epoch: 1,
        reign: None,
        claims: Claim::Laid,
        successor: None,
    };
    primary.hear(address(2), word, Step::Same, field.now);
    assert_eq!((primary.judge(Work::Busy, field.now), primary.role()), (None, Role::Primary));
    primary.hear(address(2), word, Step::Behind, field.now);
    assert_eq!((primary.judge(Work::Idle, field.now), primary.role()), (None, Role::Primary));
    primary.hear(address(2), word, Step::Same, field.now);
    assert_eq!((primary.judge(Work::Idle, field.now), primary.role()), (None, Role::Yielding));
    let later = field.now + Duration::from_secs(3);
    assert_eq!((primary.judge(Work::Busy, later), primary.role()), (None, Role::Primary), "nobody took it");
}

#[test]
fn who_resigns_does_not_take_the_role_back() {
    let mut field = Field::new(3, Preemption::After(Duration::from_secs(1)));
    field.run(10);
    let now = field.now;
    assert!(!field.servers.get_mut(&1).unwrap().resign(now), "it has nothing to give");
    assert!(field.servers.get_mut(&3).unwrap().resign(now));
    field.run(30);
    assert_eq!(field.primaries(), [2]);
    field.servers.remove(&2);
    field.run(6);
    assert_eq!(field.primaries(), [3], "but it is elected when it is the best that is left");
}

#[test]
fn of_two_primaries_that_meet_the_lower_steps_down() {
    let mut field = Field::new(4, Preemption::Never);
    field.cut = vec![(1, 3), (1, 4), (2, 3), (2, 4)];
    field.run(12);
    assert_eq!(field.primaries(), [2, 4]);
    field.cut.clear();
    field.run(3);
    assert_eq!(field.primaries(), [4]);
    assert!(field.servers.values().all(|server| server.primary() == Some(address(4))));
}

#[test]
fn a_primary_that_is_heard_through_others_only_is_alive() {
    let mut field = Field::new(4, Preemption::Never);
    field.run(10);
    field.turns.clear();
    // 1 hears 2, 2 hears 3, 3 hears 4.
    field.cut = vec![(1, 3), (1, 4), (2, 4)];
    field.run(20);
    assert_eq!((field.primaries(), field.turns.len()), (vec![4], 0));
    field.servers.remove(&4);
    field.run(12);
    assert_eq!(field.primaries(), [3], "and dead when its count stands still, whoever repeats it");
}

#[test]
fn a_server_with_keys_that_others_lack_is_waited_for_but_not_for_ever() {
    let mut field = Field::new(2, Preemption::Never);
    let mut server = field.servers.remove(&2).unwrap();
    let word = Word {
        role: Role::Starting,
        priority: 1,
        epoch: 0,
        reign: None,
        claims: Claim::None,
        successor: None,
    };
    let (start, mut elected) = (field.now, None);
    for second in 0..30 {
        let now = start + Duration::from_secs(second);
        server.hear(address(1), word, Step::Ahead, now);
        while let Some(turn) = server.judge(Work::Idle, now) {
            elected = elected.or(matches!(turn, Turn::Primary { .. }).then_some(second));
        }
    }
    assert_eq!(elected, Some(10), "4 s of listening and 6 s of waiting");
}
