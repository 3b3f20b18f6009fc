//! What came to one stretch of a plane's way and what got through, since it was judged last.

use super::step::{Place, Step};
use super::Obstacle;

/// So many packets are judged together.
const ENOUGH: u64 = 16;
/// So many times one after the other: packets that were under way between two places are there the next time.
const TIMES: u8 = 2;
/// One of so many lost is a fault, where nothing is lost by itself.
const PART: u64 = 4;

/// A stretch between two places where packets are counted.
struct Stretch {
    from: Place,
    to: Place,
    toll: Toll,
    /// What eats packets here, by what else was counted; none where nothing says that it is a fault.
    obstacle: fn(&Step, Forwarding) -> Option<Obstacle>,
}

/// How much is a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Toll {
    /// A part of what came: nobody has any business here.
    Part,
    /// All that came: operators may well drop some of it.
    All,
}

/// Whether what comes in by the links of a plane is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    On,
    Off,
}

const STRETCHES: [Stretch; Account::COUNT] = [
    Stretch {
        from: Place::EspArrived,
        to: Place::EspRaw,
        toll: Toll::Part,
        obstacle: |_, _| Some(Obstacle::PreroutingRaw),
    },
    Stretch {
        from: Place::EspTaken,
        to: Place::EspRouting,
        toll: Toll::Part,
        obstacle: |_, _| Some(Obstacle::Prerouting),
    },
    Stretch {
        from: Place::EspRouting,
        to: Place::EspInput,
        toll: Toll::Part,
        obstacle: |step, _| {
            let filtered = explains(step, Place::ReversePath, Place::EspRouting, Place::EspInput);
            Some(if filtered { Obstacle::ReversePath } else { Obstacle::Routing })
        },
    },
    Stretch {
        from: Place::EspInput,
        to: Place::Judged,
        toll: Toll::Part,
        obstacle: |step, _| (step.at(Place::GoneInbound) == 0).then_some(Obstacle::Input),
    },
    Stretch {
        from: Place::Decrypted,
        to: Place::InnerRouting,
        toll: Toll::All,
        obstacle: |_, _| Some(Obstacle::PreroutingDecrypted),
    },
    Stretch { from: Place::InnerRouting, to: Place::Delivered, toll: Toll::All, obstacle: undelivered },
    Stretch {
        from: Place::Forwarding,
        to: Place::Forwarded,
        toll: Toll::All,
        obstacle: |_, _| Some(Obstacle::Forward),
    },
    Stretch {
        from: Place::ToEncrypt,
        to: Place::Encrypted,
        toll: Toll::All,
        obstacle: |step, _| (step.at(Place::GoneOutbound) == 0).then_some(Obstacle::PostroutingClear),
    },
    Stretch {
        from: Place::Restored,
        to: Place::EspOut,
        toll: Toll::All,
        obstacle: |_, _| Some(Obstacle::Output),
    },
    Stretch {
        from: Place::EspOut,
        to: Place::EspLeft,
        toll: Toll::All,
        obstacle: |_, _| Some(Obstacle::Postrouting),
    },
];

/// What has no route here, or is a multicast that nobody listens to, is no fault.
fn undelivered(step: &Step, forwarding: Forwarding) -> Option<Obstacle> {
    let because = |of: Place| explains(step, of, Place::InnerRouting, Place::Delivered);
    if because(Place::ReversePath) {
        Some(Obstacle::ReversePath)
    } else if because(Place::Refused) {
        Some(Obstacle::Policy)
    } else {
        (forwarding == Forwarding::Off).then_some(Obstacle::Forwarding)
    }
}

/// Whether the kernel counted so many of everybody's packets there that they can be most of those that were lost.
fn explains(step: &Step, counted: Place, from: Place, to: Place) -> bool {
    let (counted, lost) = (step.at(counted), step.at(from).saturating_sub(step.at(to)));
    counted > lost / 2
}

/// Of one stretch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// What was not judged yet.
    open: Step,
    /// How often it was judged alike of late.
    times: u8,
    /// What was found then.
    judged: Option<Obstacle>,
    lost: u64,
    of: u64,
    /// What is told.
    told: Option<Obstacle>,
}

/// What was counted is added to each of a plane's accounts.
pub fn add(accounts: &mut [Account; Account::COUNT], step: &Step, forwarding: Forwarding) {
    accounts.iter_mut().zip(&STRETCHES).for_each(|(account, stretch)| account.add(stretch, step, forwarding));
}

impl Account {
    /// So many stretches there are.
    pub const COUNT: usize = 10;

    /// What eats packets, how many of late, and of how many.
    pub fn told(&self) -> Option<(Obstacle, u64, u64)> {
        self.told.map(|obstacle| (obstacle, self.lost, self.of))
    }

    fn add(&mut self, stretch: &Stretch, step: &Step, forwarding: Forwarding) {
        let sum = self.open.then(step);
        let (came, passed) = (sum.at(stretch.from), sum.at(stretch.to));
        if came.max(passed) < ENOUGH {
            self.open = sum;
            return;
        }
        self.open = Step::default();
        let lost = came.saturating_sub(passed);
        let much = match stretch.toll {
            Toll::Part => lost * PART > came,
            Toll::All => passed == 0,
        };
        let found = if much { (stretch.obstacle)(&sum, forwarding) } else { None };
        self.judge(found, lost, came);
    }

    fn judge(&mut self, found: Option<Obstacle>, lost: u64, came: u64) {
        if found == self.judged {
            self.times = (self.times + 1).min(TIMES);
            (self.lost, self.of) = (self.lost.saturating_add(lost), self.of.saturating_add(came));
        } else {
            (self.times, self.judged, self.lost, self.of) = (1, found, lost, came);
        }
        if self.times >= TIMES {
            self.told = found;
        }
    }
}
