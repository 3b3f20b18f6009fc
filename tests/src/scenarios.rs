//! All scenarios, in the order in which they run.

mod address;
mod by_hand;
mod clear;
mod commands;
mod control_ipv6;
mod coop;
mod crash;
mod deaf;
mod demo;
mod detach;
mod exposed;
mod fail_close;
mod interfaces;
mod kernel;
mod leak_proof;
mod links;
mod long_list;
mod marks;
mod matrix;
mod narrow;
mod nat;
mod reach;
mod refusals;
mod rekey;
mod replay;
mod restart;
mod senders;
mod sizes;
mod strongswan;

use crate::cell::Cast::{Multicast, Unicast};
use crate::cell::Family::{V4, V6};
use crate::cell::Transform::{AesCbc256, AesGcm128, AesGcm256, ChaCha20Poly1305};
use crate::cell::{Cast, Cell, Family, Transform};
use crate::corp::Corp;
use crate::outcome::Outcome;
use crate::site::Site;

pub use demo::demo;

/// One thing to show.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What must be so, in one line.
    pub about: &'static str,
    /// How it is shown.
    pub run: Run,
}

/// What a scenario starts from.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// A key server and three registered members, shared with the scenarios before and after it.
    Registered(fn(&Site, &mut Corp) -> Outcome),
    /// A site without daemons, and nothing in any kernel.
    Empty(fn(&Site) -> Outcome),
    /// The same, for a cell of the matrix.
    Cell(fn(&Site, Cell) -> Outcome, Cell),
}

/// All that every run shows one after the other.
pub const ALL: &[Scenario] = &[
    empty(
        "kernel",
        "by hand, without our daemons: this kernel can do it, and the lab sees it",
        kernel::by_hand,
    ),
    empty("streams", "without daemons: streams of each kind arrive, the lab can do it", clear::streams),
    registered(
        "pairs",
        "all six directed pairs of hosts answer, and the core sees their ESP only",
        reach::pairs,
    ),
    registered("states", "each member holds one state that sends and one for each other that it has heard", reach::states),
    registered("show", "gdoictl shows the registration, the policy and the members", reach::show),
    registered(
        "router-traffic",
        "a member's own traffic to a protected host is encrypted",
        reach::router_traffic,
    ),
    registered("outside", "traffic that no entry names crosses in clear", clear::outside),
    registered("two-lans", "two LANs of one member talk in clear", clear::two_lans),
    registered("bulk", "TCP bulk in both directions", reach::bulk),
    registered(
        "big-datagrams",
        "oversized datagrams that may be fragmented arrive whole",
        sizes::big_datagrams,
    ),
    registered(
        "path-mtu",
        "an oversized packet that may not be fragmented is answered with the right MTU",
        sizes::path_mtu,
    ),
    registered(
        "jumbo-lan",
        "LANs of larger frames: what may be fragmented arrives, what may not is answered with the right MTU",
        sizes::jumbo,
    ),
    registered("narrow-tcp", "a core link of MTU 1400: TCP recovers", narrow::tcp),
    registered(
        "narrow-requests",
        "a core link of MTU 1400: the sender of oversized packets is told an MTU that fits",
        narrow::requests,
    ),
    registered("segment-sizes", "TCP with segments above and below what fits", reach::segment_sizes),
    registered("dscp", "the class outside is the class inside, on fragments, too", marks::dscp),
    registered(
        "nat-into-group",
        "what a member translates into the group's prefix is encrypted",
        nat::into_the_group,
    ),
    registered("masquerade", "an operator's masquerade leaves the group's traffic alone", nat::masquerade),
    registered(
        "killed-member",
        "after kill -9 the kernel goes on, and a restart leaks nothing",
        crash::killed_member,
    ),
    registered(
        "stopped-member",
        "after SIGTERM protected traffic is blocked, other traffic is not",
        crash::stopped_member,
    ),
    registered("detach", "a detached member sends in clear, and only then; register or restart protects", detach::detach),
    registered("interface-down-up", "an interface that goes down, is renamed and comes back", by_hand::down_up),
    registered("repaired-by-hand", "what others delete is back at once, and who does it again and again is told of", by_hand::repaired),
    registered(
        "exposed-both-layers",
        "policies and table taken away at once: how long it is clear until the member has put them back",
        exposed::both_layers,
    ),
    registered(
        "exposed-masquerade",
        "our table deleted beside an operator's masquerade: how long new flows are clear",
        exposed::masqueraded,
    ),
    empty("interfaces", "VLAN and GRE interfaces that come and go, and one that is configured no more", interfaces::come_and_go),
    of_cell(
        "sender-lost",
        "somebody deletes what a member sends with: it is blocked and gets new sender IDs by itself",
        senders::lost,
        Cell::BASIC,
    ),
    of_cell(
        "sender-detached",
        "a member that was detached or killed comes back with new sender IDs",
        senders::detached,
        Cell::BASIC,
    ),
    empty(
        "adopted-damaged",
        "what a killed member left protects without a key server, and where it is damaged nothing passes",
        crash::damaged_adoption,
    ),
    empty("address-change", "another WAN address: the member registers from it, nothing is clear", address::change),
    empty("late-address", "without an address a member waits, closed, and registers when it comes", address::late),
    empty(
        "fail-close",
        "before registration only GDOI and what the local list names passes",
        fail_close::closed,
    ),
    empty(
        "flushed-closed",
        "nftables flushed before the registration: nothing is clear",
        fail_close::flushed,
    ),
    empty(
        "fail-open",
        "without fail-close traffic is clear before registration and never after",
        fail_close::open,
    ),
    empty("vlan", "a VLAN that is made after the daemon's start is protected", links::vlan),
    empty("gre", "so is a GRE tunnel", links::gre),
    empty(
        "rekey-unicast",
        "keys change under streams, by acknowledged unicast, without loss or clear text",
        rekey::unicast,
    ),
    empty("rekey-multicast", "the same by multicast", rekey::multicast),
    empty(
        "control-ipv6",
        "members register over IPv6 and are rekeyed over it, for hosts of IPv4",
        control_ipv6::unicast,
    ),
    empty("control-ipv6-multicast", "the same, rekeyed by multicast", control_ipv6::multicast),
    of_cell(
        "narrow-everything",
        "a core link of MTU 1400, both families, where every packet is to be encrypted",
        narrow::everything,
        Cell::BASIC,
    ),
    empty(
        "long-list",
        "1,000 entries come by registration and by rekey where no fragment of a packet passes",
        long_list::crosses,
    ),
    matrix("matrix-aes-256-cbc-ipv4-unicast", AesCbc256, V4, Unicast),
    matrix("matrix-aes-256-gcm-ipv4-unicast", AesGcm256, V4, Unicast),
    matrix("matrix-aes-256-gcm-ipv6-multicast", AesGcm256, V6, Multicast),
    matrix("matrix-chacha20-poly1305-ipv6-unicast", ChaCha20Poly1305, V6, Unicast),
    of_cell(
        "replay",
        "a packet that comes 1,000 times more is delivered once",
        replay::refused,
        Cell { transform: AesGcm256, ..Cell::BASIC },
    ),
    empty(
        "rekey-deaf",
        "a member that hears no rekey gets the repetition, or registers again in time",
        deaf::deaf,
    ),
    empty(
        "rekey-restart",
        "kill -9 of the key server in a rekey: nobody registers again, nothing is lost",
        restart::key_server,
    ),
    empty(
        "rekey-killed-member",
        "kill -9 of a member in a rekey: nothing is clear, and it is a member again; losses are printed",
        restart::member,
    ),
    empty(
        "leak-proof",
        "random faults under streams: nothing is ever clear, and traffic comes back by itself",
        leak_proof::random_faults,
    ),
    empty("ks-rekey", "`ks rekey` under streams: all members change keys, nothing is lost", commands::rekey),
    empty(
        "ks-replace-now",
        "`ks rekey --replace-now`: the old key is gone at once, nothing is clear; losses are printed",
        commands::replace_now,
    ),
    empty(
        "ks-remove",
        "`ks remove`: the member is out when the old key has ended, the others lose nothing; `ks readmit`",
        commands::remove,
    ),
    empty(
        "ks-remove-now",
        "`ks remove --now`: the member is out at once, the others come back",
        commands::remove_now,
    ),
    empty("ks-remove-all", "`ks remove --all`: all register again and lose nothing", commands::remove_all),
    empty(
        "ks-reload",
        "a changed policy: `reload --dry-run` says when it holds, and with `ks rekey` it does",
        commands::reload,
    ),
    empty(
        "coop-kill-primary",
        "kill -9 of the primary key server: another one goes on in seconds, members notice nothing, and it comes back",
        coop::kill_primary,
    ),
    empty(
        "coop-no-preempt",
        "the same without preemption: the server that comes back stays secondary",
        coop::no_preempt,
    ),
    empty(
        "coop-last-server",
        "two of three key servers are killed: the last one registers members and changes keys",
        coop::last_server,
    ),
    empty(
        "coop-partition",
        "a core that splits for longer than a key lives: each side goes on, and after the healing all reach all",
        coop::partition,
    ),
    empty(
        "coop-commands",
        "commands for key servers that share a group, what they show, and files that do not go together",
        coop::commands,
    ),
    empty("strongswan-responder", "strongSwan answers our phase 1, groups 19 and 14", strongswan::responder),
    empty(
        "strongswan-initiator",
        "strongSwan starts phase 1 with us, groups 19 and 14",
        strongswan::initiator,
    ),
];

/// Scenarios that wait for the protocol's own timers and load nothing: they run beside [`ALL`], in a lab of their own.
pub const PATIENT: &[Scenario] = &[
    empty("wrong-key", "a wrong pre-shared key", refusals::wrong_key),
    empty("unknown-group", "a group that the server does not have", refusals::unknown_group),
    empty("unauthorized-address", "an address that the group does not admit", refusals::unauthorized_address),
    empty(
        "unauthorized-identity",
        "an identity that the group does not admit",
        refusals::unauthorized_identity,
    ),
    empty("no-proposal", "no common phase 1 proposal", refusals::no_proposal),
    empty("silent-server", "a server that takes everything and says nothing", refusals::silent_server),
    empty("unreachable-server", "a server address without a route", refusals::unreachable_server),
];

/// Every other kind of group through changes of its keys. Run by name: [`ALL`] has what every run shows.
pub const MATRIX: &[Scenario] = &[
    matrix("matrix-aes-256-gcm-ipv4-multicast", AesGcm256, V4, Multicast),
    matrix("matrix-aes-256-gcm-ipv6-unicast", AesGcm256, V6, Unicast),
    matrix("matrix-aes-128-gcm-ipv4-unicast", AesGcm128, V4, Unicast),
    matrix("matrix-aes-128-gcm-ipv4-multicast", AesGcm128, V4, Multicast),
    matrix("matrix-aes-128-gcm-ipv6-unicast", AesGcm128, V6, Unicast),
    matrix("matrix-aes-128-gcm-ipv6-multicast", AesGcm128, V6, Multicast),
    matrix("matrix-chacha20-poly1305-ipv4-unicast", ChaCha20Poly1305, V4, Unicast),
    matrix("matrix-chacha20-poly1305-ipv4-multicast", ChaCha20Poly1305, V4, Multicast),
    matrix("matrix-chacha20-poly1305-ipv6-multicast", ChaCha20Poly1305, V6, Multicast),
    matrix("matrix-aes-256-cbc-ipv4-multicast", AesCbc256, V4, Multicast),
    matrix("matrix-aes-256-cbc-ipv6-unicast", AesCbc256, V6, Unicast),
    matrix("matrix-aes-256-cbc-ipv6-multicast", AesCbc256, V6, Multicast),
];

const fn registered(
    name: &'static str,
    about: &'static str,
    run: fn(&Site, &mut Corp) -> Outcome,
) -> Scenario {
    Scenario { name, about, run: Run::Registered(run) }
}

const fn matrix(name: &'static str, transform: Transform, family: Family, cast: Cast) -> Scenario {
    let about = "keys change under streams: nothing is lost or clear, no vector comes twice";
    of_cell(name, about, matrix::rekeyed, Cell { transform, family, cast })
}

const fn of_cell(
    name: &'static str,
    about: &'static str,
    run: fn(&Site, Cell) -> Outcome,
    cell: Cell,
) -> Scenario {
    Scenario { name, about, run: Run::Cell(run, cell) }
}

const fn empty(name: &'static str, about: &'static str, run: fn(&Site) -> Outcome) -> Scenario {
    Scenario { name, about, run: Run::Empty(run) }
}
