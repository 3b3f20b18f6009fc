//! Whole exchanges between members and key servers in virtual time. One program, so that it is linked once.
// The whole program is a test; clippy.toml excuses only what carries the attribute.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod behind;
mod bench;
mod commands;
mod coop;
mod crash;
mod dissection;
mod fragments;
mod hostile;
mod hostile_access;
mod hostile_coop;
mod hostile_rekey;
mod hostile_senders;
mod intruder;
mod ipv6;
mod lost_state;
mod malicious;
mod moments;
mod month;
mod own_keys_and_lists;
mod refused;
mod register;
mod rekey;
mod rollover;
mod schedules;
mod seeds;
mod senders;
mod too_often;
mod transcripts;
mod versions;
