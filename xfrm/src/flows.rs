//! Flows that began before they were protected. Connection tracking keeps what NAT made of their first packet: a flow that an
//! operator's masquerade hid keeps an address that no entry names, and is held back for ever. And one in a flowtable goes on
//! as it began. So when a gate closes or a list grows, such entries are deleted, and the next packet begins anew.
//!
//! What others track stays: only flows that the list names, and that go by a protected link, are looked at.

mod scope;
mod tracked;

use std::collections::btree_map::BTreeMap;
use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::installed::Installed;
use crate::model::{Desired, Gate, Plane, Slot};
use crate::route;
use crate::socket::Socket;

use scope::Scope;
use tracked::Tracked;

/// What has been gone through, plane by plane.
#[derive(Debug, Default)]
pub struct Flows {
    scopes: BTreeMap<Slot, Scope>,
}

impl Flows {
    /// Ends what began before the kernel held what is desired, which it does now; how many flows. `before` is what it held.
    pub fn end_earlier(
        &mut self,
        routes: &mut Socket,
        before: &Installed,
        desired: &Desired,
    ) -> io::Result<usize> {
        let scopes: BTreeMap<_, _> = desired
            .planes
            .iter()
            .filter_map(|plane| Some((plane.slot, Scope::new(plane, before)?)))
            .collect();
        let changed: Vec<_> = scopes
            .iter()
            .filter(|(slot, scope)| self.scopes.get(slot) != Some(scope))
            .map(|(slot, scope)| Change { now: scope, before: self.before(*slot, scope, before) })
            .collect();
        let ended = match changed.is_empty() {
            true => 0,
            false => end(routes, &changed)?,
        };
        self.scopes = scopes;
        Ok(ended)
    }

    /// Of a plane that protected before this process did, the list is not known; what it let into a flowtable is taken to be
    /// right.
    fn before<'a>(&'a self, slot: Slot, scope: &'a Scope, before: &Installed) -> Option<&'a Scope> {
        let protected = before.table.is_some_and(|table| {
            table.digest.is_some() && table.slots.contains(slot) && !table.closed.contains(slot)
        });
        self.scopes.get(&slot).or_else(|| Some(scope).filter(|_| protected))
    }
}

/// A plane that holds something else than before.
struct Change<'a> {
    now: &'a Scope,
    before: Option<&'a Scope>,
}

impl Change<'_> {
    /// Whether a flow is not what it would be if it began now. `leads` tells the link that an address is reached by.
    fn ends(&self, flow: &Tracked, leads: &mut impl FnMut(std::net::IpAddr) -> Option<u32>) -> bool {
        let ends = self.now.outgoing_is_wrong(flow) && self.now.is_at(leads(flow.reply.source))
            || self.now.incoming_is_wrong(flow) && self.now.is_at(leads(flow.original.source));
        ends || self.is_newly_held(flow)
            && [flow.reply.source, flow.original.source].into_iter().any(|one| self.now.is_at(leads(one)))
    }

    /// In a flowtable it can be in clear.
    fn is_newly_held(&self, flow: &Tracked) -> bool {
        flow.offloaded && self.now.holds(flow) && !self.before.is_some_and(|before| before.holds(flow))
    }
}

fn end(routes: &mut Socket, changes: &[Change<'_>]) -> io::Result<usize> {
    let mut socket = Socket::open(NETLINK_NETFILTER)?;
    let flows = tracked::changed_or_offloaded(&mut socket)?;
    let mut known = BTreeMap::new();
    let mut leads =
        |address| *known.entry(address).or_insert_with(|| route::leads(routes, address).ok().flatten());
    let mut ended = 0;
    for flow in flows {
        if changes.iter().any(|change| change.ends(&flow, &mut leads)) {
            ended += usize::from(tracked::delete(&mut socket, &flow)?);
        }
    }
    Ok(ended)
}

/// The links that a plane protects.
fn links(plane: &Plane, installed: &Installed) -> std::collections::BTreeSet<u32> {
    match plane.gate {
        Gate::Open => Default::default(),
        _ => installed.links_of(plane).into_iter().map(|link| link.index).collect(),
    }
}
