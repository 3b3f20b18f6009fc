//! A member that does not hear rekey messages.

use crate::eventually::{eventually, eventually_true};
use crate::host::Host;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{group, received, receives, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, KS1};
use std::sync::Arc;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "rekey-deaf",
    "a member that hears no rekey gets the repetition, or registers again in time",
    deaf,
)];

fn deaf(site: &Site) -> Outcome {
    let mut rekeyed = Rekeyed::start(site, Transport::Unicast)?;
    for_a_while(site, &rekeyed)?;
    for_good(site, &mut rekeyed)?;
    println!("   {}", rekeyed.finish()?);
    Ok(())
}

/// The first message is lost, the repetition is not.
fn for_a_while(site: &Site, rekeyed: &Rekeyed) -> Outcome {
    let member = &rekeyed.members[0];
    let before = received(member)?;
    let deafness = Deafness::begin(site.host("gm1")?)?;
    deafness.has_dropped(1)?;
    ensure!(received(member)? == before, "a member heard what was dropped");
    deafness.end()?;
    receives(member, before)?;
    rekeyed.members[1..].iter().try_for_each(|other| receives(other, 0))?;
    rekeyed.never_registered_again()
}

/// Nothing arrives any more: the member fetches its keys before the old ones end.
fn for_good(site: &Site, rekeyed: &mut Rekeyed) -> Outcome {
    let deafness = Deafness::begin(site.host("gm1")?)?;
    let member = &mut rekeyed.members[0];
    let before = received(member)?;
    eventually_true("the deaf member registers again", SOON, || Ok(group(member)?["registrations"] == 2))?;
    let line = member.says(&["GM_RE_REGISTER", "no rekey was received"], SOON)?;
    let said = group(member)?;
    ensure!(said["keys_from"]["way"] == "registration", "it has its keys from {}", said["keys_from"]);
    ensure!(received(member)? == before, "a member heard what was dropped");
    let dropped = deafness.dropped()?;
    deafness.end()?;
    // It is a member like others again.
    receives(member, before)?;
    ensure!(group(member)?["keys_from"]["way"] == "rekey", "after its deafness it has no key by rekey");
    for other in &rekeyed.members[1..] {
        ensure!(group(other)?["registrations"] == 1, "{} has registered again", other.host().name());
    }
    println!("   {dropped} rekey messages dropped; its log: {line}");
    Ok(())
}

/// Rekey messages from the key server to one member are dropped.
struct Deafness {
    host: Arc<Host>,
}

impl Deafness {
    /// The exchange type is 18 octets into the ISAKMP header, behind 8 octets of UDP.
    fn begin(host: Arc<Host>) -> Outcome<Self> {
        host.nft(&format!(
            "add table ip lab-deaf
             add counter ip lab-deaf dropped
             add chain ip lab-deaf arriving {{ type filter hook prerouting priority -400; }}
             add rule ip lab-deaf arriving ip saddr {KS1} udp dport 848 @th,208,8 33 counter name dropped drop\n"
        ))?;
        Ok(Deafness { host })
    }

    fn dropped(&self) -> Outcome<u64> {
        let text = self.host.must("nft list counter ip lab-deaf dropped")?;
        let after = text.split("packets ").nth(1).unwrap_or_default();
        Ok(after.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    fn has_dropped(&self, number: u64) -> Outcome<u64> {
        eventually("a rekey message is dropped", SOON, || {
            Ok(Some(self.dropped()?).filter(|dropped| *dropped >= number))
        })
    }

    fn end(self) -> Outcome {
        self.host.must("nft delete table ip lab-deaf").map(drop)
    }
}
