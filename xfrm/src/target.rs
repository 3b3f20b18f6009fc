//! From what is desired to the objects that the kernel must hold for it.

mod aligned;
mod closed;
mod flowtables;
mod gdoi;
mod policies;
mod rules;
mod stacked;

use std::collections::btree_map::BTreeMap;
use std::collections::BTreeSet;

use crate::installed::{Installed, Offload};
use crate::model::{
    is_named, Ace, Action, Desired, Family, Gate, Lane, PathMtu, Plane, Prefix, Protection, Sa, Slot, Spi,
};
use crate::nft::{Border, Table};
use crate::object::{Direction, Link, Policy, PolicyKey, Route, State, Vrf, XfrmInterface};
use crate::Error;

use policies::Outward;

/// The smallest MTU worth assuming for an interface that is missing.
const SMALL_MTU: u32 = 1280;

/// Everything that the kernel shall hold.
#[derive(Debug, Default)]
pub struct Target {
    pub states: Vec<State>,
    pub policies: BTreeMap<PolicyKey, Policy>,
    pub routes: Vec<Route>,
    pub interfaces: Vec<XfrmInterface>,
    pub table: Option<Table>,
    /// At links that flowtables serve.
    pub border: Option<Border>,
    /// The senders that each plane knows: one for each inbound state of a block.
    pub known: BTreeMap<Slot, BTreeSet<Spi>>,
    /// What cannot be had at the moment, one line each.
    pub problems: Vec<String>,
    /// What of these planes passes in clear, one line each.
    pub exposed: Vec<(Slot, String)>,
}

impl Target {
    /// # Errors
    /// The planes contradict each other, name an impossible interface or have an entry that the kernel cannot express.
    pub fn new(installed: &Installed, desired: &Desired) -> Result<Self, Error> {
        check(&desired.planes)?;
        let mut target = Self::default();
        let mut rules = Vec::new();
        // The lists of several planes follow each other.
        let mut first = 0;
        for plane in desired.planes.iter().filter(|plane| plane.gate != Gate::Open) {
            let links = target.find_links(installed, plane);
            target.report_stacked(installed, desired, plane, &links);
            // In each table routes to the anchors lead to one link; what leaves is routed once more, by its own destination.
            let link = links.first().copied();
            rules.extend(rules::plane_rules(plane, &links, installed.offload)?);
            target.known.insert(plane.slot, known(plane));
            if let Gate::Protect(protection) = &plane.gate {
                target.add_states(plane.slot, protection);
                target.add_routes(plane, protection, installed, &links);
                target.add_interface(plane, protection, installed, link);
                target.report_offload(plane, protection, installed.offload);
                target.report_clear(plane, protection);
                for link in links {
                    let denied = closed::denied(installed, desired, link);
                    let outward = Outward { plane, protection, interface: link.index, first, denied };
                    target.add_outward(&outward, installed.offload)?;
                }
                target.accept_decrypted(protection, plane.slot)?;
                first += protection.acl.len() as u32;
            }
        }
        target.close(installed, desired)?;
        target.table = Table::new(&rules);
        target.hold_at_links(installed, desired, &rules);
        target.check_policies(first)?;
        Ok(target)
    }

    fn find_links<'a>(&mut self, installed: &'a Installed, plane: &Plane) -> Vec<&'a Link> {
        let name = &plane.interface;
        let links = installed.links_of(plane);
        match links.first() {
            None => self.problems.push(format!("interface {name} does not exist")),
            Some(link) if !link.up => self.problems.push(format!("interface {} is down", link.name)),
            Some(_) => {}
        }
        for vrf in links.iter().filter(|link| link.vrf.as_ref().is_some_and(|vrf| vrf.index == link.index)) {
            self.problems.push(format!(
                "interface {} is a VRF, which nothing is forwarded by: write the interfaces in it in `interfaces`",
                vrf.name
            ));
        }
        let named = links.iter().find(|link| is_named(name, &link.name));
        let carries = |link: &Link| installed.kept.level(plane.slot, link.index).is_some();
        for link in links.iter().filter(|link| !is_named(name, &link.name) && !carries(link)) {
            self.problems.push(renamed(&link.name, name, named));
        }
        if !installed.links.iter().any(|link| link.addresses.contains(&plane.local)) {
            self.problems.push(format!("interface {name}: {} is not an address of this router", plane.local));
        }
        links
    }

    fn add_states(&mut self, slot: Slot, protection: &Protection) {
        let inbound = protection.inbound.iter().map(|sa| (Direction::Inbound, sa));
        let outbound = protection.outbound.iter().map(|sa| (Direction::Outbound, sa));
        self.states.extend(inbound.chain(outbound).map(|(direction, sa)| State::new(slot, direction, sa)));
    }

    /// The kernel takes no route to an interface that is down; what would be sent there has nowhere to go either.
    ///
    /// It looks for VO in the table of the link's VRF. VI is an address of the whole machine, or nothing could be sent from
    /// it, and one of the VRF, which may be asked first.
    fn add_routes(&mut self, plane: &Plane, protection: &Protection, installed: &Installed, links: &[&Link]) {
        let (slot, families) = (plane.slot, families(protection));
        let loopback = installed.links.iter().find(|link| link.name == "lo").filter(|link| link.up);
        let exits = exits(links);
        let up = |vrf: &&Vrf| installed.links.iter().any(|link| link.index == vrf.index && link.up);
        let vrfs = exits.values().filter_map(|link| link.vrf.as_ref()).filter(up);
        let doors: Vec<_> = loopback
            .map(|link| (Route::LOCAL, link.index))
            .into_iter()
            .chain(vrfs.map(|vrf| (vrf.table, vrf.index)))
            .collect();
        for (family, lane) in Lane::OF_FAMILIES.into_iter().filter(|(family, _)| families.contains(family)) {
            let doors = doors.iter().filter(|_| lane == Lane::Unicast);
            self.routes.extend(doors.map(|(table, interface)| Route {
                slot,
                direction: Direction::Inbound,
                family,
                lane,
                table: *table,
                interface: *interface,
                mtu: None,
            }));
            self.routes.extend(exits.iter().map(|(table, link)| Route {
                slot,
                direction: Direction::Outbound,
                family,
                lane,
                table: *table,
                interface: link.index,
                mtu: plane.path_mtu.of(family),
            }));
        }
        if loopback.is_none() {
            self.problems.push("interface lo is down".into());
        }
    }

    /// Where forwarded IPv6 multicast is sent to be encrypted, while there is something to encrypt it with.
    fn add_interface(
        &mut self,
        plane: &Plane,
        protection: &Protection,
        installed: &Installed,
        link: Option<&Link>,
    ) {
        let Some((sa, link)) = multicast(protection).next().zip(link) else { return };
        let wanted = XfrmInterface {
            slot: plane.slot,
            parent: link.index,
            mtu: sa.keys.transform().longest_inside(sa.family, mtu(link, plane.path_mtu, sa.family)),
        };
        let name = wanted.name();
        let ours = installed.interfaces.iter().any(|held| held.content.slot == plane.slot);
        if !ours && installed.links.iter().any(|link| link.name == name) {
            self.problems
                .push(format!("interface {name} belongs to somebody else: IPv6 multicast is not sent"));
        } else {
            self.interfaces.push(wanted);
        }
    }

    fn report_clear(&mut self, plane: &Plane, protection: &Protection) {
        let mut permits = protection.acl.iter().filter(|ace| ace.action == Action::Permit).peekable();
        let is_clear = |ace: &Ace| plane.clear.iter().any(|clear| clear.covers(&ace.selector));
        if permits.peek().is_some() && permits.all(is_clear) {
            let name = &plane.interface;
            self.problems.push(format!(
                "interface {name}: the local list (match-address) names all that the group's list permits: nothing of it is \
                 encrypted"
            ));
        }
    }

    fn report_offload(&mut self, plane: &Plane, protection: &Protection, offload: Offload) {
        if !offload.restores(Family::V6) && families(protection).contains(&Family::V6) {
            let name = &plane.interface;
            self.problems.push(format!(
                "interface {name}: the module esp6_offload is not loaded: protected IPv6 is blocked"
            ));
        }
    }
}

/// The first of the links that are up, in each table.
fn exits<'a>(links: &[&'a Link]) -> BTreeMap<u32, &'a Link> {
    let mut exits = BTreeMap::new();
    for link in links.iter().filter(|link| link.up) {
        exits.entry(link.vrf.as_ref().map_or(Route::MAIN, |vrf| vrf.table)).or_insert(*link);
    }
    exits
}

/// A pattern means all that ever had such a name; of a whole name there is one.
fn renamed(now: &str, name: &str, named: Option<&&Link>) -> String {
    match named.filter(|_| !name.ends_with('*')) {
        Some(other) => format!(
            "interface {now} was {name} when it was protected and stays so, beside the one that is called {} now: a restart of \
             gdoi-gm releases {now}, and so does giving both their names back",
            other.name
        ),
        None => format!(
            "interface {now} was {name} when it was protected and stays so until it is gone: if it shall keep the new \
             name, write that in `interfaces`"
        ),
    }
}

fn known(plane: &Plane) -> BTreeSet<Spi> {
    let Gate::Protect(protection) = &plane.gate else { return BTreeSet::new() };
    protection.inbound.iter().filter(|sa| protection.is_of_block(sa)).map(|sa| sa.spi).collect()
}

/// The families that a plane must do something for; the machine may have no other.
fn families(protection: &Protection) -> BTreeSet<Family> {
    let permits = protection.acl.iter().filter(|ace| ace.action == Action::Permit);
    let sas = protection.inbound.iter().chain(&protection.outbound);
    permits.map(|ace| ace.selector.family()).chain(sas.map(|sa| sa.family)).collect()
}

/// What forwarded IPv6 multicast is sent with.
fn multicast(protection: &Protection) -> impl Iterator<Item = &Sa> {
    let all = Prefix::multicast(Family::V6);
    let named = protection
        .acl
        .iter()
        .any(|ace| ace.action == Action::Permit && ace.selector.destination().prefix.overlaps(&all));
    protection.outbound.iter().filter(move |sa| named && sa.lane == Lane::Multicast)
}

/// The longest packet, in octets, that leaves through the interface and crosses the core.
fn mtu(link: &Link, path_mtu: PathMtu, family: Family) -> u32 {
    path_mtu.of(family).map_or(link.mtu, |octets| octets.min(link.mtu))
}

fn check(planes: &[Plane]) -> Result<(), Error> {
    let mut slots = BTreeSet::new();
    if let Some(plane) = planes.iter().find(|plane| !slots.insert(plane.slot)) {
        return Err(Error::Unusable(format!("two planes use slot {}", plane.slot.number())));
    }
    match planes.iter().find(|plane| !is_name(&plane.interface)) {
        Some(plane) => {
            Err(Error::Unusable(format!("`{}` cannot be the name of an interface", plane.interface)))
        }
        None => Ok(()),
    }
}

/// What the kernel takes as an interface name, less what means something else to nft, or the beginning of one and `*`.
fn is_name(name: &str) -> bool {
    let start = name.strip_suffix('*').unwrap_or(name);
    (1..16).contains(&start.len())
        && start.chars().all(|sign| sign.is_ascii_graphic() && !"/\"*\\".contains(sign))
}
