//! Kernel parameters that keep group encryption from working.

use std::fs;

use crate::installed::Installed;
use crate::model::{Desired, Gate, Slot};

/// The parameters of one link of a plane that protects; those of a kernel without IPv4 are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// The plane.
    pub slot: Slot,
    /// The link's name.
    pub interface: String,
    /// `net.ipv4.conf.LINK.disable_xfrm`, or that of `all`: what leaves is looked up in no policy.
    pub disable_xfrm: bool,
    /// Whether what comes in by the link is not forwarded.
    pub keeps_to_itself: bool,
}

/// Those of all planes that protect.
pub fn of_planes(installed: &Installed, desired: &Desired) -> Vec<LinkSettings> {
    let protects = desired.planes.iter().filter(|plane| matches!(plane.gate, Gate::Protect(_)));
    let links = protects
        .flat_map(|plane| installed.links_of(plane).into_iter().map(|link| (plane.slot, link.name.as_str())));
    links.map(|(slot, name)| of_link(slot, name)).collect()
}

fn of_link(slot: Slot, name: &str) -> LinkSettings {
    let of = |parameter: &str| setting(&format!("ipv4/conf/{name}/{parameter}"));
    let disable_xfrm = [of("disable_xfrm"), setting("ipv4/conf/all/disable_xfrm")].contains(&Some(1));
    LinkSettings {
        slot,
        interface: name.to_owned(),
        disable_xfrm,
        keeps_to_itself: of("forwarding") == Some(0),
    }
}

/// A number below `/proc/sys/net`, of the network namespace of this thread.
pub fn setting(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok()
}
