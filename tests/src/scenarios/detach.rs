//! The only way out of the protection, and the way back.

use crate::corp::{member, nothing_installed, protection, registered, Corp, Crossed};
use crate::daemon::Daemon;
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, OUTSIDE};
use serde_json::json;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::registered(
    "detach",
    "a detached member sends in clear, and only then; register or restart protects",
    detach,
)];

const SOON: Duration = Duration::from_secs(20);

fn detach(site: &Site, corp: &mut Corp) -> Outcome {
    must_be_meant(&corp.members[0])?;
    detaches(&mut corp.members[0])?;
    passes_in_clear(site, corp)?;
    corp.members[0].control("gm register")?;
    is_back(site, corp)?;
    detaches(&mut corp.members[0])?;
    corp.members[0].terminate()?;
    nothing_of_ours(&corp.members[0])?;
    corp.members[0].start_again()?;
    registered(&mut corp.members[0])?;
    is_back(site, corp)?;
    remove_must_be_meant(site, corp)
}

fn must_be_meant(member: &Daemon) -> Outcome {
    let refusal = member.refusal("gm detach corp")?;
    ensure!(refusal.contains("Nothing is done") && refusal.contains("IN CLEAR"), "it says {refusal}");
    protection(member, "encrypting")?;
    let unknown = member.refusal("gm detach nobody --yes-send-in-clear")?;
    ensure!(unknown.contains("no group `nobody`"), "it says {unknown}");
    Ok(())
}

fn detaches(member: &mut Daemon) -> Outcome {
    let said = member.control("gm detach corp --yes-send-in-clear")?;
    ensure!(said.contains("IN CLEAR on wan"), "it says {said}");
    nothing_of_ours(member)?;
    protection(member, "detached")?;
    let shown = member.control("show gm")?;
    ensure!(shown.contains("DETACHED"), "show gm says {shown}");
    member.says(&["CRITICAL GM_DETACHED", "process"], SOON)?;
    Ok(())
}

fn nothing_of_ours(member: &Daemon) -> Outcome {
    let host = member.host();
    nothing_installed(host)?;
    let policies = host.must("ip xfrm policy")?;
    ensure!(policies.is_empty(), "policies are left: {policies}");
    ensure!(!host.run("nft list table inet gdoi")?.success, "the table is left");
    Ok(())
}

/// The member itself lets everything pass; the others stay closed to what is clear.
fn passes_in_clear(site: &Site, corp: &mut Corp) -> Outcome {
    let h1 = site.host("h1")?;
    corp.core.fresh()?;
    let (protected, outside) = (h1.ping(HOSTS[1].1)?, h1.ping(OUTSIDE)?);
    let crossed = Crossed::sort(corp.core.fresh()?);
    ensure!(protected == 0, "a protected member answered {protected} requests that came in clear");
    ensure!(outside == 3, "{outside} of 3 requests to the host outside were answered");
    ensure!(!crossed.clear.is_empty(), "a detached member held back what it should not");
    Ok(())
}

fn is_back(site: &Site, corp: &mut Corp) -> Outcome {
    protection(&corp.members[0], "encrypting")?;
    corp.core.fresh()?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(answers == 3, "{answers} of 3 requests were answered after the group was protected again");
    Crossed::sort(corp.core.fresh()?).none_clear()
}

fn remove_must_be_meant(site: &Site, corp: &mut Corp) -> Outcome {
    let member_daemon = &mut corp.members[0];
    member_daemon.terminate()?;
    let file = site.places.out.join(format!("{}.yaml", site.places.next_name("remove")));
    let mut config = member(&[KS1]);
    config["control-socket"] = json!("/run/lab-remove.sock");
    std::fs::write(&file, config.to_string())?;
    let remove =
        format!("{} --config {} --remove", site.places.programs.join("gdoi-gm").display(), file.display());
    let host = member_daemon.host();
    let refused = host.run(&remove)?;
    ensure!(!refused.success && refused.stderr.contains("Nothing is removed"), "it says {}", refused.stderr);
    host.must("nft list table inet gdoi")?;
    host.must(&format!("{remove} --yes-send-in-clear"))?;
    nothing_of_ours(member_daemon)?;
    member_daemon.start_again()?;
    registered(member_daemon)
}
