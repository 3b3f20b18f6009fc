//! The kernel's XFRM error counters in words (Documentation/networking/xfrm_proc.rst).

/// What a counter of `/proc/net/xfrm_stat` means, and what to do about it.
pub fn meaning(counter: &str) -> (&'static str, &'static str) {
    let known = MEANINGS.iter().find(|(name, ..)| *name == counter);
    known.map_or(("not known to this version", "see xfrm_proc.rst of the kernel"), |(_, what, advice)| {
        (*what, *advice)
    })
}

/// Grows again and again while keys change or expire; a few are as it should be.
const FEW: &str = "a few at a change of keys are usual";
const DEFECT: &str = "please report it as a defect";

const MEANINGS: &[(&str, &str, &str)] = &[
    ("XfrmInError", "received: any other error", "does the kernel log say more? memory?"),
    ("XfrmInBufferError", "received: no buffer", "memory is short"),
    ("XfrmInHdrError", "received: a damaged ESP header", "who sends it? the core damages packets"),
    (
        "XfrmInNoStates",
        "received: no state for the SPI: an old key, an unknown sender, or not for us",
        "a few at a change of keys are usual; else is the sender in the group, and registered with the same key servers?",
    ),
    (
        "XfrmInStateProtoError",
        "received: integrity failed: a wrong key, or changed on the way",
        "a NAT or header rewriting in the core? forgeries? compare the SPIs of `gdoictl show gm` on both sides",
    ),
    ("XfrmInStateModeError", "received: another mode than tunnel", DEFECT),
    (
        "XfrmInStateSeqError",
        "received: replayed, or later than the replay window allows",
        "does the core duplicate or hold back packets? raise `replay-window`; else somebody replays",
    ),
    ("XfrmInStateExpired", "received: the state has expired", FEW),
    ("XfrmInStateMismatch", "received: state and policy do not fit, such as UDP encapsulation", "who sends it?"),
    ("XfrmInStateInvalid", "received: the state is about to go", FEW),
    (
        "XfrmInTmplMismatch",
        "received: came in clear although a policy wants it encrypted, or encrypted otherwise",
        "is the sender a member, and not detached? do all members have the same access list?",
    ),
    (
        "XfrmInNoPols",
        "received: decrypted, but no policy allows it",
        "the sender encrypts what the access list here does not name: have both the newest policy?",
    ),
    ("XfrmInPolBlock", "received: a policy blocks it", "is it ours? `ip xfrm policy`"),
    ("XfrmInPolError", "received: a policy failed", DEFECT),
    ("XfrmAcquireError", "received: the state is not complete", "another IPsec daemon's; ours never ask for states"),
    ("XfrmFwdHdrError", "forwarded: its header could not be read for a policy", "who sends it? the core damages packets"),
    ("XfrmInStateDirError", "received: the state is for sending", DEFECT),
    ("XfrmInIptfsError", "received: IP-TFS failed", "another IPsec daemon's; the group uses none"),
    ("XfrmOutError", "sent: any other error", "often no route: `ip route get` for the destination; else memory"),
    ("XfrmOutBundleGenError", "sent: policy and states could not be combined", FEW),
    ("XfrmOutBundleCheckError", "sent: the combination was out of date", FEW),
    (
        "XfrmOutNoStates",
        "sent: no state to encrypt with: dropped",
        "`gdoictl show gm`: is there a sending key? while a key changes a few are usual",
    ),
    ("XfrmOutStateProtoError", "sent: encryption failed", "does the kernel log say more? a crypto driver?"),
    ("XfrmOutStateModeError", "sent: too long for the tunnel", "lower the MTU or MSS of hosts, see `gdoictl show gm`"),
    (
        "XfrmOutStateSeqError",
        "sent: sequence numbers are used up: dropped until the next key",
        "`gdoictl gm register`; shorter key lifetimes on the key server",
    ),
    ("XfrmOutStateExpired", "sent: the state has expired: dropped", "no new key came: `gdoictl show gm`, `gdoictl show events`"),
    (
        "XfrmOutPolBlock",
        "sent: blocked, because there is no key",
        "usual after a stop and before the first registration; else `gdoictl show gm`",
    ),
    ("XfrmOutPolDead", "sent: the policy was about to go", FEW),
    ("XfrmOutPolError", "sent: a policy failed", DEFECT),
    ("XfrmOutStateInvalid", "sent: the state is about to go", FEW),
    ("XfrmOutStateDirError", "sent: the state is for receiving", DEFECT),
    ("XfrmOutNoQueueSpace", "sent: the IP-TFS queue is full", "another IPsec daemon's; the group uses none"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn counters_are_put_in_words() {
        assert!(meaning("XfrmInStateProtoError").0.contains("integrity failed"));
        assert!(meaning("XfrmInStateSeqError").0.contains("replayed"));
        assert!(meaning("XfrmOutPolBlock").1.contains("show gm"));
        assert_eq!(meaning("XfrmSomethingNew").0, "not known to this version");
    }

    #[test]
    fn each_counter_has_one_meaning() {
        let names: HashSet<_> = MEANINGS.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), MEANINGS.len());
    }

    /// What this very kernel counts must be known, where it counts.
    #[test]
    fn this_kernels_counters_are_known() {
        let text = std::fs::read_to_string("/proc/net/xfrm_stat").unwrap_or_default();
        for name in text.lines().filter_map(|line| line.split_whitespace().next()) {
            assert!(MEANINGS.iter().any(|(known, ..)| *known == name), "{name}");
        }
    }
}
