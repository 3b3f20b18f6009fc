//! Whole exchanges between members and key servers in virtual time. One program, so that it is linked once.

mod bench;
mod hostile;
mod malicious;
mod refused;
mod register;
mod rollover;
mod seeds;
