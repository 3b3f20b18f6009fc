//! What crosses a host, captured by tcpdump.

use crate::eventually::eventually;
use crate::host::{command, Host};
use crate::outcome::{ensure, Outcome, Stop};
use crate::packet::{self, Packet};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// The discard port: nobody listens there.
const MARKER: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9);
/// Octets of each packet that are kept; enough for the headers that [`Packet`] reads.
const SNAPSHOT: usize = 160;

/// A running capture on all interfaces of a host.
#[derive(Debug)]
pub struct Capture {
    host: Arc<Host>,
    tcpdump: Child,
    file: PathBuf,
    messages: PathBuf,
    markers: u32,
    taken: usize,
}

impl Capture {
    /// Starts a capture into `folder` and returns when it runs.
    pub fn start(host: Arc<Host>, folder: &Path, name: &str) -> Outcome<Self> {
        Self::start_filtered(host, folder, name, "")
    }

    /// The same without ESP, which keeps the captures of long streams small.
    pub fn start_without_esp(host: Arc<Host>, folder: &Path, name: &str) -> Outcome<Self> {
        Self::start_filtered(host, folder, name, "not esp")
    }

    fn start_filtered(host: Arc<Host>, folder: &Path, name: &str, filter: &str) -> Outcome<Self> {
        let file = folder.join(format!("{name}.pcap"));
        let messages = folder.join(format!("{name}.tcpdump.log"));
        let mut tcpdump = command("tcpdump -n -i any -y LINUX_SLL2 --immediate-mode -U -Z root -B 16384");
        tcpdump.args(["-s", &SNAPSHOT.to_string(), "-w"]).arg(&file).args(filter.split_whitespace());
        tcpdump.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&messages)?);
        let tcpdump = host.spawn(tcpdump)?;
        let capture = Capture { host, tcpdump, file, messages, markers: 0, taken: 0 };
        capture.said("listening on")?;
        Ok(capture)
    }

    /// The packets since the last call. Every packet that crossed the host before this call is among them.
    pub fn fresh(&mut self) -> Outcome<Vec<Packet>> {
        self.markers += 1;
        let marker = format!("marker {}", self.markers);
        let (host, file, taken) = (&self.host, &self.file, self.taken);
        let mut packets = eventually("the capture holds its marker", LIMIT, || {
            // Sent each time: one is enough, and a busy machine can lose the first.
            host.inside(|| {
                Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(marker.as_bytes(), MARKER)?)
            })?;
            let packets = packet::read(&fs::read(file)?).map_err(Stop::Failed)?;
            let end =
                packets.iter().skip(taken).position(|packet| packet.udp_payload() == Some(marker.as_bytes()));
            Ok(end.map(|end| packets[taken..taken + end].to_vec()))
        })?;
        self.taken += packets.len();
        packets.retain(|packet| !packet.destination.is_loopback());
        Ok(packets)
    }

    /// Ends the capture. Fails if the kernel had to leave packets out: then it proves nothing.
    pub fn close(mut self) -> Outcome {
        kill(Pid::from_raw(self.tcpdump.id() as i32), Signal::SIGTERM)?;
        self.tcpdump.wait()?;
        let messages = fs::read_to_string(&self.messages)?;
        ensure!(messages.contains("\n0 packets dropped by kernel"), "the capture is incomplete: {messages}");
        Ok(())
    }

    fn said(&self, text: &str) -> Outcome {
        eventually("tcpdump runs", LIMIT, || {
            Ok(fs::read_to_string(&self.messages)?.contains(text).then_some(()))
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}
