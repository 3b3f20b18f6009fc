//! The daemons `gdoi-gm` and `gdoi-ks` and their control program `gdoictl`: files, sockets, clocks and signals.

pub mod addresses;
pub mod clock;
pub mod config;
pub mod control;
pub mod ctl;
pub mod daemon;
pub mod drive;
pub mod events;
pub mod fingerprint;
pub mod gm;
pub mod ks;
pub mod log;
pub mod readable;
pub mod report;
pub mod socket;
pub mod state;
