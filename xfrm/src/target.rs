//! From what is desired to the objects that the kernel must hold for it.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::model::{
    Action, Desired, Family, Gate, Plane, Ports, Prefix, Protection, Sa, Selector, Slot, Spi,
};
use crate::nft::{GateRules, PlaneRules, Receivable, Stash, Table};
use crate::object::{Direction, Hook, Link, Policy, PolicyKey, Rank, Route, State, Verdict};
use crate::plan::{Installed, Offload};
use crate::Error;

/// The smallest MTU worth assuming for an interface that is missing.
const SMALL_MTU: u32 = 1280;
const IGMP: u8 = 2;
const UDP: u8 = 17;
/// Where IGMP queries go: all hosts of the link.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Where a host of IGMP version 2 takes leave of a group.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Where reports of IGMP version 3 go.
const IGMP_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// XFRM_MAX_DEPTH: the kernel takes no more templates in one policy.
const MOST_TEMPLATES: usize = 6;

/// Everything that the kernel shall hold.
#[derive(Debug, Default)]
pub struct Target {
    pub states: Vec<State>,
    pub policies: BTreeMap<PolicyKey, Policy>,
    pub routes: Vec<Route>,
    pub table: Option<Table>,
    /// The senders that each plane knows: one for each inbound state of a block.
    pub known: BTreeMap<Slot, BTreeSet<Spi>>,
    /// What cannot be had at the moment, one line each.
    pub problems: Vec<String>,
}

impl Target {
    /// # Errors
    /// The planes contradict each other or name an impossible interface.
    pub fn new(installed: &Installed, desired: &Desired) -> Result<Self, Error> {
        check(&desired.planes)?;
        let mut target = Self::default();
        let mut rules = Vec::new();
        for plane in desired.planes.iter().filter(|plane| plane.gate != Gate::Open) {
            let link = target.find_link(installed, plane);
            rules.extend(plane_rules(plane, link, installed.offload));
            target.known.insert(plane.slot, known(plane));
            if let Gate::Protect(protection) = &plane.gate {
                target.add_states(plane.slot, protection);
                target.add_routes(plane.slot, installed, link);
                let outbound = protection.outbound.iter().find(|sa| sa.family == Family::V4);
                target.add_policies(plane, &permits(protection), outbound, link);
            }
        }
        target.table = Table::new(&rules);
        match target.policies.values().find(|policy| is_too_wide(policy)) {
            Some(policy) => Err(Error::Unusable(format!(
                "more than {MOST_TEMPLATES} planes share the entry {}",
                policy.key.selector
            ))),
            None => Ok(target),
        }
    }

    fn find_link<'a>(&mut self, installed: &'a Installed, plane: &Plane) -> Option<&'a Link> {
        let name = &plane.interface;
        let link = installed.links.iter().find(|link| link.name == *name);
        match link {
            None => self.problems.push(format!("interface {name} does not exist")),
            Some(link) if !link.up => self.problems.push(format!("interface {name} is down")),
            Some(_) => {}
        }
        if !installed.links.iter().any(|link| link.addresses.contains(&plane.local)) {
            self.problems.push(format!("interface {name}: {} is not an address of this router", plane.local));
        }
        link
    }

    fn add_states(&mut self, slot: Slot, protection: &Protection) {
        let inbound = protection.inbound.iter().map(|sa| (Direction::Inbound, sa));
        let outbound = protection.outbound.iter().map(|sa| (Direction::Outbound, sa));
        self.states.extend(inbound.chain(outbound).map(|(direction, sa)| State::new(slot, direction, sa)));
    }

    /// The kernel takes no route to an interface that is down; what would be sent there has nowhere to go either.
    fn add_routes(&mut self, slot: Slot, installed: &Installed, link: Option<&Link>) {
        let loopback = installed.links.iter().find(|link| link.name == "lo").filter(|link| link.up);
        for (direction, link) in
            [(Direction::Inbound, loopback), (Direction::Outbound, link.filter(|link| link.up))]
        {
            self.routes.extend(link.map(|link| Route { slot, direction, interface: link.index }));
        }
        if loopback.is_none() {
            self.problems.push("interface lo is down".into());
        }
    }

    fn add_policies(&mut self, plane: &Plane, acl: &[Selector], outbound: Option<&Sa>, link: Option<&Link>) {
        if let Some(link) = link {
            let verdict = outbound.map_or(Verdict::Block, |sa| Verdict::Encrypt(plane.slot, sa.spi));
            let gdoi = gdoi(plane, Direction::Outbound);
            let ranks = [(Rank::Gdoi, &gdoi[..]), (Rank::Clear, &plane.clear), (Rank::Acl, acl)];
            for (rank, selector) in
                ranks.iter().flat_map(|(rank, all)| all.iter().map(move |one| (*rank, *one)))
            {
                let key = PolicyKey { hook: Hook::Out, interface: Some(link.index), selector };
                let verdict = if rank == Rank::Acl { verdict.clone() } else { Verdict::Pass };
                self.policies.entry(key).or_insert(Policy { key, rank, verdict });
            }
        }
        for hook in [Hook::In, Hook::Forward] {
            acl.iter().for_each(|selector| self.accept_decrypted(hook, *selector, plane.slot));
        }
    }

    /// These policies cannot be limited to an interface, so planes with the same entry share one.
    fn accept_decrypted(&mut self, hook: Hook, selector: Selector, slot: Slot) {
        let key = PolicyKey { hook, interface: None, selector };
        match self.policies.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Policy { key, rank: Rank::Acl, verdict: Verdict::Decrypted(vec![slot]) });
            }
            Entry::Occupied(mut occupied) => match &mut occupied.get_mut().verdict {
                Verdict::Decrypted(slots) if !slots.contains(&slot) => slots.push(slot),
                _ => {}
            },
        }
    }
}

fn permits(protection: &Protection) -> Vec<Selector> {
    let permits = protection.acl.iter().filter(|ace| ace.action == Action::Permit);
    permits.map(|ace| ace.selector).filter(|selector| selector.family() == Family::V4).collect()
}

fn is_too_wide(policy: &Policy) -> bool {
    matches!(&policy.verdict, Verdict::Decrypted(slots) if slots.len() > MOST_TEMPLATES)
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

/// What the kernel takes as an interface name, less what means something else to nft.
fn is_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && name.chars().all(|sign| sign.is_ascii_graphic() && !"/\"*\\".contains(sign))
}

fn plane_rules(plane: &Plane, link: Option<&Link>, offload: Offload) -> Option<PlaneRules> {
    let gate = match &plane.gate {
        Gate::Open => return None,
        Gate::Closed => GateRules::Closed,
        Gate::Protect(protection) => GateRules::Protect {
            acl: permits(protection),
            receivable: receivable(protection),
            stash: stash(protection.inbound.iter().chain(&protection.outbound), link, offload),
        },
    };
    Some(PlaneRules {
        slot: plane.slot,
        interface: plane.interface.clone(),
        gdoi_out: gdoi(plane, Direction::Outbound),
        gdoi_in: gdoi(plane, Direction::Inbound),
        clear: plane.clear.clone(),
        gate,
    })
}

fn receivable(protection: &Protection) -> Receivable {
    let shared = protection.inbound.iter().filter(|sa| !is_of_block(protection, sa));
    Receivable { shared: shared.map(|sa| (sa.family, sa.spi)).collect(), blocks: protection.blocks.clone() }
}

fn known(plane: &Plane) -> BTreeSet<Spi> {
    let Gate::Protect(protection) = &plane.gate else { return BTreeSet::new() };
    protection.inbound.iter().filter(|sa| is_of_block(protection, sa)).map(|sa| sa.spi).collect()
}

fn is_of_block(protection: &Protection, sa: &Sa) -> bool {
    protection.blocks.iter().any(|block| block.contains(sa.spi))
}

fn gdoi(plane: &Plane, direction: Direction) -> Vec<Selector> {
    let local = Prefix::host(plane.local);
    let selector = |server: &SocketAddr| {
        let (address, port) = (Prefix::host(server.ip()), Some(Ports::only(server.port())));
        match direction {
            Direction::Outbound => {
                Selector { protocol: Some(UDP), destination_ports: port, ..Selector::between(local, address) }
            }
            Direction::Inbound => {
                Selector { protocol: Some(UDP), source_ports: port, ..Selector::between(address, local) }
            }
        }
    };
    let rekeys = plane.rekey_group.iter().flat_map(|group| rekeys(&plane.servers, group, direction));
    plane.servers.iter().map(selector).chain(rekeys).collect()
}

/// Rekey messages to a multicast group, and the IGMP that keeps this router in it.
fn rekeys(servers: &[SocketAddr], group: &SocketAddr, direction: Direction) -> Vec<Selector> {
    let to = |address: IpAddr| Selector::between(Prefix::any(Family::of(address)), Prefix::host(address));
    let igmp = |address: IpAddr| Selector { protocol: Some(IGMP), ..to(address) };
    let message = |server: &SocketAddr| Selector {
        source: Prefix::host(server.ip()),
        protocol: Some(UDP),
        source_ports: Some(Ports::only(server.port())),
        destination_ports: Some(Ports::only(group.port())),
        ..to(group.ip())
    };
    match direction {
        Direction::Outbound => [IGMP_ROUTERS.into(), ALL_ROUTERS.into(), group.ip()].map(igmp).into(),
        Direction::Inbound => {
            servers.iter().map(message).chain([ALL_HOSTS.into(), group.ip()].map(igmp)).collect()
        }
    }
}

/// The kernel's own threshold (`xfrm_state_mtu`): what fits the MTU goes to esp4_offload, what does not is encrypted
/// earlier. With several SAs the lowest threshold: stashing a packet that did not need it does no harm.
fn stash<'a>(sas: impl Iterator<Item = &'a Sa>, link: Option<&Link>, offload: Offload) -> Stash {
    if offload == Offload::Missing {
        return Stash::Everything;
    }
    let mtu = link.map_or(SMALL_MTU, |link| link.mtu);
    let longest =
        sas.filter(|sa| sa.family == Family::V4).map(|sa| sa.algorithm.longest_inside(sa.family, mtu));
    Stash::Oversize(longest.min().unwrap_or(mtu))
}
