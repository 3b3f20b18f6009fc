//! Names, aliases and labels that are no UTF-8.

use crate::corp::registered;
use crate::eventually::eventually_true;
use crate::outcome::Outcome;
use crate::rekeying::{Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, MEMBERS};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "odd-names",
    "an alias, a name and a label in Latin-1 cost no repair, no restart and no packet",
    odd_names,
)];

/// `Zürich` as Latin-1 has it.
const ZURICH: &[u8] = b"Z\xfcrich";

fn odd_names(site: &Site) -> Outcome {
    let result = cost_nothing(site);
    let _ = ip(site, &[b"link", b"del", ZURICH]);
    let _ = ip(site, &[b"link", b"set", b"lan", b"alias", b""]);
    site.host(MEMBERS[0])?.run("ip address del 10.77.0.1/24 dev lan")?;
    result
}

fn cost_nothing(site: &Site) -> Outcome {
    let mut group = Rekeyed::start(site, Transport::Unicast)?;
    ip(site, &[b"link", b"set", b"lan", b"alias", ZURICH])?;
    ip(site, &[b"link", b"add", ZURICH, b"type", b"dummy"])?;
    let label = [b"lan:", ZURICH].concat();
    ip(site, &[b"address", b"add", b"10.77.0.1/24", b"dev", b"lan", b"label", &label])?;
    for damage in ["nft flush ruleset", "ip xfrm policy flush"] {
        group.members[0].is_silent(std::time::Duration::from_secs(3))?;
        let before = group.members[0].log()?.matches("GM_POLICIES_REPAIRED").count();
        site.host(MEMBERS[0])?.must(damage)?;
        eventually_true(&format!("{damage} is repaired"), SOON, || {
            Ok(group.members[0].log()?.matches("GM_POLICIES_REPAIRED").count() > before)
        })?;
        all_hear(&group)?;
    }
    group.members[0].kill()?;
    group.members[0].start_again()?;
    registered(&mut group.members[0])?;
    all_hear(&group)?;
    println!("   {}", group.finish_lossy()?);
    Ok(())
}

fn all_hear(group: &Rekeyed) -> Outcome {
    let mark = group.streams.mark();
    eventually_true("every host hears every other one", SOON, || Ok(group.streams.all_heard_since(&mark)))
}

fn ip(site: &Site, words: &[&[u8]]) -> Outcome {
    let mut command = Command::new("ip");
    command.args(words.iter().map(|word| OsStr::from_bytes(word)));
    let status = site.host(MEMBERS[0])?.spawn(command)?.wait()?;
    match status.success() {
        true => Ok(()),
        false => crate::outcome::failed(format!("ip ends with {status}")),
    }
}
