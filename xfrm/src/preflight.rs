//! What this machine lacks, one clear line each.

use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

use crate::model::{
    Ace, Action, Algorithm, EncryptionKey, Family, IntegrityKey, Key, Lane, Mode, Ports, Prefix, Replay,
    Selector, Slot, Spi,
};
use crate::nft::{
    self, GateRules, List, PlaneRules, ProtectRules, Receivable, Restored, SpiRange, Stash, Table,
};
use crate::object::{Direction, State, StateId};
use crate::plan::{Module, Offload};
use crate::{Error, Kernel};

const CAP_NET_ADMIN: u32 = 12;
const EPROTONOSUPPORT: i32 = 93;
const ENOSYS: i32 = 38;
const ENOENT: i32 = 2;

/// Something that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Group encryption cannot work.
    Fatal(String),
    /// Group encryption works, but probably not as meant.
    Warning(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fatal(line) | Self::Warning(line) => f.write_str(line),
        }
    }
}

/// Looks for everything the data plane needs; an empty answer means that it can work. States are tried out for an
/// instant at an anchor address that is not in use, the table only as a dry run.
pub fn preflight() -> Vec<Problem> {
    if !may_administer() {
        let line = "the capability CAP_NET_ADMIN is missing: run as root or grant it to the service";
        return vec![Problem::Fatal(line.into())];
    }
    let mut problems = Vec::new();
    problems.extend(states());
    problems.extend(table());
    problems.extend(missing_offload(offload()));
    problems.extend(settings());
    problems
}

fn missing_offload(offload: Offload) -> Vec<Problem> {
    let lines = [
        (
            Family::V4,
            "the module esp4_offload is not loaded: every packet takes the slow path (modprobe esp4_offload)",
        ),
        (
            Family::V6,
            "the module esp6_offload is not loaded: protected IPv6 is blocked (modprobe esp6_offload)",
        ),
    ];
    let missing = lines.into_iter().filter(|(family, _)| !offload.restores(*family));
    missing.map(|(_, line)| Problem::Warning(line.into())).collect()
}

fn may_administer() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

/// Tries every algorithm; when ESP itself is missing one line is enough.
fn states() -> Vec<Problem> {
    let mut kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(error) => {
            return vec![Problem::Fatal(format!("the kernel has no XFRM (module xfrm_user): {error}"))]
        }
    };
    let mut problems: Vec<_> = samples()
        .into_iter()
        .filter_map(|(name, state)| {
            kernel.try_state(&state).err().map(|error| Problem::Fatal(explain(name, &error)))
        })
        .collect();
    problems.dedup();
    problems
}

fn explain(name: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(EPROTONOSUPPORT) => {
            "the kernel has no ESP (module esp4; some cloud and container kernels are built \
                                  without it, some systems blacklist it in modprobe.d)"
                .into()
        }
        Some(ENOSYS | ENOENT) => format!("the kernel lacks an algorithm of {name}"),
        _ => format!("the kernel refuses a state with {name}: {error}"),
    }
}

fn samples() -> Vec<(&'static str, State)> {
    let aes_128 = || EncryptionKey::AesCbc128(Key::new([1; 16]));
    let aes_256 = || EncryptionKey::AesCbc256(Key::new([1; 32]));
    vec![
        ("AES-CBC-128 and HMAC-SHA-256", sample(aes_128(), IntegrityKey::HmacSha256(Key::new([1; 32])))),
        ("AES-CBC-256 and HMAC-SHA-384", sample(aes_256(), IntegrityKey::HmacSha384(Key::new([1; 48])))),
        ("AES-CBC-256 and HMAC-SHA-512", sample(aes_256(), IntegrityKey::HmacSha512(Key::new([1; 64])))),
    ]
}

fn sample(encryption: EncryptionKey, integrity: IntegrityKey) -> State {
    let id = StateId {
        slot: Slot::LAST,
        direction: Direction::Inbound,
        family: Family::V4,
        spi: Spi(0xffff_fffe),
    };
    State {
        id,
        lane: Lane::Unicast,
        algorithm: Algorithm::Cbc { encryption, integrity },
        replay: Replay::Off,
        hard_lifetime: Some(Duration::from_secs(1)),
    }
}

fn table() -> Option<Problem> {
    let acl = Family::ALL.map(entries).concat();
    let selectors: Vec<_> = acl.iter().map(|ace| ace.selector).collect();
    let restored = |family| {
        [8, 16].map(|iv_octets| Restored { family, iv_octets, spis: vec![SpiRange(Spi(256), Spi(511))] })
    };
    let plane = PlaneRules {
        slot: Slot::LAST,
        interface: "lo".into(),
        gdoi_out: List::clear(&selectors),
        gdoi_in: List::clear(&selectors),
        clear: List::clear(&selectors),
        gate: GateRules::Protect(ProtectRules {
            acl: List::new(&acl),
            mode: Mode::Strict,
            receivable: Receivable { shared: vec![(Family::V4, Spi(256))], blocks: Vec::new() },
            restored: Family::ALL.map(restored).concat(),
            stash: Stash::Oversize(1400),
            sent: Family::ALL.map(|family| (family, Spi(256))).into(),
            mss: Some(1300),
        }),
    };
    let table = Table::new(&[plane])?;
    match nft::check(&table) {
        Ok(()) => None,
        Err(Error::NftMissing(error)) => {
            Some(Problem::Fatal(format!("the program nft cannot be run: {error}")))
        }
        Err(error) => Some(Problem::Fatal(format!("nftables cannot hold the rules: {error}"))),
    }
}

/// One entry of each shape, and two that share a set.
fn entries(family: Family) -> Vec<Ace> {
    let any = Selector::between(Prefix::any(family), Prefix::any(family));
    let ports = Selector { source_ports: Some(Ports::only(1)), destination_ports: Ports::new(2, 9), ..any };
    let tcp = Selector { protocol: Some(6), ..ports };
    let host = |direction: Direction| {
        let host = Prefix::host(match direction {
            Direction::Inbound => Slot::LAST.inbound_anchor(family),
            Direction::Outbound => Slot::LAST.outbound_anchor(family),
        });
        Selector::between(host, host)
    };
    let actions = [Action::Deny, Action::Permit];
    let selectors = [any, ports, tcp, host(Direction::Inbound), host(Direction::Outbound)];
    actions.into_iter().flat_map(|action| selectors.map(|selector| Ace { action, selector })).collect()
}

/// Whether the kernel encrypts behind the output hook. A module shows itself in /sys; built in, it has no folder there,
/// but its function in the symbol table. When in doubt it is missing: that costs time or IPv6 and leaks nothing.
pub(crate) fn offload() -> Offload {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let module = |name: &str, function: &str| {
        let loaded = fs::exists(format!("/sys/module/{name}")).unwrap_or(false);
        if loaded || symbols.contains(function) {
            Module::Present
        } else {
            Module::Missing
        }
    };
    Offload {
        v4: module("esp4_offload", " esp4_gso_segment"),
        v6: module("esp6_offload", " esp6_gso_segment"),
    }
}

fn settings() -> Vec<Problem> {
    let mut problems = Vec::new();
    if setting("ipv4/ip_forward") == Some(0) && setting("ipv6/conf/all/forwarding") != Some(1) {
        let line = "this machine does not forward packets (sysctl net.ipv4.ip_forward is 0)";
        problems.push(Problem::Warning(line.into()));
    }
    if setting("ipv4/conf/all/disable_xfrm") == Some(1) {
        let line = "encryption is switched off (sysctl net.ipv4.conf.all.disable_xfrm is 1): protected traffic is blocked";
        problems.push(Problem::Warning(line.into()));
    }
    problems
}

fn setting(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok()
}
