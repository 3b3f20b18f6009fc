//! Virtual time and a virtual network, driven by chance that repeats itself.

pub mod alliance;
pub mod coop_message;
pub mod counting;
pub mod duel;
#[path = "../../../src/wire/fixture.rs"]
pub mod fixture;
pub mod fleet;
pub mod foreign;
mod link;
pub mod node;
mod pace;
pub mod pcap;
pub mod random;
pub mod rogue;
pub mod stored;
pub mod traitor;
pub mod whole;
mod world;

// What the fixture is made of.
use gdoi::wire::{IdField, IdType, SaKek, SaTek};

pub use link::Link;
pub use world::{Archive, Clock, Flight, World};
