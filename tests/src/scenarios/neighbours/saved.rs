//! A ruleset that an operator saves and loads again, with our table in it.

use crate::corp::{self, registered, Corp};
use crate::eventually::eventually_true;
use crate::host::{answers, Host};
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS};
use crate::stream::Streams;
use crate::watch::Watch;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::registered(
    "saved-ruleset",
    "`nft list ruleset` with our table in it loads again, as text and as JSON, and a stale copy is replaced",
    saved,
)];

/// How it is saved and loaded.
const FORMS: [(&str, &str); 2] = [("nft list ruleset", "nft -f"), ("nft -j list ruleset", "nft -j -f")];
const REPAIRED: &str = "GM_POLICIES_REPAIRED";

fn saved(site: &Site, corp: &mut Corp) -> Outcome {
    let gm1 = site.host("gm1")?;
    registered(&mut corp.members[0])?;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    for (save, load) in FORMS {
        let file = site.places.out.join("saved-ruleset");
        fs::write(&file, gm1.must(save)?)?;
        corp.members[0].is_silent(limit(Duration::from_millis(2_500), Duration::from_secs(5)))?;
        let before = corp.members[0].log()?.matches(REPAIRED).count();
        loads_elsewhere(site, load, &file)?;
        // An entry more than the table that was saved, so that the copy is stale.
        corp.members[0].reconfigure(|config| {
            config["groups"][0]["match-address"] = serde_json::json!(["deny udp any any eq 9999"]);
        })?;
        corp.members[0].control("reload")?;
        eventually_true("the local list is in the table", SOON, || {
            Ok(gm1.must("nft list chain inet gdoi pass_out_0")?.contains("9999"))
        })?;
        corp.members[0].is_silent(limit(Duration::from_millis(2_500), Duration::from_secs(5)))?;
        let begun = Instant::now();
        // The member may put its table back before the copy is there, and JSON does not load on top of it.
        eventually_true("the copy is loaded", SOON, || {
            gm1.must("nft delete table inet gdoi")?;
            Ok(gm1.run(&format!("{load} {}", file.display()))?.success)
        })?;
        eventually_true("the stale copy is replaced", SOON, || {
            Ok(gm1.run("nft list chain inet gdoi pass_out_0")?.stdout.contains("9999")
                && corp.members[0].log()?.matches(REPAIRED).count() > before)
        })?;
        println!(
            "   `{save}` loads with `{load}`; its stale copy is replaced after {} ms",
            begun.elapsed().as_millis()
        );
        // The copy may have come on top of a table that the member had put back already.
        corp.members[0].is_silent(limit(Duration::from_millis(2_500), Duration::from_secs(5)))?;
        corp.members[0].reconfigure(|config| config["groups"][0]["match-address"] = serde_json::json!([]))?;
        corp.members[0].control("reload")?;
        corp.members[0].is_silent(limit(Duration::from_millis(2_500), Duration::from_secs(5)))?;
        long_packets(&*site.host("h1")?)?;
    }
    corp::protection(&corp.members[0], "encrypting")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    Ok(())
}

/// In a kernel without anything, and there it is the same text again.
fn loads_elsewhere(site: &Site, load: &str, file: &Path) -> Outcome {
    let host = site.host("ks3")?;
    let done = host.must(&format!("{load} {}", file.display()));
    let listed = host.must("nft -s -t list table inet gdoi");
    host.must("nft flush ruleset")?;
    done?;
    let listed = listed?;
    let holds = listed.lines().map(str::trim).filter(|line| line.contains("jump hold_out_0"));
    let (named, numbered): (Vec<_>, Vec<_>) = holds.partition(|line| line.starts_with("oifname "));
    ensure!(
        named.len() == 1 && numbered.len() == 1 && numbered[0].starts_with("oif "),
        "the loaded table holds by name and by index: {named:?} {numbered:?}"
    );
    Ok(())
}

fn long_packets(h1: &Host) -> Outcome {
    let text = h1.run(&format!("ping -n -c 3 -i 0.2 -W 2 -M dont -s 3000 {}", HOSTS[1].1))?.stdout;
    ensure!(answers(&text) == 3, "{} of 3 long requests were answered", answers(&text));
    Ok(())
}
