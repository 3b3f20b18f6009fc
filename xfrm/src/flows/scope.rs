//! Which flows a plane concerns.

use std::collections::BTreeSet;

use super::links;
use super::tracked::{Tracked, Tuple};
use crate::installed::Installed;
use crate::model::{Ace, Action, Gate, Mode, Plane, Selector};

/// What a plane holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    links: BTreeSet<u32>,
    clear: Vec<Selector>,
    held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Everything,
    List(Vec<Ace>),
}

impl Scope {
    /// None for a plane that keeps nothing from leaving in clear.
    pub fn new(plane: &Plane, installed: &Installed) -> Option<Self> {
        let held = match &plane.gate {
            Gate::Open => return None,
            Gate::Closed => Held::Everything,
            Gate::Protect(protection) if protection.mode == Mode::ReceiveOnly => return None,
            Gate::Protect(protection) => Held::List(protection.acl.clone()),
        };
        Some(Self { links: links(plane, installed), clear: plane.clear.clone(), held })
    }

    /// Whether it is one of its links; what leads nowhere at the moment may be.
    pub fn is_at(&self, link: Option<u32>) -> bool {
        link.is_none_or(|link| self.links.contains(&link))
    }

    /// Whether a flow to somebody behind the link shows there an address that no entry names, although one names its own.
    pub fn outgoing_is_wrong(&self, flow: &Tracked) -> bool {
        self.lists(&flow.original) && !self.lists(&flow.reply) && !self.passes(&flow.original)
    }

    /// The same of a flow from somebody behind the link.
    pub fn incoming_is_wrong(&self, flow: &Tracked) -> bool {
        self.lists(&flow.reply) && !self.lists(&flow.original) && !self.passes(&flow.original)
    }

    /// Whether it must not be in clear.
    pub fn holds(&self, flow: &Tracked) -> bool {
        let ways = [&flow.original, &flow.reply];
        let held = match &self.held {
            Held::Everything => true,
            Held::List(_) => ways.iter().any(|way| self.lists(way)),
        };
        held && !ways.iter().any(|way| self.passes(way))
    }

    fn passes(&self, tuple: &Tuple) -> bool {
        tuple.both_ways().iter().any(|packet| self.clear.iter().any(|selector| selector.covers(packet)))
    }

    /// A closed gate has no list, and holds what is not named by one as well.
    fn lists(&self, tuple: &Tuple) -> bool {
        let Held::List(list) = &self.held else { return false };
        tuple.both_ways().iter().any(|packet| {
            let decides = list.iter().find(|ace| ace.selector.covers(packet));
            decides.is_some_and(|ace| ace.action == Action::Permit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PathMtu, Protection, Slot};

    fn scope(gate: Gate) -> Option<Scope> {
        let plane = Plane {
            interface: "wan0".into(),
            local: [198, 51, 100, 1].into(),
            slot: Slot::new(0).unwrap(),
            servers: Vec::new(),
            rekey_group: None,
            clear: vec!["tcp any any eq 179".parse().unwrap()],
            mss: None,
            path_mtu: PathMtu::default(),
            gate,
        };
        Scope::new(&plane, &Installed::default())
    }

    fn list(mode: Mode) -> Option<Scope> {
        let acl = ["deny udp any any eq 53", "deny udp any eq 53 any", "permit ip 10.0.0.0/8 10.0.0.0/8"];
        let acl = acl.map(|entry| entry.parse().unwrap()).into();
        scope(Gate::Protect(Protection { acl, mode, ..Default::default() }))
    }

    fn flow(from: [u8; 4], to: [u8; 4], seen: [u8; 4], port: u16) -> Tracked {
        Tracked::of((from.into(), to.into()), (to.into(), seen.into()), port)
    }

    #[test]
    fn what_nat_hides_from_the_list_is_wrong() {
        let scope = list(Mode::Strict).unwrap();
        let (host, far, own) = ([10, 1, 1, 10], [10, 2, 2, 10], [198, 51, 100, 1]);
        assert!(scope.outgoing_is_wrong(&flow(host, far, own, 80)));
        assert!(!scope.outgoing_is_wrong(&flow(host, far, own, 53)), "denied by the list");
        assert!(!scope.outgoing_is_wrong(&flow(host, far, own, 179)), "in the local list");
        assert!(!scope.outgoing_is_wrong(&flow(host, far, [10, 1, 1, 77], 80)), "into the list");
        assert!(!scope.outgoing_is_wrong(&flow(host, [203, 0, 113, 10], own, 80)), "somebody else's");
        assert!(!scope.outgoing_is_wrong(&flow([172, 20, 1, 10], far, [10, 1, 1, 77], 80)));
        let forwarded = Tracked::of((far.into(), own.into()), (host.into(), far.into()), 80);
        assert!(scope.incoming_is_wrong(&forwarded) && !scope.outgoing_is_wrong(&forwarded));
    }

    #[test]
    fn what_a_gate_holds_is_what_it_keeps_from_leaving() {
        let clear = flow([10, 1, 1, 10], [203, 0, 113, 10], [10, 1, 1, 10], 80);
        let named = flow([10, 1, 1, 10], [10, 2, 2, 10], [10, 1, 1, 10], 80);
        let closed = scope(Gate::Closed).unwrap();
        assert!(closed.holds(&clear) && closed.holds(&named));
        assert!(!closed.holds(&flow([10, 1, 1, 10], [10, 2, 2, 10], [10, 1, 1, 10], 179)));
        let list_of = |mode| list(mode).map(|scope| (scope.holds(&clear), scope.holds(&named)));
        assert_eq!(list_of(Mode::AcceptClear), Some((false, true)));
        assert_eq!((list_of(Mode::ReceiveOnly), scope(Gate::Open).is_none()), (None, true));
    }
}
