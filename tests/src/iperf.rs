//! Bulk between two hosts by iperf3.

use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::outcome::Outcome;
use crate::site::Site;
use serde_json::Value;
use std::fs::{self, File};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

const START: Duration = Duration::from_secs(30);

/// A server, which ends when dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Returns when it listens.
    pub fn start(site: &Site, host: &Host) -> Outcome<Self> {
        let log = site.places.out.join(format!("{}.log", site.places.next_name("iperf3")));
        let mut server = command("iperf3 --server --forceflush");
        server.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(Stdio::null());
        let server = Server(host.spawn(server)?);
        eventually_true("iperf3 listens", START, || {
            Ok(fs::read_to_string(&log)?.contains("Server listening"))
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client with these options says at its end.
pub fn report(client: &Host, server: IpAddr, options: &str) -> Outcome<Value> {
    Ok(serde_json::from_str(&client.must(&format!("iperf3 --client {server} --json {options}"))?)?)
}
