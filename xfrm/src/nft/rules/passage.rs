//! What passes a plane and what it holds back.

use super::{GateRules, PlaneRules, LINK_IPV4, LINK_IPV6};
use crate::model::{Action, Family, Mode};
use crate::nft::interfaces::{Routing, Way};
use crate::nft::list::List;
use crate::nft::matching::{conditions, icmp_errors, View};
use crate::nft::strays::{self, NOTE, STRAY};

impl PlaneRules {
    pub fn jumps(&self, way: Way, chain: &str) -> Vec<String> {
        let jump = |condition| format!("{condition} {}", self.jump_to(chain));
        self.interfaces.held(way).into_iter().map(jump).collect()
    }

    fn jump_to(&self, chain: &str) -> String {
        format!("jump {chain}_{}", self.slot.number())
    }

    pub(in crate::nft) fn counter(&self, name: &str) -> String {
        format!("counter name \"{name}_{}\"", self.slot.number())
    }

    pub(super) fn drop(&self, name: &str) -> String {
        format!("{} drop", self.counter(name))
    }

    pub(super) fn accept(&self, name: &str) -> String {
        format!("{} accept", self.counter(name))
    }

    /// What was encrypted passes as untracked ESP; nothing shows an anchor address to the network: without the route to
    /// the inbound anchor, what came in for it would go back.
    pub fn pass_out(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.protect().is_some() {
            for (name, anchors) in self.slot.anchors().ranges() {
                rules.push(format!("{name} saddr {anchors} {}", self.drop("unrestored")));
                rules.push(format!("{name} daddr {anchors} {}", self.drop("unrestored")));
            }
            rules.push("meta l4proto esp ct state untracked accept".into());
            rules.push("rt ipsec exists accept".into());
        }
        rules.extend(self.link());
        rules.extend(self.pass(&self.gdoi_out, &self.gdoi_in));
        let bypassed = self.accept("bypassed");
        let clear = self.clear.entries().iter();
        rules.extend(
            clear.map(|entry| {
                format!("ct direction original {} {bypassed}", conditions(View::Original, entry))
            }),
        );
        rules
    }

    /// The leak guard.
    pub fn hold_out(&self) -> Vec<String> {
        match &self.gate {
            GateRules::Closed => vec![self.drop("blocked_out")],
            GateRules::Protect(_) if !self.holds_out() => Vec::new(),
            GateRules::Protect(_) => {
                let original = format!("ct direction original {}", self.jump_to("out_original"));
                [vec![self.jump_to("out_packet"), original], self.jumps_quoted("out_quoted")].concat()
            }
        }
    }

    pub fn pass_in(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.protect().is_some() {
            let [v4, v6] = Family::ALL.map(|family| self.slot.inbound_anchor(family));
            let esp = self.accept("esp_input");
            rules.push(format!("ip daddr {v4} meta l4proto esp {esp}"));
            rules.push(format!("ip6 daddr {v6} meta l4proto esp {esp}"));
            rules.push(format!("ip daddr {v4} meta l4proto icmp accept"));
            rules.push(format!("ip6 daddr {v6} meta l4proto ipv6-icmp accept"));
            rules.push(format!("ipsec in reqid {} {}", self.slot.reqid(), self.accept("decrypted")));
            // By a tunnel of somebody else, whose policy the kernel asks.
            rules.push("meta ipsec exists accept".into());
        }
        rules.extend(self.link());
        rules.extend(self.pass(&self.gdoi_in, &self.gdoi_out));
        rules
    }

    /// What was decrypted comes in by the VRF of its link, so the jumps by link do not name it.
    pub fn decrypted_in_vrf(&self) -> Option<String> {
        let accept = self.accept("decrypted");
        let rule = || format!("meta iifkind \"vrf\" ipsec in reqid {} {accept}", self.slot.reqid());
        self.protect().filter(|_| self.interfaces.routing == Routing::Vrf).map(|_| rule())
    }

    pub fn hold_in(&self) -> Vec<String> {
        match &self.gate {
            GateRules::Closed => vec![self.drop("blocked_in")],
            GateRules::Protect(_) if !self.holds_in() => Vec::new(),
            GateRules::Protect(_) => {
                [vec![self.jump_to("in_packet")], self.jumps_quoted("in_quoted")].concat()
            }
        }
    }

    /// Clear packets that the list permits, seen so, are held back on the way out.
    pub fn held_out(&self, view: View) -> Vec<String> {
        if self.holds_out() {
            self.held(view, &self.drop("blocked_out"))
        } else {
            Vec::new()
        }
    }

    pub fn held_in(&self, view: View) -> Vec<String> {
        let permitted = match view {
            View::Packet => format!("goto {STRAY}_{}", self.slot.number()),
            View::Frame | View::Original | View::Quoted => self.drop("blocked_in"),
        };
        if self.holds_in() {
            self.held(view, &permitted)
        } else {
            Vec::new()
        }
    }

    /// What should have been encrypted, as this router can read it. ESP among it is under a key that the router does not
    /// have: the agent is told with which SPI ([`crate::Kernel::strays`]).
    pub fn stray(&self) -> Vec<String> {
        match self.holds_in() {
            true => {
                vec![format!("meta l4proto esp jump {NOTE}_{}", self.slot.number()), self.drop("blocked_in")]
            }
            false => Vec::new(),
        }
    }

    /// The SPI is kept.
    pub fn note(&self) -> Vec<String> {
        match self.holds_in() {
            true => vec![strays::note(self.slot)],
            false => Vec::new(),
        }
    }

    /// Whether what the list permits must not leave in clear.
    pub fn holds_out(&self) -> bool {
        self.protect().is_some_and(|protect| protect.mode != Mode::ReceiveOnly)
    }

    /// Whether what the list permits must not come in clear.
    pub fn holds_in(&self) -> bool {
        self.protect().is_some_and(|protect| protect.mode == Mode::Strict)
    }

    /// The first entry that matches decides. Denied packets go on to the lists of other planes.
    fn held(&self, view: View, permitted: &str) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let verdict = |action| match action {
            Action::Permit => permitted.to_owned(),
            Action::Deny => "return".into(),
        };
        let entries = protect.acl.entries().iter();
        entries.map(|entry| format!("{} {}", conditions(view, entry), verdict(entry.action))).collect()
    }

    /// Clear ICMP errors that quote a packet which the list permits: they would show a piece of it, or are forged,
    /// because nobody outside has seen it.
    fn jumps_quoted(&self, chain: &str) -> Vec<String> {
        Family::ALL.map(|family| format!("{} {}", icmp_errors(family), self.jump_to(chain))).into()
    }

    /// Without which the link does not work. Before registration a closed gate passes no IGMP but that of rekey messages.
    fn link(&self) -> Vec<String> {
        let v4 = self.protect().map(|_| LINK_IPV4);
        v4.into_iter().chain(LINK_IPV6).map(str::to_owned).collect()
    }

    /// GDOI and the local deny entries, and ICMP errors about them. An error goes against its packet, so it quotes GDOI
    /// of the other direction.
    fn pass(&self, gdoi: &List, gdoi_back: &List) -> Vec<String> {
        let accept = self.accept("bypassed");
        let packets = gdoi.entries().iter().chain(self.clear.entries());
        let errors = gdoi_back.entries().iter().chain(self.clear.entries());
        let packets = packets.map(|entry| format!("{} {accept}", conditions(View::Packet, entry)));
        let errors = errors.map(|entry| {
            format!("{} {} {accept}", icmp_errors(entry.selector.family()), conditions(View::Quoted, entry))
        });
        packets.chain(errors).collect()
    }
}
