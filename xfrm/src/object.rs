//! The objects that live in the kernel, as small values that can be compared.

mod foreign;
mod life;
mod policy;
mod selector;
mod stacked;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::{Anchors, EspKeys, Family, Lane, Replay, Sa, Secret, Slot, Spi, MULTICAST};
use crate::nft::Routing;

pub use self::foreign::ForeignPolicy;
pub use self::life::{wall, Life};
pub use self::policy::{HeldPolicy, Hook, Policy, PolicyIndex, PolicyKey, Rank, Verdict};
pub use selector::KernelSelector;
pub use stacked::Stacked;

/// Which way a state works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It decrypts: its destination is the inbound anchor.
    Inbound,
    /// It encrypts: its destination is the outbound anchor.
    Outbound,
}

/// The name of a state; the kernel holds at most one by each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId {
    /// Its plane.
    pub slot: Slot,
    /// Which way it works.
    pub direction: Direction,
    /// Which packets it carries.
    pub family: Family,
    /// Which traffic it sends.
    pub lane: Lane,
    /// Its SPI.
    pub spi: Spi,
}

/// An XFRM state that we want. Addresses, mode, flags and reqid follow from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub id: StateId,
    /// Ciphers and keys.
    pub keys: EspKeys,
    /// Sequence numbers.
    pub replay: Replay,
    /// How long after its addition the kernel forgets it.
    pub hard_lifetime: Option<Duration>,
}

/// An XFRM state that the kernel holds at one of our anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldState {
    /// Its name.
    pub id: StateId,
    /// What it is; none when no state of ours looks like this (a larval state, a change by hand).
    pub content: Option<State>,
    /// How long it lives.
    pub life: Life,
}

/// An anchor route: VI is local, VO is on-link at the protected interface and has its MTU unless it has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Its plane.
    pub slot: Slot,
    /// Which anchor it leads to.
    pub direction: Direction,
    /// The anchor's family.
    pub family: Family,
    /// Which traffic goes there.
    pub lane: Lane,
    /// Number of the table that it is in.
    pub table: u32,
    /// Index of the interface.
    pub interface: u32,
    /// Largest packet, in octets, that the kernel does not try to exceed.
    pub mtu: Option<u32>,
}

/// An XFRM interface: what is sent to it is encrypted by policies of its own and leaves by its parent. Its `if_id` is the
/// plane's reqid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XfrmInterface {
    /// Its plane.
    pub slot: Slot,
    /// Index of the protected interface.
    pub parent: u32,
    /// Largest packet in octets.
    pub mtu: u32,
}

/// An XFRM interface of ours that the kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldInterface {
    /// Its index.
    pub index: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// What it is.
    pub content: XfrmInterface,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// Largest packet in octets.
    pub mtu: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What it has above and below itself.
    pub stacked: Stacked,
    /// The VRF that it is in, or is.
    pub vrf: Option<Vrf>,
}

/// A VRF (virtual routing and forwarding): an interface that has others, which route by a table of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vrf {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Number of the table.
    pub table: u32,
}

impl StateId {
    /// The anchor that the state is found by.
    pub fn anchor(self) -> IpAddr {
        anchor(self.slot, self.direction, self.family, self.lane)
    }
}

impl Link {
    /// By which tables it routes.
    pub fn routing(&self) -> Routing {
        self.vrf.as_ref().map_or(Routing::Main, |_| Routing::Vrf)
    }
}

impl Route {
    /// Numbers of the tables that each machine has.
    pub const MAIN: u32 = 254;
    /// That of local addresses.
    pub const LOCAL: u32 = 255;

    /// The address that the route leads to.
    pub fn anchor(self) -> IpAddr {
        anchor(self.slot, self.direction, self.family, self.lane)
    }
}

impl XfrmInterface {
    /// `gdoi` and the number of the plane.
    pub fn name(self) -> String {
        format!("gdoi{}", self.slot.number())
    }
}

fn anchor(slot: Slot, direction: Direction, family: Family, lane: Lane) -> IpAddr {
    match direction {
        Direction::Inbound => slot.inbound_anchor(family),
        Direction::Outbound => slot.outbound_anchor(family, lane),
    }
}

/// Which plane, direction and lane an address is the anchor of.
pub fn anchor_of(address: IpAddr) -> Option<(Slot, Direction, Lane)> {
    let found = |anchors: Anchors| Some((anchors, anchors.offset(address)?));
    let (anchors, offset) = Anchors::ALL.into_iter().find_map(found)?;
    if let Some(place) = offset.checked_sub(MULTICAST.into()) {
        return Some((anchors.slot(place)?, Direction::Outbound, Lane::Multicast));
    }
    let direction = if offset % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
    Some((anchors.slot(offset / 2)?, direction, Lane::Unicast))
}

impl Slot {
    /// The XFRM reqid of the plane, 84800 and up: in decimal, as `ip xfrm` prints it.
    pub fn reqid(self) -> u32 {
        84_800 + u32::from(self.number())
    }

    /// The plane with this reqid.
    pub fn from_reqid(reqid: u32) -> Option<Self> {
        Self::new(u8::try_from(reqid.checked_sub(84_800)?).ok()?)
    }
}

impl State {
    /// The state of an SA.
    pub fn new(slot: Slot, direction: Direction, sa: &Sa) -> Self {
        Self {
            id: StateId { slot, direction, family: sa.family, lane: sa.lane, spi: sa.spi },
            keys: sa.keys.clone(),
            replay: sa.replay,
            hard_lifetime: sa.hard_lifetime,
        }
    }

    /// Whether the kernel's state does what this one would. The lifetime is not compared, see [`Self::outlives`].
    /// A kernel in lockdown shows zeros for keys, which must not look like another key.
    pub fn is_held_as(&self, held: &HeldState) -> bool {
        held.content.as_ref().is_some_and(|content| {
            self.id == content.id
                && are_held_as(&self.keys, &content.keys)
                && self.replay.is_held_as(content.replay)
        })
    }

    /// Whether the kernel's state ends before this one should.
    pub fn outlives(&self, held: &HeldState, now: u64) -> bool {
        held.life.ends_before(now, self.hard_lifetime)
    }
}

impl Replay {
    /// The kernel counts on from `high`.
    fn is_held_as(self, held: Self) -> bool {
        match (self, held) {
            (Self::Window { size, .. }, Self::Window { size: held, .. }) => size == held,
            (Self::Off, Self::Off) => true,
            _ => false,
        }
    }
}

/// Whether the kernel's keys are these or blanked ones of the same kind.
fn are_held_as(keys: &EspKeys, held: &EspKeys) -> bool {
    let shown = |own: &Secret, held: &Secret| own == held || held.expose().iter().all(|octet| *octet == 0);
    keys.transform() == held.transform()
        && match (keys, held) {
            (EspKeys::Shared(own), EspKeys::Shared(held)) => {
                shown(own.encryption(), held.encryption())
                    && shown(own.authentication(), held.authentication())
            }
            (EspKeys::Sender(own), EspKeys::Sender(held)) => shown(own.secret(), held.secret()),
            _ => false,
        }
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        write!(f, "{direction} state {} of plane {}", self.spi, self.slot.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_is_found_again() {
        for slot in Slot::all() {
            for family in Family::ALL {
                for (direction, lane) in [
                    (Direction::Inbound, Lane::Unicast),
                    (Direction::Outbound, Lane::Unicast),
                    (Direction::Outbound, Lane::Multicast),
                ] {
                    let known = family == Family::V6 || lane == Lane::Unicast;
                    let found = anchor_of(anchor(slot, direction, family, lane));
                    assert_eq!(found, Some((slot, direction, if known { lane } else { Lane::Unicast })));
                }
            }
            assert_eq!(Slot::from_reqid(slot.reqid()), Some(slot));
        }
        for foreign in [
            "192.0.0.83",
            "192.0.0.168",
            "192.0.1.84",
            "10.0.0.84",
            "100::848:54",
            "100::848:12a",
            "100::848:200",
            "100::1:848:0",
            "192.31.196.83",
            "192.31.196.168",
            "192.31.196.1",
            "2001:4:112::1",
            "2001:4:112::848:54",
            "2001:4:112::848:200",
        ] {
            assert_eq!(anchor_of(foreign.parse().unwrap()), None);
        }
    }
}
