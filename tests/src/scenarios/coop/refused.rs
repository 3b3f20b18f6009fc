//! Key servers whose files do not go together.

use crate::cooperating::{configurations, peer, standing, Cooperating, SERVERS};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::site::{Site, KS1, KS2, KS3};
use serde_json::{json, Value};
use std::net::Ipv4Addr;

const MISMATCH: &str = "COOP_CONFIG_MISMATCH";
const LINK_FAILED: &str = "COOP_LINK_FAILED";
/// What both sides of a link say about it.
const KEYS_DIFFER: &str = "pre-shared keys differ";

/// The third server comes back with another lifetime of keys: all say so, and it goes on with the others' keys.
pub fn configured_differently(shared: &mut Cooperating) -> Outcome {
    let third = &mut shared.servers[2];
    third.terminate()?;
    third.reconfigure(|config| {
        config["groups"][0]["server-local"]["sa-ipsec"]["lifetime"] = json!(1800);
    })?;
    third.start_again()?;
    third.says(&[MISMATCH, &KS2.to_string()], SOON)?;
    for server in &mut shared.servers[..2] {
        let line = server.says(&[MISMATCH, &KS3.to_string()], SOON)?;
        println!("   {}: {line}", server.host().name());
    }
    eventually_true("the third server is in step, but for its configuration", SOON, || {
        let said = standing(&shared.servers[1])?;
        let third = peer(&said, KS3);
        Ok(third["state"] == "alive" && third["in_step"] == true && third["configured_alike"] == false)
    })
}

/// Two servers without a common key: each says so, and neither hears the other.
pub fn wrong_key(site: &Site) -> Outcome {
    let mut configs = configurations(site)?;
    configs.truncate(2);
    configs[1]["pre-shared-keys"][1]["key"] = json!("a key of the second server alone, which fits nowhere");
    let start = |(config, (host, _)): (Value, (&str, Ipv4Addr))| site.key_server(host, config);
    let mut servers = configs.into_iter().zip(SERVERS).map(start).collect::<Outcome<Vec<_>>>()?;
    for (server, other) in servers.iter_mut().zip([KS2, KS1]) {
        server.says(&[LINK_FAILED, KEYS_DIFFER, &format!("peer={other}")], SOON)?;
    }
    servers.iter().try_for_each(elected)?;
    servers.iter().zip([KS2, KS1]).try_for_each(|(server, other)| strangers(server, other))
}

/// Each goes on alone.
fn elected(server: &Daemon) -> Outcome {
    let what = format!("{} is primary of its own", server.host().name());
    eventually_true(&what, SOON, || Ok(standing(server)?["role"] == "primary"))
}

fn strangers(server: &Daemon, other: Ipv4Addr) -> Outcome {
    let (said, name) = (standing(server)?, server.host().name());
    let peer = peer(&said, other);
    let unknown = peer["state"] == "never_heard" && peer["linked"] == false && peer["in_step"].is_null();
    ensure!(unknown, "{name} says of a server with another key: {peer}");
    let log = server.log()?;
    let other = format!("peer={other}");
    let about = |line: &&str| [LINK_FAILED, KEYS_DIFFER, &other].iter().all(|word| line.contains(word));
    let lines: Vec<_> = log.lines().filter(about).collect();
    ensure!(lines.len() == 1, "{name} says of it: {lines:?}");
    println!("   {name}: {}", lines[0]);
    Ok(())
}
