//! The difference between what the kernel holds and what it should hold, as an ordered list of changes.

use crate::model::{Slot, Spi};

/// What the kernel holds of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {}

/// A plane that protects right now, perhaps left by an agent that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protecting {
    /// The plane.
    pub slot: Slot,
    /// Its interface.
    pub interface: String,
    /// SPIs that can be received.
    pub inbound: Vec<Spi>,
    /// The SPI that is sent with; none while traffic is blocked.
    pub outbound: Option<Spi>,
}

impl Installed {
    /// The planes that protect their interface without any help of ours: policies, states and the leak guard are there.
    pub fn protecting(&self) -> Vec<Protecting> {
        Vec::new()
    }
}
