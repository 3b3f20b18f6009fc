//! Where packets are counted on their way, so that it can be told what lies between two of these places.

use std::collections::BTreeSet;

use super::PlaneRules;
use crate::model::Family;
use crate::nft::interfaces::Routing;

impl PlaneRules {
    /// At the end of hook prerouting: ESP for the inbound anchor, and what was decrypted. What comes again at a VRF has been
    /// counted at its link.
    pub fn routing(&self) -> Vec<String> {
        let Some(_) = self.protect() else { return Vec::new() };
        let [v4, v6] = Family::ALL.map(|family| self.slot.inbound_anchor(family));
        let (esp, once) = (
            self.counter("esp_routing"),
            match self.interfaces.routing {
                Routing::Main => "",
                Routing::Vrf => "meta iifkind != \"vrf\" ",
            },
        );
        vec![
            format!("{once}meta l4proto esp ip daddr {v4} {esp}"),
            format!("{once}meta l4proto esp ip6 daddr {v6} {esp}"),
            format!("ipsec in reqid {} {}", self.slot.reqid(), self.counter("inner_routing")),
        ]
    }

    /// What was decrypted and is forwarded.
    pub fn forward(&self, counter: &str) -> Vec<String> {
        let rule = |_| format!("ipsec in reqid {} {}", self.slot.reqid(), self.counter(counter));
        self.protect().map(rule).into_iter().collect()
    }

    /// What will be encrypted.
    pub fn to_encrypt(&self) -> Vec<String> {
        let Some(_) = self.protect() else { return Vec::new() };
        let rule = |packets| format!("{packets} {}", self.counter("to_encrypt"));
        self.sent_protected().into_iter().map(rule).collect()
    }

    /// What has been encrypted and has its own addresses again. By SPI alone: it is routed once more, perhaps to another
    /// interface. Two planes of one group count each other's, too, so a fault of one of them is told only if it is one of both.
    pub fn esp_of(&self, counter: &str) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let blocks: BTreeSet<_> = protect.spis.iter().map(|(_, block)| *block).collect();
        let rule = |block: crate::model::SpiBlock| {
            let (mask, base) = (block.mask(), block.base());
            format!(
                "meta l4proto esp ct state untracked esp spi & {mask:#010x} == {base} {}",
                self.counter(counter)
            )
        };
        blocks.into_iter().map(rule).collect()
    }
}
