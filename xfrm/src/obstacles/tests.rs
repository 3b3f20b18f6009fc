use super::*;
use crate::counters::{Count, PlaneCounters, StateCounters, Stations};
use crate::model::{Family, Spi};
use crate::object::Direction;

fn slot() -> Slot {
    Slot::new(0).unwrap()
}

/// A plane's counters, of which a test moves some.
#[derive(Clone)]
struct Kernel(Reading);

impl Kernel {
    fn new() -> Self {
        let none = Count::default();
        let plane = PlaneCounters {
            slot: slot(),
            encrypted: none,
            decrypted: none,
            blocked_out: none,
            blocked_in: none,
            bypassed: none,
            oversize: none,
            unrestored: none,
            unknown_sender: none,
            stations: Stations::default(),
        };
        let state = |direction, spi| StateCounters {
            slot: slot(),
            direction,
            family: Family::V4,
            spi: Spi(spi),
            count: none,
            integrity_failures: 0,
            replayed: 0,
        };
        let states = vec![state(Direction::Inbound, 7), state(Direction::Outbound, 8)];
        let settings = LinkSettings {
            slot: slot(),
            interface: "wan".into(),
            disable_xfrm: false,
            keeps_to_itself: false,
        };
        let counters = Counters { planes: vec![plane], states, ..Counters::default() };
        Kernel(Reading { counters, settings: vec![settings] })
    }

    /// So many packets come in and are counted by so many places.
    fn comes(&mut self, packets: u64, places: usize) {
        self.inward().into_iter().take(places).for_each(|count| *count += packets);
    }

    /// What is under way arrives.
    fn catches_up(&mut self) {
        let mut way = self.inward();
        let come = *way[0];
        way.iter_mut().for_each(|count| **count = come);
    }

    fn goes(&mut self, packets: u64, places: usize) {
        let counters = &mut self.0.counters;
        let (plane, states) = (&mut counters.planes[0], &mut counters.states);
        let stations = &mut plane.stations;
        let way = [
            &mut stations.to_encrypt,
            &mut states[1].count.packets,
            &mut plane.encrypted.packets,
            &mut stations.esp_out,
            &mut stations.esp_left,
        ];
        way.into_iter().take(places).for_each(|count| *count += packets);
    }

    fn inward(&mut self) -> [&mut u64; COMES] {
        let counters = &mut self.0.counters;
        let (plane, states) = (&mut counters.planes[0], &mut counters.states);
        let stations = &mut plane.stations;
        [
            &mut stations.esp_arrived,
            &mut stations.esp_raw,
            &mut stations.esp_taken,
            &mut stations.esp_routing,
            &mut stations.esp_input,
            &mut states[0].count.packets,
            &mut stations.inner_routing,
            &mut plane.decrypted.packets,
            &mut stations.forwarding,
            &mut stations.forwarded,
        ]
    }

    fn error(&mut self, name: &str, count: u64) {
        self.0.counters.errors = vec![(name.to_owned(), count)];
    }
}

const COMES: usize = 10;
const GOES: usize = 5;

fn told(obstacles: &mut Obstacles, kernel: &Kernel) -> Vec<Obstacle> {
    obstacles.judge(&kernel.0).into_iter().map(|finding| finding.obstacle).collect()
}

/// What is told after some rounds of the same.
fn after(rounds: usize, mut round: impl FnMut(&mut Kernel)) -> Vec<Obstacle> {
    let (mut obstacles, mut kernel) = (Obstacles::default(), Kernel::new());
    assert_eq!(told(&mut obstacles, &kernel), []);
    for _ in 1..rounds {
        round(&mut kernel);
        told(&mut obstacles, &kernel);
    }
    round(&mut kernel);
    told(&mut obstacles, &kernel)
}

#[test]
fn each_stretch_of_the_way_has_its_obstacle() {
    let inward = [
        (1, Obstacle::PreroutingRaw),
        (3, Obstacle::Prerouting),
        (4, Obstacle::Routing),
        (5, Obstacle::Input),
        (6, Obstacle::PreroutingDecrypted),
        (9, Obstacle::Forward),
    ];
    for (last, obstacle) in inward {
        assert_eq!(after(2, |kernel| kernel.comes(16, last)), [obstacle]);
        assert_eq!(after(1, |kernel| kernel.comes(1_000, last)), [], "packets can be under way");
    }
    for (last, obstacle) in
        [(1, Obstacle::PostroutingClear), (3, Obstacle::Output), (4, Obstacle::Postrouting)]
    {
        assert_eq!(after(2, |kernel| kernel.goes(16, last)), [obstacle]);
    }
}

#[test]
fn silence_is_no_fault_and_neither_is_what_passes() {
    assert_eq!(after(50, |_| ()), []);
    assert_eq!(after(50, |kernel| kernel.comes(1_000, COMES)), []);
    assert_eq!(after(50, |kernel| kernel.goes(1_000, GOES)), []);
    assert_eq!(after(7, |kernel| kernel.comes(2, 5)), [], "too few to tell");
    let mut round = 0;
    let late = |kernel: &mut Kernel| {
        round += 1;
        kernel.comes(400, 3);
        if round % 2 == 0 {
            kernel.catches_up();
        }
    };
    assert_eq!(after(50, late), [], "they are late");
}

#[test]
fn a_part_is_a_fault_where_nobody_has_any_business() {
    let partly = |last: usize| {
        move |kernel: &mut Kernel| {
            kernel.comes(50, last);
            kernel.comes(50, COMES);
        }
    };
    assert_eq!(after(2, partly(5)), [Obstacle::Input]);
    assert_eq!(after(9, partly(9)), [], "an operator filters what is forwarded");
    let few = |kernel: &mut Kernel| {
        kernel.comes(10, 5);
        kernel.comes(90, COMES);
    };
    assert_eq!(after(9, few), []);
}

#[test]
fn what_is_lost_for_another_reason_is_no_obstacle() {
    let forged = |kernel: &mut Kernel| {
        kernel.comes(100, 5);
        kernel.0.counters.states[0].integrity_failures += 100;
    };
    assert_eq!(after(9, forged), []);
    let mut count = 0;
    let unknown = |kernel: &mut Kernel| {
        count += 100;
        kernel.comes(100, 5);
        kernel.error("XfrmInNoStates", count);
    };
    assert_eq!(after(9, unknown), []);
    let others = |kernel: &mut Kernel| kernel.comes(100, 2);
    assert_eq!(after(9, others), [], "ESP of somebody else with an SPI like ours");
    let mut count = 0;
    let keyless = |kernel: &mut Kernel| {
        count += 100;
        kernel.goes(100, 1);
        kernel.error("XfrmOutNoStates", count);
    };
    assert_eq!(after(9, keyless), []);
    assert_eq!(
        after(9, |kernel| kernel.comes(100, 7)),
        [],
        "without a route, or a multicast that nobody hears"
    );
}

#[test]
fn what_the_kernel_counts_itself_says_why() {
    let filtered = |last: usize| {
        move |kernel: &mut Kernel| {
            kernel.comes(100, last);
            kernel.0.counters.reverse_path += 100;
        }
    };
    assert_eq!(after(2, filtered(4)), [Obstacle::ReversePath]);
    assert_eq!(after(2, filtered(7)), [Obstacle::ReversePath]);
    let noise = |last: usize| {
        move |kernel: &mut Kernel| {
            kernel.comes(100, last);
            kernel.0.counters.reverse_path += 3;
        }
    };
    assert_eq!(after(2, noise(4)), [Obstacle::Routing], "those are others");
    assert_eq!(after(2, noise(7)), []);
    let mut count = 0;
    let refused = |kernel: &mut Kernel| {
        count += 100;
        kernel.comes(100, 7);
        kernel.error("XfrmInPolBlock", count);
    };
    assert_eq!(after(2, refused), [Obstacle::Policy]);
    let mine = |kernel: &mut Kernel| {
        kernel.comes(100, 7);
        kernel.0.settings[0].keeps_to_itself = true;
    };
    assert_eq!(after(2, mine), [Obstacle::Forwarding]);
}

#[test]
fn a_setting_is_seen_without_any_traffic() {
    let (mut obstacles, mut kernel) = (Obstacles::default(), Kernel::new());
    kernel.0.settings[0].disable_xfrm = true;
    assert_eq!(told(&mut obstacles, &kernel), [Obstacle::DisableXfrm]);
    kernel.0.settings[0].disable_xfrm = false;
    assert_eq!(told(&mut obstacles, &kernel), []);
}

#[test]
fn a_finding_stays_until_packets_pass() {
    let (mut obstacles, mut kernel) = (Obstacles::default(), Kernel::new());
    told(&mut obstacles, &kernel);
    for _ in 0..3 {
        kernel.comes(100, 5);
        told(&mut obstacles, &kernel);
    }
    assert_eq!(told(&mut obstacles, &kernel), [Obstacle::Input], "nobody sends");
    let finding = &obstacles.judge(&kernel.0)[0];
    assert_eq!((finding.lost, finding.of), (300, 300));
    kernel.comes(20, COMES);
    assert_eq!(told(&mut obstacles, &kernel), [Obstacle::Input]);
    kernel.comes(20, COMES);
    assert_eq!(told(&mut obstacles, &kernel), []);
}

#[test]
fn a_table_or_a_state_that_is_made_anew_is_no_fault() {
    let mut full = Kernel::new();
    full.comes(1_000, COMES);
    full.goes(1_000, GOES);
    let mut obstacles = Obstacles::default();
    told(&mut obstacles, &full);
    for round in (1..20).rev() {
        let mut kernel = full.clone();
        kernel.0.counters.planes[0] = Kernel::new().0.counters.planes[0];
        kernel.comes(16 * round, 5);
        assert_eq!(told(&mut obstacles, &kernel), [], "the table");
    }
    // Each time the state is gone with what it has carried.
    let rekeyed = |kernel: &mut Kernel| {
        kernel.comes(100, 5);
        let state = &mut kernel.0.counters.states[0];
        (state.spi, state.count) = (Spi(state.spi.0 + 1), Count::default());
    };
    assert_eq!(after(20, rekeyed), []);
    let mut gone = Obstacles::default();
    gone.judge(&full.0);
    assert_eq!(told(&mut gone, &Kernel(Reading::default())), []);
    assert!(gone.planes.is_empty());
}
