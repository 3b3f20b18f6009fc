//! A host: a network namespace and the commands that run in it.

use crate::outcome::{failed, Outcome};
use nix::sched::{setns, CloneFlags};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Enough for a command that ends by itself, on an emulated processor.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A network namespace with a name below /run/netns.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: File,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Answer {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Host {
    /// A namespace that exists already.
    pub fn open(name: &str) -> Outcome<Self> {
        Ok(Host { name: name.to_owned(), namespace: File::open(format!("/run/netns/{name}"))? })
    }

    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does some work on a thread inside the namespace: sockets made there and processes started there stay in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            worker.join().unwrap_or_else(|_| failed("a thread of the lab panicked"))
        })
    }

    /// Starts a command, which keeps running.
    pub fn spawn(&self, mut command: Command) -> Outcome<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.inside(move || match command.spawn() {
            Ok(child) => Ok(child),
            Err(error) => failed(format!("{program}: {error}")),
        })
    }

    /// Runs a command line (words between blanks) to its end, whatever its status.
    pub fn run(&self, line: &str) -> Outcome<Answer> {
        let mut command = command(line);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = bounded(self.spawn(command)?, line)?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Ok(Answer {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    /// Runs a command line that must succeed; its standard output.
    pub fn must(&self, line: &str) -> Outcome<String> {
        let answer = self.run(line)?;
        match answer.success {
            true => Ok(answer.stdout),
            false => failed(format!("{}: `{line}` failed: {}", self.name, answer.stderr.trim())),
        }
    }

    /// Has nft do some lines, all or none.
    pub fn nft(&self, lines: &str) -> Outcome {
        let mut nft = command("nft -f -");
        nft.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.spawn(nft)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        match output.status.success() {
            true => Ok(()),
            false => {
                failed(format!("{}: nft: {}", self.name, String::from_utf8_lossy(&output.stderr).trim()))
            }
        }
    }

    /// Sets a kernel parameter of the namespace, such as `net/ipv4/ip_forward`.
    pub fn set(&self, parameter: &str, value: &str) -> Outcome {
        self.inside(|| Ok(fs::write(format!("/proc/sys/{parameter}"), value)?))
    }

    /// How many of three echo requests were answered.
    pub fn ping(&self, destination: Ipv4Addr) -> Outcome<u32> {
        let answer = self.run(&format!("ping -n -c 3 -i 0.2 -W 2 {destination}"))?;
        Ok(answers(&answer.stdout))
    }
}

/// The number before "received" in what ping prints at its end.
pub fn answers(text: &str) -> u32 {
    let before = text.split(" received").next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A command line, words between blanks.
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn bounded(child: Child, line: &str) -> Outcome<Output> {
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    match end.recv_timeout(COMMAND_LIMIT) {
        Ok(output) => Ok(output?),
        Err(_) => {
            kill(pid, Signal::SIGKILL)?;
            failed(format!("`{line}` was not done after {} s", COMMAND_LIMIT.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_answers_of_ping() {
        assert_eq!(answers("3 packets transmitted, 3 received, 0% packet loss, time 403ms"), 3);
        assert_eq!(answers("3 packets transmitted, 0 received, +3 errors, 100% packet loss"), 0);
        assert_eq!(answers(""), 0);
    }
}
