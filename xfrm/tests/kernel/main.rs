//! The data plane on a real kernel. Needs root and a kernel with ESP, otherwise each test says why it is skipped;
//! LAB_KERNEL or GDOI_KERNEL_TESTS=require in the environment turns that into a failure.

// Outside of test functions, too, a bench panics.
#![allow(clippy::unwrap_used, clippy::panic)]

mod agent;
mod bench;
mod capture;
mod flows;
mod gates;
mod ipv6;
mod links;
mod lists;
mod lives;
mod mtu;
mod multicast;
mod odd;
mod place;
mod repair;
mod senders;
mod strays;
mod table;
mod topology;
mod traffic;
