//! What operators do to key servers that share a group, and what those tell them; what is wrong with their files.

use super::refused::{configured_differently, wrong_key};
use crate::cooperating::{
    self, in_step, newest_key, peer, seconds, standing, Cooperating, HOLD_DOWN, SERVERS,
};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{keys, never_registered_again, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, KS2, WAN};
use serde_json::{json, Value};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "coop-commands",
    "commands for key servers that share a group, what they show, and files that do not go together",
    commands,
)];

fn commands(site: &Site) -> Outcome {
    let mut shared = Cooperating::start(site, configurations(site)?)?;
    shows(&shared)?;
    refusals(&shared)?;
    let took = resignation(&shared)?;
    let spi = rekeyed_by_second(&mut shared)?;
    configured_differently(&mut shared)?;
    stays_resigned(&shared.servers[0])?;
    never_registered_again(&shared.members)?;
    println!("   {KS2} is primary {took} s after `ks coop resign`, and has changed the key to {spi:#010x}");
    println!("   {}", shared.finish()?);
    wrong_key(site)
}

/// Keys that nothing but commands changes; the third server's signing key is carried over as operators do it.
fn configurations(site: &Site) -> Outcome<Vec<Value>> {
    let mut configs = cooperating::configurations(site)?;
    let signing = configs[0]["groups"][0]["server-local"]["rekey"]["authentication"].clone();
    let carried = carry_over(site, Path::new(signing.as_str().unwrap_or_default()))?;
    for (number, config) in configs.iter_mut().enumerate() {
        let local = &mut config["groups"][0]["server-local"];
        local["sa-ipsec"]["lifetime"] = json!(3600);
        local["activation-delay"] = json!(2);
        local["deactivation-delay"] = json!(6);
        local["rekey"]["retransmit"] = json!({ "interval": 1, "number": 2 });
        if number == 2 {
            local["rekey"]["authentication"] = carried.clone();
        }
    }
    Ok(configs)
}

/// `ks key export` on the first server, `ks key import` on the third; the imported file.
fn carry_over(site: &Site, signing: &Path) -> Outcome<Value> {
    let file = |name: &str| signing.with_file_name(name);
    let (sealed, imported, passphrase) = (file("rekey.enc"), file("imported.pem"), file("passphrase"));
    fs::write(&passphrase, "what operators tell each other\n")?;
    let gdoictl = site.places.programs.join("gdoictl");
    let line = |command: &str, from: &Path, to: &Path| {
        let (from, to, passphrase) = (from.display(), to.display(), passphrase.display());
        format!("{} ks key {command} {from} --out {to} --passphrase-file {passphrase}", gdoictl.display())
    };
    let exported = site.host("ks1")?.must(&line("export", signing, &sealed))?;
    let taken = site.host("ks3")?.must(&line("import", &sealed, &imported))?;
    let print = |said: &str| said.lines().find(|line| line.contains("Fingerprint")).map(str::to_owned);
    ensure!(print(&exported).is_some(), "`ks key export` tells no fingerprint: {exported}");
    ensure!(print(&exported) == print(&taken), "the fingerprints differ: {exported}{taken}");
    Ok(json!(imported))
}

/// All servers tell the same about the group, and each knows who registered where.
fn shows(shared: &Cooperating) -> Outcome {
    let standings = shared.servers.iter().map(standing).collect::<Outcome<Vec<_>>>()?;
    for (standing, server) in standings.iter().zip(&shared.servers) {
        let name = server.host().name();
        for part in ["configuration", "signing_key", "epoch"] {
            let (said, wanted) = (&standing[part], &standings[0][part]);
            ensure!(said == wanted && !said.is_null(), "{part} is {said} on {name}, {wanted} on ks1");
        }
        texts(server, standing)?;
    }
    owners(&shared.servers)
}

fn texts(server: &Daemon, standing: &Value) -> Outcome {
    let (short, long) = (server.control("show ks coop")?, server.control("show ks coop detail")?);
    let mut words = vec!["Role", "Primary", "KEYS", "alive", "same"];
    words.extend(
        standing["peers"].as_array().into_iter().flatten().filter_map(|peer| peer["address"].as_str()),
    );
    for word in &words {
        ensure!(
            short.contains(word) && long.contains(word),
            "`show ks coop` says nothing of {word}: {short}"
        );
    }
    for part in ["configuration", "signing_key"] {
        let digest = standing[part].as_str().unwrap_or_default();
        ensure!(long.contains(digest), "`show ks coop detail` does not show {part} {digest}: {long}");
    }
    Ok(())
}

/// Every server lists every member with the server where it registered.
fn owners(servers: &[Daemon]) -> Outcome {
    for server in servers {
        let listed = server.show("ks members")?["groups"][0]["members"].clone();
        let all = listed.as_array().into_iter().flatten();
        let mut owners: Vec<_> = all.map(|member| (&member["address"], &member["key_server"])).collect();
        owners.sort_by_key(|(member, _)| member.to_string());
        let wanted: Vec<_> =
            WAN.iter().zip(SERVERS).map(|(wan, (_, server))| (json!(wan), json!(server))).collect();
        let wanted: Vec<_> = wanted.iter().map(|(member, server)| (member, server)).collect();
        ensure!(owners == wanted, "{} lists {listed}", server.host().name());
    }
    Ok(())
}

/// A secondary changes nothing and says whom to ask.
fn refusals(shared: &Cooperating) -> Outcome {
    let before = newest_key(&shared.servers[0])?;
    let remove = format!("ks remove {}", WAN[0]);
    for command in ["ks rekey", &remove, "ks coop resign"] {
        let said = shared.servers[1].refusal(command)?;
        let wanted = format!("this key server is not primary, ask {KS1}; nothing was changed");
        ensure!(said.contains(&wanted), "a secondary answers `{command}` with: {said}");
    }
    ensure!(newest_key(&shared.servers[0])? == before, "a refused command has changed the key");
    in_step(&shared.servers, KS1)
}

/// Ends the first server's reign; how many seconds it took.
fn resignation(shared: &Cooperating) -> Outcome<String> {
    let begin = Instant::now();
    let before = keys(&shared.servers[0].show("ks")?["groups"][0]);
    shared.servers[0].control("ks coop resign")?;
    in_step(&shared.servers, KS2)?;
    let took = seconds(begin.elapsed());
    let after = keys(&shared.servers[1].show("ks")?["groups"][0]);
    ensure!(before == after, "the keys have changed with the role: {before:?} and {after:?}");
    let said = standing(&shared.servers[0])?;
    ensure!(said["resigned"] == true, "the first server does not know that it has resigned: {said}");
    Ok(took)
}

fn rekeyed_by_second(shared: &mut Cooperating) -> Outcome<u32> {
    let before = shared.rekeys_of(1)?;
    shared.servers[1].control("ks rekey")?;
    let newest = shared.rekey_after(1, before)?;
    shared.all_send_with(newest)?;
    Ok(newest)
}

/// Who has resigned does not take the role back, although it would long have been its turn.
fn stays_resigned(server: &Daemon) -> Outcome {
    let time = |said: &Value| said["pseudotime_seconds"].as_u64().unwrap_or(0);
    let end = time(&standing(server)?) + HOLD_DOWN + 2;
    eventually_true("the hold-down is over", SOON, || Ok(time(&standing(server)?) >= end))?;
    let said = standing(server)?;
    let second = peer(&said, KS2);
    ensure!(
        said["role"] == "secondary" && second["role"] == "primary",
        "after its resignation it says {said}"
    );
    Ok(())
}
