//! The program nft as a process: it is bounded in time, because it waits for whoever holds nftables in the kernel.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;

use crate::Error;

/// Searched after PATH, which a service manager may have cut short.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// Who has done nothing for so long waits for something that does not come. A long list on a slow machine keeps the
/// processor busy.
const IDLE: Duration = Duration::from_secs(10);
/// Whatever it does.
const LONGEST: Duration = Duration::from_secs(120);
/// When nobody has patience any more.
const HASTE: Duration = Duration::from_secs(2);
/// How long a process that was killed may take to end.
const LAST_WAIT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(20);

/// How long nft is waited for. Whoever has a copy can end the patience of all.
#[derive(Clone, Debug, Default)]
pub struct Patience(Arc<AtomicBool>);

impl Patience {
    /// From now on everything is given two seconds only: the daemon ends.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The way to run it.
#[derive(Debug, Default)]
pub struct Nft {
    patience: Patience,
    /// One that was killed and did not end: while it is there, another one would wait for the same.
    stuck: Option<Child>,
}

impl Nft {
    /// What bounds it.
    pub fn patience(&self) -> Patience {
        self.patience.clone()
    }

    /// Runs it to its end with this input.
    ///
    /// # Errors
    /// It cannot be run, or does not end.
    pub fn run(&mut self, arguments: &[&str], input: &str) -> Result<Output, Error> {
        self.bury()?;
        let mut child = command(arguments)?.spawn().map_err(Error::NftMissing)?;
        let talk = Talk::begin(&mut child, input);
        match self.wait(&mut child) {
            Ok(Some(status)) => talk.end(status),
            Ok(None) => Err(self.give_up(child)),
            Err(error) => Err(Error::NftMissing(error)),
        }
    }

    fn bury(&mut self) -> Result<(), Error> {
        let Some(child) = &mut self.stuck else { return Ok(()) };
        match child.try_wait() {
            Ok(Some(_)) => {
                self.stuck = None;
                Ok(())
            }
            _ => Err(Error::NftStuck(child.id())),
        }
    }

    /// None when it was not done in time.
    fn wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        let (mut active, mut used) = (begun, None);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            let now = processor_time(child.id());
            // Where it is not told, only the longest time counts.
            if now.is_none() || now != used {
                (active, used) = (Instant::now(), now);
            }
            let is_late = begun.elapsed() > LONGEST || active.elapsed() > IDLE;
            if is_late || self.patience.has_ended() && begun.elapsed() > HASTE {
                return Ok(None);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// It has a process group of its own, as what is called nft may be a script.
    fn give_up(&mut self, mut child: Child) -> Error {
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        let killed = Instant::now();
        while killed.elapsed() < LAST_WAIT {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return Error::NftHangs;
            }
            thread::sleep(PAUSE);
        }
        let id = child.id();
        self.stuck = Some(child);
        Error::NftStuck(id)
    }
}

/// What goes in and comes out, each at its own pace.
struct Talk {
    input: JoinHandle<io::Result<()>>,
    output: [JoinHandle<Vec<u8>>; 2],
}

impl Talk {
    fn begin(child: &mut Child, input: &str) -> Self {
        let (stdin, input) = (child.stdin.take(), input.to_owned());
        let input =
            thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes())));
        Self { input, output: [listen(child.stdout.take()), listen(child.stderr.take())] }
    }

    /// Of one that has ended. What it refuses it need not have read.
    fn end(self, status: ExitStatus) -> Result<Output, Error> {
        let [stdout, stderr] = self.output.map(|thread| thread.join().unwrap_or_default());
        let fed = self.input.join().unwrap_or(Ok(()));
        match (status.success(), fed) {
            (true, Err(error)) => Err(Error::NftMissing(error)),
            _ => Ok(Output { status, stdout, stderr }),
        }
    }
}

fn listen(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        said
    })
}

fn command(arguments: &[&str]) -> Result<Command, Error> {
    let path = find().ok_or_else(|| Error::NftMissing(io::ErrorKind::NotFound.into()))?;
    let mut command = Command::new(path);
    command.args(arguments).env("LC_ALL", "C").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join("nft")).find(|file| file.is_file())
}

/// The ticks that a process has used, in user and system mode (proc(5), fields 14 and 15).
fn processor_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_patience_ends_what_hangs() {
        let mut nft = Nft::default();
        nft.patience().end();
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").process_group(0);
        let (mut child, begun) = (sleep.spawn().unwrap(), Instant::now());
        assert!(nft.wait(&mut child).unwrap().is_none());
        assert!(matches!(nft.give_up(child), Error::NftHangs));
        assert!(begun.elapsed() < HASTE * 4 && nft.bury().is_ok());
    }

    #[test]
    fn the_time_that_a_process_has_used_is_read() {
        assert!(processor_time(std::process::id()).is_some());
        assert_eq!(processor_time(u32::MAX), None);
    }
}
