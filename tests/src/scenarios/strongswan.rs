//! Debian's strongSwan as the other side of phase 1. It speaks IKEv1 on port 500 with DOI 1 and knows nothing of GDOI, so
//! everything ends after Main Mode; its log says whether the ISAKMP SA came up.

use crate::corp::{self, KEY, REGISTRATION};
use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::outcome::{failed, Outcome, Stop};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, WAN};
use serde_json::json;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("strongswan-responder", "strongSwan answers our phase 1, groups 19 and 14", responder),
    Scenario::empty("strongswan-initiator", "strongSwan starts phase 1 with us, groups 19 and 14", initiator),
];

const CHARON: &str = "/usr/lib/ipsec/charon";
const SWANCTL: &str = "/usr/sbin/swanctl";
const SOCKET: &str = "unix:///run/lab-charon.vici";
const IKE: u16 = 500;
/// Our number of a Diffie-Hellman group and strongSwan's name.
const GROUPS: [(u16, &str); 2] = [(19, "ecp256"), (14, "modp2048")];

fn responder(site: &Site) -> Outcome {
    installed()?;
    for (group, name) in GROUPS {
        let charon = Charon::start(site, "ks1", name, KS1, WAN[0])?;
        let mut file = corp::member(&[]);
        file["port"] = json!(IKE);
        file["groups"][0]["servers"] = json!([{ "address": KS1, "port": IKE }]);
        file["groups"][0]["phase1"] =
            json!({ "encryption": "aes-256-cbc", "hash": "sha-256", "group": group, "doi": 1 });
        let _member = site.member("gm1", file)?;
        charon.established(name)?;
    }
    Ok(())
}

fn initiator(site: &Site) -> Outcome {
    installed()?;
    let mut file = corp::key_server(KS1);
    file["port"] = json!(IKE);
    let key_server = site.key_server("ks1", file)?;
    eventually_true("the key server runs", REGISTRATION, || Ok(key_server.show("ks").is_ok()))?;
    for (_, name) in GROUPS {
        let charon = Charon::start(site, "gm1", name, WAN[0], KS1)?;
        charon.initiate()?;
        charon.established(name)?;
    }
    Ok(())
}

fn installed() -> Outcome {
    match [CHARON, SWANCTL].into_iter().find(|file| !Path::new(file).exists()) {
        None => Ok(()),
        Some(file) => Err(Stop::Skipped(format!(
            "there is no {file}; Debian's packages are strongswan-charon and strongswan-swanctl"
        ))),
    }
}

/// A running IKE daemon; it is killed when dropped.
struct Charon {
    host: Arc<Host>,
    daemon: Child,
    log: PathBuf,
}

impl Charon {
    fn start(site: &Site, host: &str, group: &str, local: Ipv4Addr, remote: Ipv4Addr) -> Outcome<Self> {
        let name = site.places.next_name(&format!("{host}-charon-{group}"));
        let path = |ending: &str| site.places.out.join(format!("{name}.{ending}"));
        let (settings, connection, log) =
            (path("strongswan.conf"), path("swanctl.conf"), site.places.log(&name));
        fs::write(&settings, daemon_settings(&log))?;
        fs::write(&connection, connection_settings(group, local, remote))?;
        let mut charon = command(CHARON);
        charon.env("STRONGSWAN_CONF", &settings).stdin(Stdio::null());
        charon.stdout(File::create(path("output"))?).stderr(Stdio::null());
        let host = site.host(host)?;
        let daemon = host.spawn(charon)?;
        let charon = Charon { host, daemon, log };
        charon.load(&connection)?;
        Ok(charon)
    }

    /// The daemon takes its connections from swanctl, once it listens.
    fn load(&self, connection: &Path) -> Outcome {
        let line = format!("{SWANCTL} --load-all --uri {SOCKET} --file {}", connection.display());
        eventually_true("strongSwan takes its connection", REGISTRATION, || Ok(self.host.run(&line)?.success))
    }

    /// Starts phase 1; that nothing follows it is no failure.
    fn initiate(&self) -> Outcome {
        self.host.run(&format!("{SWANCTL} --initiate --ike lab --timeout 20 --uri {SOCKET}")).map(drop)
    }

    fn established(&self, group: &str) -> Outcome {
        let done = eventually_true("strongSwan says established", REGISTRATION, || {
            let log = fs::read_to_string(&self.log)?;
            Ok(log.lines().any(|line| line.contains("IKE_SA lab") && line.contains("established")))
        });
        done.or_else(|reason| failed(format!("group {group}: {reason}")))
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_file("/run/charon.pid");
    }
}

fn daemon_settings(log: &Path) -> String {
    format!(
        "charon {{\n  install_routes = no\n  plugins {{ vici {{ socket = {SOCKET} }} }}\n  filelog {{ lab {{ path = {}\n \
         default = 2\n flush_line = yes }} }}\n}}\n",
        log.display()
    )
}

fn connection_settings(group: &str, local: Ipv4Addr, remote: Ipv4Addr) -> String {
    format!(
        "connections {{ lab {{\n  version = 1\n  proposals = aes256-sha256-{group}\n  local_addrs = {local}\n  \
         remote_addrs = {remote}\n  local {{ auth = psk\n id = {local} }}\n  remote {{ auth = psk\n id = {remote} }}\n}} }}\n\
         secrets {{ ike-lab {{ secret = \"{KEY}\" }} }}\n"
    )
}
