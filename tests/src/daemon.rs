//! The project's daemons on the hosts of the lab.

use crate::eventually::{eventually, settled};
use crate::host::{command, Host};
use crate::outcome::{failed, Outcome, Stop};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::{json, Value};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STOP_LIMIT: Duration = Duration::from_secs(60);
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// gdoi-gm
    Member,
    /// gdoi-ks
    KeyServer,
}

impl Role {
    fn program(self) -> &'static str {
        match self {
            Role::Member => "gdoi-gm",
            Role::KeyServer => "gdoi-ks",
        }
    }
}

/// Where programs are found, and where configurations and logs are kept for a look afterwards.
#[derive(Debug)]
pub struct Places {
    /// The folder of gdoi-gm, gdoi-ks and gdoictl.
    pub programs: PathBuf,
    /// The folder that is left behind.
    pub out: PathBuf,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    given: u32,
    logs: Vec<PathBuf>,
}

impl Places {
    /// Programs come from where this one is; the rest goes to $LAB_OUT/run, which begins empty.
    pub fn of_this_run() -> Outcome<Self> {
        let this = std::env::current_exe()?;
        let programs = this.parent().unwrap_or(Path::new("/")).to_owned();
        let out = left_behind().join("run");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(&out)?;
        Ok(Places { programs, out, names: Mutex::default() })
    }

    /// A name for the files of the next process.
    pub fn next_name(&self, what: &str) -> String {
        let mut names = self.names();
        names.given += 1;
        format!("{:02}-{what}", names.given)
    }

    /// Where the member on a host stores what it protects.
    pub fn state_of(&self, host: &str) -> PathBuf {
        self.out.join(format!("{host}-state"))
    }

    /// Where the member on a host tells other programs of its groups.
    pub fn groups_of(&self, host: &str) -> PathBuf {
        let out = fs::canonicalize(&self.out).unwrap_or_else(|_| self.out.clone());
        out.join(format!("{host}-groups"))
    }

    /// The logs of daemons, oldest first.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.names().logs.clone()
    }

    /// Begins with an empty list of logs; the files stay.
    pub fn forget_logs(&self) {
        self.names().logs.clear();
    }

    /// The file for the log of the process of this name.
    pub fn log(&self, name: &str) -> PathBuf {
        let log = self.out.join(format!("{name}.log"));
        self.names().logs.push(log.clone());
        log
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of all that a lab leaves behind: $LAB_OUT, or else target/lab.
pub fn left_behind() -> PathBuf {
    std::env::var_os("LAB_OUT").map_or_else(|| "target/lab".into(), PathBuf::from)
}

/// What else a daemon is started with.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Another program, which starts the command line behind its own, such as `ip vrf exec red`.
    pub through: &'static str,
    /// More in its environment.
    pub environment: Vec<(&'static str, PathBuf)>,
}

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    host: Arc<Host>,
    role: Role,
    file: PathBuf,
    socket: PathBuf,
    places: Arc<Places>,
    program: PathBuf,
    groups: Option<PathBuf>,
    launched: Launch,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Writes the configuration, with a control socket of the host's own, and starts the daemon.
    pub fn start(places: &Arc<Places>, host: Arc<Host>, role: Role, config: Value) -> Outcome<Self> {
        Self::start_with(places, host, role, config, Launch::default())
    }

    /// The same with more.
    pub fn start_with(
        places: &Arc<Places>,
        host: Arc<Host>,
        role: Role,
        config: Value,
        launched: Launch,
    ) -> Outcome<Self> {
        let socket = PathBuf::from(format!("/run/lab-{}.sock", host.name()));
        let name = places.next_name(&format!("{}-{}", host.name(), role.program()));
        let file = places.out.join(format!("{name}.yaml"));
        let groups = (role == Role::Member).then(|| places.groups_of(host.name()));
        write(&file, &socket, groups.as_deref(), config)?;
        let log = places.log(&name);
        let program = places.programs.join(role.program());
        let child = launch(places, &host, role, (&program, &launched), &file, &log)?;
        let places = places.clone();
        Ok(Daemon { host, role, file, socket, places, program, groups, launched, child, log })
    }

    /// Starts it again, after its end, with a log of its own.
    pub fn start_again(&mut self) -> Outcome {
        let name = self.places.next_name(&format!("{}-{}", self.host.name(), self.role.program()));
        self.log = self.places.log(&name);
        let run = (&*self.program, &self.launched);
        self.child = launch(&self.places, &self.host, self.role, run, &self.file, &self.log)?;
        Ok(())
    }

    /// Puts another file in the place of its program while it runs, as a package manager does.
    pub fn replace_program(&mut self) -> Outcome {
        let name = format!("{}-{}", self.host.name(), self.role.program());
        let (place, unpacked) = (self.places.out.join(&name), self.places.out.join(format!("{name}.new")));
        fs::copy(self.places.programs.join(self.role.program()), &unpacked)?;
        fs::rename(unpacked, &place)?;
        self.program = place;
        Ok(())
    }

    /// Writes another configuration, which the daemon has yet to be told of.
    pub fn configure(&self, config: Value) -> Outcome {
        write(&self.file, &self.socket, self.groups.as_deref(), config)
    }

    /// Changes its configuration, of which it has yet to be told.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Value)) -> Outcome {
        let mut config = serde_json::from_str(&fs::read_to_string(&self.file)?)?;
        change(&mut config);
        self.configure(config)
    }

    /// Changes the text of its configuration in one place, which need not make sense then.
    pub fn misspell(&self, from: &str, to: &str) -> Outcome {
        let text = fs::read_to_string(&self.file)?;
        match text.contains(from) {
            true => Ok(fs::write(&self.file, text.replacen(from, to, 1))?),
            false => failed(format!("the configuration has no {from}")),
        }
    }

    /// Waits until a start has failed with these words.
    pub fn fails(&mut self, words: &[&str]) -> Outcome {
        let what = format!("{} on {} refuses to start", self.role.program(), self.host.name());
        let status = eventually(&what, STOP_LIMIT, || self.child.try_wait().map_err(Stop::from))?;
        let log = self.log()?;
        let said = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        match said && !status.success() {
            true => Ok(()),
            false => failed(format!("{what}: {status}, {log}")),
        }
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> Outcome<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits for a line in its log that has all of these words; fails at once when the daemon ends before.
    pub fn says(&mut self, words: &[&str], limit: Duration) -> Outcome<String> {
        let what = format!("{} on {} logs {words:?}", self.role.program(), self.host.name());
        eventually(&what, limit, || {
            let end = self.child.try_wait()?;
            let log = self.log()?;
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            match (line, end) {
                (Some(line), _) => Ok(Some(line.to_owned())),
                (None, Some(status)) => failed(format!("{what}: but it ended, {status}")),
                (None, None) => Ok(None),
            }
        })
    }

    /// Waits until it has logged nothing for so long: what it does by itself about what happened before is over then.
    pub fn is_silent(&self, span: Duration) -> Outcome {
        let what = format!("{} on {} is silent", self.role.program(), self.host.name());
        settled(&what, span, SILENCE_LIMIT, || Ok(self.log()?.len())).map(drop)
    }

    /// What gdoictl answers in JSON.
    pub fn show(&self, request: &str) -> Outcome<Value> {
        let text = self.control(&format!("--json show {request}"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What gdoictl prints.
    pub fn control(&self, arguments: &str) -> Outcome<String> {
        self.host.must(&self.gdoictl(arguments))
    }

    /// Why gdoictl has not done what it was asked for.
    pub fn refusal(&self, arguments: &str) -> Outcome<String> {
        let answer = self.host.run(&self.gdoictl(arguments))?;
        match answer.success {
            false => Ok(answer.stderr),
            true => failed(format!("{}: `{arguments}` was not refused: {}", self.host.name(), answer.stdout)),
        }
    }

    /// Starts gdoictl and does not wait for its end.
    pub fn request(&self, arguments: &str) -> Outcome<Child> {
        let mut request = command(&self.gdoictl(arguments));
        request.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.host.spawn(request)
    }

    fn gdoictl(&self, arguments: &str) -> String {
        let gdoictl = self.places.programs.join("gdoictl");
        format!("{} --socket {} {arguments}", gdoictl.display(), self.socket.display())
    }

    /// Ends it without any warning.
    pub fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits.
    pub fn terminate(&mut self) -> Outcome<ExitStatus> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        self.end()
    }

    /// Waits until it has ended.
    pub fn end(&mut self) -> Outcome<ExitStatus> {
        let what = format!("{} on {} ends", self.role.program(), self.host.name());
        eventually(&what, STOP_LIMIT, || self.child.try_wait().map_err(Stop::from))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn write(file: &Path, socket: &Path, groups: Option<&Path>, mut config: Value) -> Outcome {
    config["control-socket"] = json!(socket);
    if let Some(groups) = groups {
        config["groups-directory"] = json!(groups);
    }
    let mut writer = File::options().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(writer.write_all(serde_json::to_string_pretty(&config)?.as_bytes())?)
}

fn launch(
    places: &Places,
    host: &Host,
    role: Role,
    (program, launched): (&Path, &Launch),
    file: &Path,
    log: &Path,
) -> Outcome<Child> {
    let mut daemon = command(&format!("{} {} --config", launched.through, program.display()));
    daemon.arg(file).stdin(Stdio::null()).envs(launched.environment.iter().cloned());
    if role == Role::Member {
        daemon.arg("--state-directory").arg(places.state_of(host.name()));
    }
    daemon.stdout(File::create(log)?).stderr(File::options().append(true).open(log)?);
    host.spawn(daemon)
}
