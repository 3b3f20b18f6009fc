//! The chains of table `inet gdoi`, plane by plane.
//!
//! A packet on its way out meets them in this order: XFRM policy lookup (not here), `look_again`, `as_it_was`, `clamp_out`, `keep` (its addresses
//! stay as they are), `stash`, `guard`, encryption, `restore_multicast` or `restore` (its own addresses come back),
//! `clamp_out` and `guard` once more as ESP. On its way in: `arriving`, `inbound`, `routing`, decryption, `clamp_in`, `routing`,
//! and `require_forward` and `forwarded`, or `require_input`.
//! What goes through a VRF passes by twice: outward what the router itself sends, ESP included, in the output hook and behind
//! it, and inward everything in prerouting, first at the link and then at the VRF.
//!
//! Others have chains at the same hooks. What a group cannot do without comes first of all where it can: nobody else sees an
//! outbound anchor, and what must be dropped is dropped before anybody can offload its flow. What lies between is found out
//! by counting at both ends of it.

use super::inbound::{arriving, ask, inbound, take, too_big, unknown_senders, ASK, TAKE};
use super::interfaces::Way;
use super::matching::View;
use super::rules::{as_it_was, look_again, put_aside, unstash, PlaneRules, PUT_ASIDE, UNSTASH};
use super::strays::{NOTE, STRAY};

/// A chain: a base chain when it has a hook.
pub struct Chain {
    pub name: String,
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

/// The chains of each plane.
pub const PLANE_CHAINS: [&str; 17] = [
    "restore",
    "restore_multicast",
    "pass_out",
    "hold_out",
    "out_packet",
    "out_original",
    "out_quoted",
    "pass_in",
    "hold_in",
    "in_packet",
    "in_quoted",
    "senders",
    TAKE,
    ASK,
    "too_big",
    STRAY,
    NOTE,
];

/// All chains of the table.
pub fn chains(planes: &[PlaneRules]) -> Vec<Chain> {
    let each = |rules: fn(&PlaneRules) -> Vec<String>| planes.iter().flat_map(rules).collect();
    let mut chains = vec![
        base("look_again", "type route hook output priority -2000000003", look_again(planes)),
        base("as_it_was", "type filter hook output priority -2000000002", as_it_was(planes)),
        // A new route to a multicast address is refused, so these get their addresses where none is looked up.
        base(
            "restore_multicast",
            "type filter hook output priority -2000000001",
            each(|plane| plane.to_restore("restore_multicast")),
        ),
        base("restore", "type route hook output priority -2000000000", restore(planes)),
        base("clamp_out", "type filter hook postrouting priority -2000000000", leaving(planes)),
        // Binds protected flows to their own addresses just before the operator's NAT could do otherwise.
        base("keep", "type nat hook postrouting priority srcnat - 1", each(PlaneRules::keep)),
        base("stash", "type filter hook postrouting priority 250", each(PlaneRules::put_aside)),
        base("guard", "type filter hook postrouting priority 300", guard(planes)),
        // Behind the kernel's defragmentation: only the first fragment has an SPI.
        base("arriving", "type filter hook prerouting priority -399", each(arriving)),
        base("inbound", "type filter hook prerouting priority raw", inbound(planes)),
        base("too_big", "type filter hook prerouting priority raw + 1", each(PlaneRules::too_big)),
        base("clamp_in", "type filter hook prerouting priority mangle", each(PlaneRules::clamp_in)),
        base("routing", "type filter hook prerouting priority 2000000000", each(PlaneRules::routing)),
        // Before an operator's rules could bring a flow into a flowtable by a packet that came in clear.
        base("require_forward", "type filter hook forward priority -2000000000", require_forward(planes)),
        base(
            "forwarded",
            "type filter hook forward priority 2000000000",
            each(|plane| plane.forward("forwarded")),
        ),
        base("require_input", "type filter hook input priority -2000000000", require(planes)),
    ];
    chains.extend(planes.iter().flat_map(plane_chains));
    let apart = [(PUT_ASIDE, put_aside()), (UNSTASH, unstash())];
    chains.extend(apart.map(|(name, rules)| Chain { name: name.into(), hook: None, rules }));
    chains.push(Chain { name: "seal".into(), hook: None, rules: Vec::new() });
    chains
}

fn base(name: &str, hook: &'static str, rules: Vec<String>) -> Chain {
    Chain { name: name.into(), hook: Some(hook), rules }
}

/// ESP that has its own addresses already comes again, at the link behind a VRF.
fn restore(planes: &[PlaneRules]) -> Vec<String> {
    let restored = planes.iter().flat_map(|plane| plane.to_restore("restore"));
    restored.chain(planes.iter().flat_map(PlaneRules::restored_before)).collect()
}

/// What one plane passes no other plane of the same interface holds: groups must not lock out each other's GDOI.
fn guard(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().flat_map(move |plane| plane.jumps(Way::Out, chain));
    let left = planes.iter().flat_map(|plane| plane.esp_of("esp_left"));
    left.chain(jump("pass_out")).chain(jump("hold_out")).collect()
}

fn leaving(planes: &[PlaneRules]) -> Vec<String> {
    let counted = planes.iter().flat_map(|plane| [plane.to_encrypt(), plane.esp_of("esp_out")].concat());
    counted.chain(planes.iter().flat_map(PlaneRules::clamp_out)).collect()
}

fn require_forward(planes: &[PlaneRules]) -> Vec<String> {
    let counted = planes.iter().flat_map(|plane| plane.forward("forwarding"));
    counted.chain(require(planes)).collect()
}

fn require(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().flat_map(move |plane| plane.jumps(Way::Behind, chain));
    let decrypted = planes.iter().flat_map(PlaneRules::decrypted_in_vrf);
    jump("pass_in").chain(decrypted).chain(jump("hold_in")).collect()
}

fn plane_chains(plane: &PlaneRules) -> [Chain; 17] {
    let rules = [
        plane.restore(),
        plane.restore_multicast(),
        plane.pass_out(),
        plane.hold_out(),
        plane.held_out(View::Packet),
        plane.held_out(View::Original),
        plane.held_out(View::Quoted),
        plane.pass_in(),
        plane.hold_in(),
        plane.held_in(View::Packet),
        plane.held_in(View::Quoted),
        unknown_senders(plane),
        take(plane),
        ask(plane),
        too_big(plane),
        plane.stray(),
        plane.note(),
    ];
    let mut names = PLANE_CHAINS.into_iter().map(|name| format!("{name}_{}", plane.slot.number()));
    rules.map(|rules| Chain { name: names.next().unwrap_or_default(), hook: None, rules })
}
