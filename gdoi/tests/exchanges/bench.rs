//! Virtual time and a virtual network, driven by chance that repeats itself.

pub mod fleet;
mod link;
mod node;
pub mod random;
mod world;

pub use link::Link;
pub use world::{Flight, World};
