//! What the tests of the programs share: a key server daemon in a directory of its own, and routers that ask it.
#![allow(dead_code, reason = "not every test needs everything")]

use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::{Endpoint, Instant, Output};
use gdoi::phase1::Credential;
use gdoi::policy::{Doi, GroupId, Identity, Proposal};
use gdoi::{GroupName, Member, MemberConfig, MemberEvent, MemberStatus, ServerEntry, View};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output as Finished, Stdio};
use std::time::{Duration, Instant as Clock};

/// A group's key server rekeys its members.
pub const REKEY: &str = "      rekey: {authentication: rekey.pem, retransmit: {interval: 3, number: 2}}\n";
/// It stores its state.
pub const STATE: &str = "state-directory: state\nstate-key-file: state.key\n";

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with a key server's configuration, and what runs in it.
pub struct Scene {
    pub directory: PathBuf,
    pub server: SocketAddr,
    pub daemon: Option<Child>,
    manager: Option<UnixDatagram>,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        Scene::at(name, "127.0.0.1")
    }

    /// The key server has this address.
    pub fn at(name: &str, address: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("gdoi-programs-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let server = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
        let scene = Scene { directory, server, daemon: None, manager: None };
        scene.configure("10.0.0.0/8");
        scene
    }

    /// A key server that rekeys and stores its state, started.
    pub fn storing(mut self) -> Self {
        let key = self.path("rekey.pem");
        self.text(&["ks", "key", "generate", key.to_str().unwrap()]);
        fs::write(self.path("state.key"), "0123456789abcdef".repeat(4) + "\n").unwrap();
        self.configure_with("10.0.0.0/8", REKEY, STATE);
        self.start();
        self
    }

    pub fn configure(&self, prefix: &str) {
        self.configure_with(prefix, "", "");
    }

    /// With these lines in the `server-local` of the group, and these at the end.
    pub fn configure_with(&self, prefix: &str, local: &str, end: &str) {
        let address = self.server.ip();
        let text = format!(
            r#"address: "{address}"
port: {}
control-socket: {}
pre-shared-keys: [{{address: 127.0.0.0/8, key: "only for tests"}}, {{address: "::/64", key: "only for tests"}}]
groups:
  - name: corp
    identity-number: 100
    server-local:
      sa-ipsec: {{match-address: [permit ip {prefix} 10.0.0.0/8]}}
{local}{end}"#,
            self.server.port(),
            self.path("ks.sock").display()
        );
        fs::write(self.path("ks.yaml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the key server and waits until it says that it is ready.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    pub fn start_with(&mut self, flags: &[&str]) {
        self.start_logging("info", flags);
    }

    /// With all that it and what it is made of can say.
    pub fn start_at_trace(&mut self) {
        self.start_logging("trace", &[]);
    }

    pub fn start_at_debug(&mut self) {
        self.start_logging("debug", &[]);
    }

    fn start_logging(&mut self, level: &str, flags: &[&str]) {
        let _ = fs::remove_file(self.path("notify.sock"));
        let manager = UnixDatagram::bind(self.path("notify.sock")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
            .arg("--config")
            .arg(self.path("ks.yaml"))
            .args(flags)
            .env("NOTIFY_SOCKET", self.path("notify.sock"))
            .env("RUST_LOG", level)
            .stderr(fs::File::create(self.path("ks.log")).unwrap())
            .spawn();
        self.daemon = Some(daemon.unwrap());
        let mut state = [0; 100];
        // A socket with a time limit is not resumed after a signal, whoever got it.
        let length = loop {
            match manager.recv(&mut state) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        assert_eq!(&state[..length], b"READY=1");
        self.manager = Some(manager);
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.daemon.as_ref().unwrap().id();
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    pub fn await_log(&self, words: &str) {
        let begun = Clock::now();
        loop {
            let log = fs::read_to_string(self.path("ks.log")).unwrap();
            if log.contains(words) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{words} is not in the log: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the key server without any warning.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Runs the key server, which is expected to end by itself; its log.
    pub fn refused(&self) -> String {
        self.refused_with(&[])
    }

    pub fn refused_with(&self, flags: &[&str]) -> String {
        let daemon = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
            .arg("--config")
            .arg(self.path("ks.yaml"))
            .args(flags)
            .stderr(fs::File::create(self.path("refused.log")).unwrap())
            .spawn();
        let (mut daemon, begun) = (daemon.unwrap(), Clock::now());
        let ended = loop {
            match daemon.try_wait().unwrap() {
                None if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                ended => break ended,
            }
        };
        if ended.is_none() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let log = fs::read_to_string(self.path("refused.log")).unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(1), "{log}");
        log
    }

    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[words, &["--json"]].concat())).unwrap()
    }

    pub fn ctl(&self, words: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gdoictl"));
        command.arg("--socket").arg(self.path("ks.sock")).args(words).stdin(Stdio::null()).output().unwrap()
    }

    pub fn text(&self, words: &[&str]) -> String {
        let finished = self.ctl(words);
        assert!(finished.status.success(), "{finished:?}");
        String::from_utf8(finished.stdout).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A member of the group on the loopback interface, on a port of its own.
pub struct Router {
    member: Member,
    socket: UdpSocket,
    begun: Clock,
    pub events: Vec<MemberEvent>,
}

impl Router {
    /// Registers.
    pub fn register(server: SocketAddr) -> Self {
        let config = MemberConfig {
            sender_ids: 4,
            group: GroupName { name: "corp".into(), id: GroupId(100) },
            servers: vec![ServerEntry {
                address: server,
                credential: Credential::PreSharedKey(Secret::from(&b"only for tests"[..])),
            }],
            identity: Identity::Fqdn("gm1.example".into()),
            proposal: Proposal::default(),
            doi: Doi::default(),
        };
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let member = Member::new(config, Box::new(SystemRandom));
        let mut router = Router { member, socket, begun: Clock::now(), events: Vec::new() };
        router.run_until("no registration", |router| router.view().registered);
        router
    }

    pub fn view(&self) -> View {
        self.member.view(self.now())
    }

    pub fn status(&self) -> MemberStatus {
        self.member.status(self.now())
    }

    fn now(&self) -> Instant {
        Instant::from_millis(1_000 + self.begun.elapsed().as_millis() as u64)
    }

    /// Lets it live until `done` says so.
    pub fn run_until(&mut self, otherwise: &str, done: impl Fn(&Router) -> bool) {
        let begun = Clock::now();
        let mut buffer = [0; 65_535];
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "{otherwise}: {:?}", self.events);
            self.member.handle_timeout(self.now());
            self.speak();
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                self.member.handle_datagram(from, &buffer[..length], self.now());
                self.speak();
            }
        }
    }

    fn speak(&mut self) {
        loop {
            match self.member.poll() {
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.payload, transmit.to).unwrap();
                }
                Output::Event(event) => self.events.push(event),
                Output::Store(_) => {}
                Output::Wait(_) => return,
            }
        }
    }
}
