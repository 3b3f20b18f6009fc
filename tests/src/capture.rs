//! What crosses a host, captured by tcpdump.

use crate::eventually::eventually;
use crate::host::{command, Host};
use crate::outcome::{ensure, Outcome, Stop};
use crate::packet::Packet;
use crate::pcap::Reader;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
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
    reader: Reader,
    /// How much of the file the reader has.
    offset: u64,
    /// Read, but not yet asked for.
    held: Vec<Packet>,
}

impl Capture {
    /// Starts a capture into `folder` and returns when it runs.
    pub fn start(host: Arc<Host>, folder: &Path, name: &str) -> Outcome<Self> {
        Self::start_filtered(host, folder, name, "")
    }

    /// The same of what a filter of tcpdump names, which keeps the captures of long streams small. The filter must let the
    /// capture's own markers pass: UDP of 127.0.0.1.
    pub fn start_filtered(host: Arc<Host>, folder: &Path, name: &str, filter: &str) -> Outcome<Self> {
        let file = folder.join(format!("{name}.pcap"));
        let messages = folder.join(format!("{name}.tcpdump.log"));
        let mut tcpdump = command("tcpdump -n -i any -y LINUX_SLL2 --immediate-mode -U -Z root -B 16384");
        tcpdump.args(["-s", &SNAPSHOT.to_string(), "-w"]).arg(&file).args(filter.split_whitespace());
        tcpdump.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&messages)?);
        let tcpdump = host.spawn(tcpdump)?;
        let reader = Reader::default();
        let capture =
            Capture { host, tcpdump, file, messages, markers: 0, reader, offset: 0, held: Vec::new() };
        capture.said("listening on")?;
        Ok(capture)
    }

    /// The packets since the last call. Every packet that crossed the host before this call is among them.
    pub fn fresh(&mut self) -> Outcome<Vec<Packet>> {
        self.markers += 1;
        let marker = format!("marker {}", self.markers);
        let end = eventually("the capture holds its marker", LIMIT, || {
            // Sent each time: one is enough, and a busy machine can lose the first.
            self.mark(&marker)?;
            self.read()?;
            Ok(self.held.iter().position(|packet| packet.udp_payload() == Some(marker.as_bytes())))
        })?;
        let mut packets: Vec<_> = self.held.drain(..end).collect();
        packets.retain(|packet| !packet.destination.is_loopback());
        Ok(packets)
    }

    fn mark(&self, marker: &str) -> Outcome {
        let mark = || Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(marker.as_bytes(), MARKER)?);
        self.host.inside(mark).map(drop)
    }

    /// Takes over what tcpdump has written since the last time.
    fn read(&mut self) -> Outcome {
        let (mut file, mut octets) = (File::open(&self.file)?, Vec::new());
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += file.read_to_end(&mut octets)? as u64;
        self.held.extend(self.reader.packets(&octets).map_err(Stop::Failed)?);
        Ok(())
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
