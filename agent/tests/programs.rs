//! The programs as operators run them, as far as that needs no privilege.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::{Endpoint, Instant, Output};
use gdoi::policy::{Doi, GroupId, Identity, Proposal};
use gdoi::{GroupName, Member, MemberConfig, ServerEntry};
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

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with a key server's configuration, and what runs in it.
struct Scene {
    directory: PathBuf,
    server: SocketAddr,
    daemon: Option<Child>,
    manager: Option<UnixDatagram>,
}

impl Scene {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("gdoi-programs-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let scene = Scene { directory, server, daemon: None, manager: None };
        scene.configure("10.0.0.0/8");
        scene
    }

    fn configure(&self, prefix: &str) {
        let text = format!(
            r#"address: 127.0.0.1
port: {}
control-socket: {}
pre-shared-keys: [{{address: 127.0.0.0/8, key: "only for tests"}}]
groups:
  - name: corp
    identity-number: 100
    server-local:
      sa-ipsec: {{match-address: [permit ip {prefix} 10.0.0.0/8]}}
"#,
            self.server.port(),
            self.path("ks.sock").display()
        );
        fs::write(self.path("ks.yaml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the key server and waits until it says that it is ready.
    fn start(&mut self) {
        let manager = UnixDatagram::bind(self.path("notify.sock")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
            .arg("--config")
            .arg(self.path("ks.yaml"))
            .env("NOTIFY_SOCKET", self.path("notify.sock"))
            .env_remove("RUST_LOG")
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

    fn signal(&self, signal: Signal) {
        let id = self.daemon.as_ref().unwrap().id();
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    fn await_log(&self, words: &str) {
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

    fn ctl(&self, words: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gdoictl"));
        command.arg("--socket").arg(self.path("ks.sock")).args(words).stdin(Stdio::null()).output().unwrap()
    }

    fn text(&self, words: &[&str]) -> String {
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

/// Registers a member from 127.0.0.1 and answers the number of its ACL entries.
fn register(server: SocketAddr) -> usize {
    let mut member = Member::new(
        MemberConfig {
            group: GroupName { name: "corp".into(), id: GroupId(100) },
            servers: vec![ServerEntry { address: server, psk: Secret::from(&b"only for tests"[..]) }],
            identity: Identity::Fqdn("gm1.example".into()),
            proposal: Proposal::default(),
            doi: Doi::default(),
        },
        Box::new(SystemRandom),
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Clock::now();
    let now = || Instant::from_millis(1_000 + begun.elapsed().as_millis() as u64);
    let mut buffer = [0; 65_535];
    while !member.view(now()).registered {
        assert!(begun.elapsed() < PATIENCE, "no registration");
        member.handle_timeout(now());
        while let output @ (Output::Transmit(_) | Output::Event(_)) = member.poll() {
            if let Output::Transmit(transmit) = output {
                socket.send_to(&transmit.payload, transmit.to).unwrap();
            }
        }
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            member.handle_datagram(from, &buffer[..length], now());
        }
    }
    member.view(now()).acl.entries().len()
}

#[test]
fn a_key_server_serves_reports_reloads_and_stops() {
    let mut scene = Scene::new("serve");
    scene.start();
    assert_eq!(register(scene.server), 1);
    scene.await_log("KS_REGS_COMPL");

    let members: Value = serde_json::from_str(&scene.text(&["show", "ks", "members", "--json"])).unwrap();
    assert_eq!(members["groups"][0]["members"][0]["identity"], "gm1.example");
    assert_eq!(members["groups"][0]["members"][0]["same_software"], true);
    assert!(scene.text(&["show", "ks"]).contains("1 registered, 0 registrations refused"));
    assert!(scene.text(&["show", "ks", "policy"]).contains("permit ip 10.0.0.0/8 10.0.0.0/8"));
    assert!(scene.text(&["show", "events"]).contains("KS_REGS_COMPL"));
    let wrong = scene.ctl(&["show", "gm"]);
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("not the group member's"));

    scene.signal(Signal::SIGHUP);
    scene.await_log("CONFIG_UNCHANGED");
    scene.configure("10.0.0.0/16");
    scene.signal(Signal::SIGHUP);
    scene.await_log("restart needed");
    scene.configure("10.0.0.1/8");
    scene.signal(Signal::SIGHUP);
    scene.await_log("ks.yaml:9: groups[0].server-local.sa-ipsec.match-address[0]: ");
    assert!(
        scene.text(&["show", "ks", "policy"]).contains("permit ip 10.0.0.0/8 10.0.0.0/8"),
        "nothing has changed"
    );

    scene.signal(Signal::SIGTERM);
    let status = scene.daemon.take().unwrap().wait().unwrap();
    assert!(status.success(), "{status:?}");
    assert!(!scene.path("ks.sock").exists());
    let log = fs::read_to_string(scene.path("ks.log")).unwrap();
    assert!(!log.contains("only for tests"), "{log}");
}

#[test]
fn an_absent_daemon_is_one_line_and_a_failure() {
    let scene = Scene::new("absent");
    let finished = scene.ctl(&["show", "ks", "--json"]);
    assert_eq!(finished.status.code(), Some(1));
    let socket = scene.path("ks.sock");
    assert_eq!(
        String::from_utf8(finished.stderr).unwrap(),
        format!("gdoictl: {}: the daemon is not running\n", socket.display())
    );
}

#[test]
fn checks_answer_with_their_status() {
    let scene = Scene::new("check");
    let file = scene.path("ks.yaml");
    let ok = format!("{}: ok\n", file.display());
    let daemon =
        |program: &str| Command::new(program).arg("--check").arg("--config").arg(&file).output().unwrap();
    let (server, member) = (env!("CARGO_BIN_EXE_gdoi-ks"), env!("CARGO_BIN_EXE_gdoi-gm"));
    let good = daemon(server);
    assert_eq!((good.status.code(), String::from_utf8(good.stdout).unwrap()), (Some(0), ok.clone()));
    assert_eq!(scene.text(&["check", file.to_str().unwrap()]), ok);

    let foreign = daemon(member);
    assert_eq!((foreign.status.code(), foreign.stdout.is_empty()), (Some(1), true));
    fs::write(&file, "address: 127.0.0.1\nadress: 127.0.0.1\n").unwrap();
    let refused = scene.ctl(&["check", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.starts_with(&format!("{}:2: unknown field `adress`", file.display())), "{reason}");
}

#[test]
fn a_bad_configuration_stops_the_start() {
    let scene = Scene::new("bad");
    scene.configure("10.0.0.1/8");
    let finished = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
        .arg("--config")
        .arg(scene.path("ks.yaml"))
        .output()
        .unwrap();
    assert_eq!(finished.status.code(), Some(1));
    let log = String::from_utf8(finished.stderr).unwrap();
    assert!(log.contains("ERROR START_FAILED: ") && log.contains("did you mean 10.0.0.0/8?"), "{log}");
}

#[test]
fn helps_tell_the_defaults() {
    for (program, default) in [
        (env!("CARGO_BIN_EXE_gdoi-gm"), "[default: /etc/gdoi/gm.yaml]"),
        (env!("CARGO_BIN_EXE_gdoi-ks"), "[default: /etc/gdoi/ks.yaml]"),
        (env!("CARGO_BIN_EXE_gdoictl"), "[default: /run/gdoi/gm.sock or /run/gdoi/ks.sock"),
    ] {
        let finished = Command::new(program).arg("--help").output().unwrap();
        let text = String::from_utf8(finished.stdout).unwrap();
        assert!(finished.status.success() && text.contains(default), "{text}");
    }
}
