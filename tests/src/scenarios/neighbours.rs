//! Other programs on the same router: IPsec, firewalls, routing daemons.

pub mod esp;
pub mod filters;
pub mod firewall;
pub mod flowtable;
pub mod ipsec;
pub mod routes;
pub mod saved;
