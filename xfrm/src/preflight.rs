//! What this machine lacks, one clear line each.

mod states;
mod table;

use std::fmt;
use std::fs;

use crate::installed::Offload;
use crate::model::Family;
use crate::settings::setting;

const CAP_NET_ADMIN: u32 = 12;

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

/// What a configuration uses of what a kernel may lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Some group limits the segment size of TCP.
    pub mss: bool,
}

/// Looks for everything the data plane needs; an empty answer means that it can work. What only some groups need, which
/// the key server says, is a warning: those are blocked. States are tried out for an instant at an anchor address that is
/// not in use, the table only as a dry run.
pub fn preflight(uses: Uses) -> Vec<Problem> {
    if !may_administer() {
        let line = "the capability CAP_NET_ADMIN is missing: run as root or grant it to the service";
        return vec![Problem::Fatal(line.into())];
    }
    let mut problems = Vec::new();
    problems.extend(states::problems());
    problems.extend(table::problems(uses));
    problems.extend(missing_offload(Offload::of_this_machine()));
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
