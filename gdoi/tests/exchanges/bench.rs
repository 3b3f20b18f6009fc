//! Virtual time and a virtual network, driven by chance that repeats itself.

pub mod random;
