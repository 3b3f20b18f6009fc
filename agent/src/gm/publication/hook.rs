//! The operator's program: one at a time, in a thread that waits for it, and of each group the last state only.

use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What takes longer is ended.
const LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// Where programs are found that it runs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    program: PathBuf,
    group: String,
    state: &'static str,
}

/// Runs the program.
#[derive(Debug)]
pub struct Runner {
    program: Option<PathBuf>,
    runs: Option<Sender<Run>>,
    done: Receiver<Result<(), String>>,
    ready: Arc<Notify>,
    is_running: bool,
    pending: BTreeMap<String, &'static str>,
}

impl Runner {
    /// Of this program; without one nothing is run.
    pub fn of(program: Option<PathBuf>) -> Self {
        let ((runs, taken), (made, done)) = (channel::<Run>(), channel());
        let ready = Arc::new(Notify::new());
        let bell = ready.clone();
        let started = thread::Builder::new().name("hook".into()).spawn(move || {
            while let Ok(run) = taken.recv() {
                let result = carry_out(&run, LIMIT);
                if made.send(result).is_err() {
                    break;
                }
                bell.notify_one();
            }
        });
        let runs = started.is_ok().then_some(runs);
        Runner { program, runs, done, ready, is_running: false, pending: BTreeMap::new() }
    }

    /// Runs this one from now on; whether it is another one.
    pub fn replace(&mut self, program: Option<PathBuf>) -> bool {
        let is_other = self.program != program;
        self.program = program;
        is_other
    }

    /// The group is in another state.
    pub fn tell(&mut self, group: &str, state: &'static str) {
        if self.program.is_some() {
            self.pending.insert(group.to_owned(), state);
            self.advance();
        }
    }

    /// Waits until a run has ended. May be dropped at any time without loss.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Begins the next run if none is under way; why the last one failed, if it did.
    pub fn settle(&mut self) -> Option<String> {
        let result = self.is_running.then(|| self.done.try_recv().ok()).flatten()?;
        self.is_running = false;
        self.advance();
        result.err()
    }

    /// Waits for all runs, so long at most; why some failed.
    pub fn conclude(&mut self, limit: Duration) -> Vec<String> {
        let (begun, mut failures) = (Instant::now(), Vec::new());
        while self.is_running {
            match self.done.recv_timeout(limit.saturating_sub(begun.elapsed())) {
                Ok(result) => {
                    self.is_running = false;
                    failures.extend(result.err());
                    self.advance();
                }
                Err(RecvTimeoutError::Timeout) => {
                    failures
                        .push(format!("the program of `on-change` has not ended for {} s", limit.as_secs()));
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        failures
    }

    fn advance(&mut self) {
        let Some(program) = self.program.clone().filter(|_| !self.is_running) else { return };
        let Some((group, state)) = self.pending.pop_first() else { return };
        let run = Run { program, group, state };
        self.is_running = self.runs.as_ref().is_some_and(|runs| runs.send(run).is_ok());
    }
}

fn carry_out(run: &Run, limit: Duration) -> Result<(), String> {
    let failed =
        |reason: String| format!("{} for {} {}: {reason}", run.program.display(), run.group, run.state);
    let mut child = spawn(&run.program, &run.group, run.state).map_err(|error| failed(error.to_string()))?;
    match wait(&mut child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(status.to_string())),
        Ok(None) => {
            end(&mut child);
            Err(failed(format!("ended, because it took longer than {} s", limit.as_secs())))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// In a process group of its own, so that what it has started ends with it.
fn spawn(program: &Path, group: &str, state: &str) -> io::Result<Child> {
    Command::new(program)
        .env_clear()
        .envs([("PATH", PATH), ("GROUP", group), ("STATE", state)])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        match child.try_wait()? {
            None if begun.elapsed() < limit => thread::sleep(PAUSE),
            ended => return Ok(ended),
        }
    }
}

fn end(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// A process that is being started has all files open for a moment that are, and what is open for writing cannot be
    /// executed: one test at a time.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    struct Script(PathBuf);

    impl Script {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gdoi-run-{name}-{}", std::process::id()));
            fs::write(&path, text.replace("OUT", &format!("{}.out", path.display()))).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            let _ = fs::remove_file(path.with_extension("out"));
            Script(path)
        }

        fn said(&self) -> String {
            fs::read_to_string(format!("{}.out", self.0.display())).unwrap_or_default()
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
            let _ = fs::remove_file(format!("{}.out", self.0.display()));
        }
    }

    #[test]
    fn it_is_run_with_group_and_state_and_nothing_else() {
        let _alone = alone();
        let script = Script::new("told", "#!/bin/sh\necho \"$GROUP $STATE $HOME\" >>OUT\n");
        let mut runner = Runner::of(Some(script.0.clone()));
        runner.tell("corp", "encrypting");
        assert_eq!(runner.conclude(LIMIT), Vec::<String>::new());
        runner.tell("corp; id", "blocked");
        assert_eq!(runner.conclude(LIMIT), Vec::<String>::new());
        assert_eq!(script.said(), "corp encrypting \ncorp; id blocked \n");
        let mut none = Runner::of(None);
        none.tell("corp", "blocked");
        assert_eq!((none.conclude(LIMIT), none.settle()), (Vec::new(), None));
    }

    /// However often states change while it runs.
    #[test]
    fn of_each_group_only_the_last_state_waits() {
        let _alone = alone();
        let script = Script::new("last", "#!/bin/sh\nsleep 0.3\necho \"$GROUP $STATE\" >>OUT\n");
        let mut runner = Runner::of(Some(script.0.clone()));
        runner.tell("a", "closed");
        for _ in 0..1_000 {
            runner.tell("a", "encrypting");
            runner.tell("b", "closed");
            runner.tell("a", "blocked");
        }
        assert_eq!(runner.conclude(LIMIT), Vec::<String>::new());
        assert_eq!(script.said(), "a closed\na blocked\nb closed\n");
    }

    #[test]
    fn what_fails_or_does_not_end_is_told() {
        let _alone = alone();
        let script = Script::new("fails", "#!/bin/sh\nexit 3\n");
        let mut runner = Runner::of(Some(script.0.clone()));
        runner.tell("corp", "closed");
        let failures = runner.conclude(LIMIT);
        assert!(failures[0].ends_with("for corp closed: exit status: 3"), "{failures:?}");
        let slow = Script::new("slow", "#!/bin/sh\nsleep 60 & sleep 60\n");
        let run = Run { program: slow.0.clone(), group: "corp".into(), state: "closed" };
        let begun = Instant::now();
        let failure = carry_out(&run, Duration::from_millis(200)).unwrap_err();
        assert!(failure.contains("took longer") && begun.elapsed() < LIMIT, "{failure}");
        let gone = Run { program: "/nonexistent".into(), ..run };
        assert!(carry_out(&gone, LIMIT).unwrap_err().contains("No such file"));
    }
}
