//! What was told holds at every moment until something else is told: whoever keeps a view need not ask again.

use super::*;

/// Chance that repeats itself: the generator of Knuth's MMIX.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn percent(&mut self, cases: u64) -> bool {
        self.below(100) < cases
    }

    fn seconds(&mut self, most: u64) -> Duration {
        Duration::from_secs(self.below(most + 1))
    }

    fn delay(&mut self) -> Option<Duration> {
        self.percent(50).then(|| self.seconds(12))
    }

    fn tek(&mut self) -> Tek {
        let (number, lifetime) = (self.below(4) as u32, 1 + self.below(20));
        match self.percent(50) {
            true => tek(1000 + number, lifetime),
            false => seeded((number + 1) << 20, self.below(3) as u32, lifetime),
        }
    }

    fn kek(&mut self, some: &Kek) -> Kek {
        let destination = ["192.0.2.1:848", "0.0.0.0:848", "239.192.0.1:848", "239.192.0.2:848"];
        Kek {
            spi: [self.below(3) as u8; 16],
            destination: destination[self.below(4) as usize].parse().unwrap(),
            lifetime: self.seconds(15),
            ..some.clone()
        }
    }

    fn policy(&mut self, some: &Kek) -> GroupPolicy {
        let teks = (0..self.below(4)).map(|_| self.tek()).collect();
        GroupPolicy {
            mode: if self.percent(20) { SendMode::ReceiveOnly } else { SendMode::Both },
            kek: self.percent(50).then(|| self.kek(some)),
            activation_delay: self.delay(),
            deactivation_delay: self.delay(),
            pseudotime: self.percent(50).then(|| self.below(100_000)),
            ..policy(teks)
        }
    }

    fn deletions(&mut self) -> Vec<Deletion> {
        let deletions =
            [Deletion::Tek(Spi(1000 + self.below(4) as u32)), Deletion::AllTeks, Deletion::Kek([7; 16])];
        deletions.into_iter().filter(|_| self.percent(10)).collect()
    }

    /// A registration or a rekey message.
    fn disturb(&mut self, keyring: &mut Keyring, some: &Kek, now: Instant) {
        if self.percent(50) {
            let made = Made { earliest: now.before(self.seconds(3)), latest: now };
            let sids = sids(self.below(3) as u32, &[self.below(1000) as u32, 1000 + self.below(1000) as u32]);
            // One whose sender IDs come again changes nothing.
            let _ = keyring.pull(self.policy(some), &sids, made, Others::Alike, now);
        } else {
            let policy = self.percent(80).then(|| self.policy(some));
            keyring.push(Rekey { kek_spi: [0; 16], sequence: 1, deletions: self.deletions(), policy }, now);
        }
    }
}

/// What was told last, and until when it holds.
struct Told {
    view: View,
    until: Option<Instant>,
}

impl Told {
    fn of(keyring: &Keyring, now: Instant) -> Told {
        Told { view: keyring.view(now), until: keyring.next_change(now) }
    }
}

#[test]
fn a_view_holds_until_the_next_one_is_told() {
    let (some, mut changes) = (kek(60), 0);
    for seed in 0..300 {
        let (mut dice, mut keyring) = (Dice(seed), empty());
        let mut now = Instant::from_millis(100_000);
        let mut told = Told::of(&keyring, now);
        for _ in 0..1_000 {
            now = now + Duration::from_millis(1 + dice.below(200));
            if let Some(until) = told.until.filter(|until| *until <= now) {
                assert_eq!(
                    keyring.view(until.before(Duration::from_millis(1))),
                    told.view,
                    "seed {seed}: before {until:?}"
                );
                keyring.expire(now);
                told = Told::of(&keyring, now);
                changes += 1;
            }
            if dice.percent(2) {
                dice.disturb(&mut keyring, &some, now);
                told = Told::of(&keyring, now);
            }
            assert_eq!(keyring.view(now), told.view, "seed {seed}: at {now:?}");
        }
    }
    assert!(changes > 3_000, "{changes}");
}
