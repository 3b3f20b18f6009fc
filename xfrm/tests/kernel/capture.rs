//! What tcpdump sees.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::bench::wait_until;

/// What tcpdump saw at the core.
pub struct Capture {
    child: Child,
    /// Read all the time: a full pipe would stop tcpdump.
    lines: JoinHandle<String>,
    /// What tcpdump says about itself.
    words: BufReader<ChildStderr>,
}

impl Capture {
    /// Of a tcpdump that was started just now; returns when it listens.
    pub fn begin(mut child: Child) -> Self {
        let mut said = String::new();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("listening on") {
            assert!(words.read_line(&mut said).unwrap() > 0, "tcpdump: {said}");
        }
        let lines = child.stdout.take().unwrap();
        Capture { child, lines: thread::spawn(move || all_of(lines)), words }
    }

    /// Ends the capture; one line per packet.
    pub fn finish(mut self) -> Vec<String> {
        // What was sent is in the kernel's buffer already, tcpdump only needs its turn to read it: it has had it when it
        // answers that it has read nothing more since it was asked last.
        let mut before = None;
        wait_until("tcpdump has read what the kernel has for it", || {
            let now = Some(self.captured());
            std::mem::replace(&mut before, now) == now
        });
        self.signal(Signal::SIGINT);
        self.child.wait().unwrap();
        let text = self.lines.join().unwrap();
        // With -v the addresses are on a line of their own, indented.
        text.replace("\n    ", " ").lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// How many packets tcpdump has read: asked for it, it says so in one line.
    fn captured(&mut self) -> u64 {
        self.signal(Signal::SIGUSR1);
        let mut said = String::new();
        self.words.read_line(&mut said).unwrap();
        let (before, _) = said.split_once(" packet").unwrap_or_else(|| panic!("tcpdump: {said}"));
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

fn all_of(mut lines: ChildStdout) -> String {
    let mut text = String::new();
    lines.read_to_string(&mut text).unwrap();
    text
}

/// The lines that tell of anything but ESP.
pub fn in_clear(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.contains("ESP (50)")).collect()
}
