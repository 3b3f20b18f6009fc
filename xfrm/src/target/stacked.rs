//! What must be said of links that lie upon protected ones.

use super::Target;
use crate::installed::Installed;
use crate::model::{is_named, Desired, Plane};
use crate::object::Link;
use std::net::IpAddr;

/// So many other ports of a bridge are named.
const NAMED: usize = 4;

/// What IP does with the packets of such a master's ports is known to a program only.
const SWITCHED: &str = "openvswitch";

impl Target {
    /// `links` are those that the plane protects.
    pub fn report_stacked(
        &mut self,
        installed: &Installed,
        desired: &Desired,
        plane: &Plane,
        links: &[&Link],
    ) {
        let is_configured =
            |link: &Link| desired.planes.iter().any(|plane| is_named(&plane.interface, &link.name));
        for master in links.iter().filter(|link| !is_configured(link)) {
            let mut ports = links.iter().filter(|link| link.stacked.master == Some(master.index));
            let is_master = installed.kept.level(plane.slot, master.index).is_some_and(|level| level > 0);
            if let Some(port) = ports.next().filter(|_| is_master) {
                self.report_master(installed, plane, links, (master, port));
            }
        }
        if !links.is_empty() && links.iter().all(|link| !has_address(link)) {
            self.report_tagged(installed, plane, links, is_configured);
        }
    }

    fn report_master(
        &mut self,
        installed: &Installed,
        plane: &Plane,
        links: &[&Link],
        (master, port): (&Link, &Link),
    ) {
        let (name, port) = (&master.name, &port.name);
        if master.stacked.kind == SWITCHED {
            let line = format!(
                "interface {port} is a port of {name} ({SWITCHED}): what it carries comes and leaves by other interfaces \
                 IN CLEAR; write the one that has the address in `interfaces`"
            );
            return self.exposed.push((plane.slot, line));
        }
        let others = others(installed, links, master);
        let switched = match others.is_empty() {
            true => String::new(),
            false => format!(
                ". What {name} passes on between {port} and {} is not routed: it stays IN CLEAR",
                others.join(", ")
            ),
        };
        let line = format!(
            "interface {port} is a port of {name}, which carries its packets and is protected in its place: write {name} \
             in `interfaces`{switched}"
        );
        // Planes of several groups have the same links.
        if !self.problems.contains(&line) {
            self.problems.push(line);
        }
    }

    /// A VLAN is another network, so it is not protected with the link below it. But that one carries nothing itself.
    fn report_tagged(
        &mut self,
        installed: &Installed,
        plane: &Plane,
        links: &[&Link],
        is_configured: impl Fn(&Link) -> bool,
    ) {
        let lies_upon = |link: &&Link| {
            link.stacked.is_tagged() && links.iter().any(|below| link.stacked.below == Some(below.index))
        };
        let tagged =
            installed.links.iter().filter(lies_upon).filter(|link| has_address(link) && !is_configured(link));
        for link in tagged {
            let (name, below) = (&link.name, &plane.interface);
            let line = format!(
                "interface {below} has no address, and {name} upon it has: what leaves by {name} is not protected and \
                 passes IN CLEAR; write {name} in `interfaces` if it leads to other members"
            );
            match link.addresses.contains(&plane.local) {
                true => self.exposed.push((plane.slot, line)),
                false => self.problems.push(line),
            }
        }
    }
}

/// The other ports of a bridge. Those of a bond and a team are one.
fn others(installed: &Installed, links: &[&Link], master: &Link) -> Vec<String> {
    let is_own = |link: &&Link| links.iter().any(|own| own.index == link.index);
    let ports = installed.links.iter().filter(|link| link.stacked.master == Some(master.index));
    let others = ports.filter(|link| master.stacked.kind == "bridge" && !is_own(link));
    let mut names: Vec<_> = others.map(|link| link.name.clone()).take(NAMED + 1).collect();
    if names.len() > NAMED {
        names[NAMED] = "others".into();
    }
    names
}

/// One that holds on more than the link.
fn has_address(link: &Link) -> bool {
    let of_link = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link.addresses.iter().any(|address| !of_link(address))
}
