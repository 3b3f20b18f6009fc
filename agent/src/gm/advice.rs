//! What an operator can do about a kernel that refuses.

use std::io;
use xfrm::Error;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EPROTONOSUPPORT: i32 = 93;
const EAFNOSUPPORT: i32 = 97;
const ENOBUFS: i32 = 105;

/// The error and what to do about it, in one line.
pub fn explain(error: &Error) -> String {
    format!("{error}; {}", advice(error))
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Occupied(_) => {
            "another program (an IPsec daemon?) has a policy with the same selector: `ip xfrm policy` shows it, stop the \
             program or delete it with `ip xfrm policy delete`"
        }
        Error::NftHangs | Error::NftStuck(_) => "it is tried again every ten seconds",
        Error::NftMissing(_) => "install the package nftables",
        Error::Refused(_, error) | Error::Socket(error) => about(error),
        _ => "`nft list table inet gdoi` and `ip xfrm policy` show what is there; please report it as a defect",
    }
}

fn about(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(EPERM) => "the capability CAP_NET_ADMIN is missing: run as root or grant it to the service",
        Some(ENOMEM | ENOBUFS) => "the kernel has no memory left: free some, or use a smaller access list",
        Some(ENOENT | ENOSYS | EPROTONOSUPPORT | EAFNOSUPPORT) => {
            "a kernel module or algorithm is missing: `gdoi-gm` names it at its start (GM_PREFLIGHT, START_FAILED); \
             deploy/modules-load.d/gdoi.conf"
        }
        Some(EINVAL) => "this kernel does not take it: is it older than 5.10, or are daemon and kernel modules of different ages?",
        _ => "it is tried again every ten seconds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_to_do() {
        let refused = |number| Error::Refused("add x".into(), io::Error::from_raw_os_error(number));
        for (error, words) in [
            (Error::Occupied("add policy".into()), "ip xfrm policy delete"),
            (Error::NftMissing(io::Error::other("no")), "package nftables"),
            (Error::NftHangs, "tried again"),
            (refused(EPERM), "CAP_NET_ADMIN"),
            (refused(ENOBUFS), "memory"),
            (refused(EPROTONOSUPPORT), "modules-load.d"),
            (refused(EINVAL), "kernel does not take it"),
            (refused(5), "tried again"),
            (Error::Unusable("it".into()), "defect"),
        ] {
            assert!(explain(&error).contains(words), "{error}");
            assert!(explain(&error).starts_with(&error.to_string()));
        }
    }
}
