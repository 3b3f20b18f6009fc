//! The key servers: real daemons.

use super::place::Place;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Three of them, the first of which is primary.
pub struct Servers {
    directory: PathBuf,
    daemons: Vec<Child>,
}

impl Servers {
    /// Until one of them is primary and all see each other.
    pub fn start(place: &Place) -> Self {
        let directory = std::env::temp_dir().join(format!("gdoi-hostile-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let mut servers = Servers { directory, daemons: Vec::new() };
        let key = servers.path(0, "rekey.pem");
        let mut make = Command::new(env!("CARGO_BIN_EXE_gdoictl"));
        make.args(["ks", "key", "generate"]).arg(key).stdout(Stdio::null());
        assert!(make.status().unwrap().success());
        for number in 1..=3 {
            servers.launch(place, number);
        }
        servers.await_order();
        servers
    }

    fn path(&self, number: u8, name: &str) -> PathBuf {
        match number {
            0 => self.directory.join(name),
            number => self.directory.join(format!("{number}-{name}")),
        }
    }

    fn launch(&mut self, place: &Place, number: u8) {
        let config = self.path(number, "ks.yaml");
        fs::write(self.path(number, "state.key"), [number; 32]).unwrap();
        fs::write(&config, self.configuration(place, number)).unwrap();
        let log = fs::File::create(self.path(number, "ks.log")).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
            .arg("--config")
            .arg(config)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .stderr(log)
            .spawn();
        self.daemons.push(daemon.unwrap());
    }

    fn configuration(&self, place: &Place, number: u8) -> String {
        let others: Vec<_> = (1..=3).filter(|other| *other != number).collect();
        let address = |number: u8| format!("\"{}\"", place.server(number).ip());
        let quoted = |path: PathBuf| path.display().to_string();
        let mut keys: Vec<_> = place
            .peers()
            .iter()
            .map(|prefix| format!("  - {{address: \"{prefix}\", key: \"{}\"}}\n", super::fleet::KEY))
            .collect();
        keys.extend(others.iter().map(|other| {
            format!("  - {{address: {}, key: \"what key servers tell each other\"}}\n", address(*other))
        }));
        let peers: Vec<_> = others.iter().map(|other| address(*other)).collect();
        format!(
            "address: {own}\ncontrol-socket: {socket}\nstate-directory: {state}\nstate-key-file: {key}\n\
             pre-shared-keys:\n{keys}groups:\n  - name: corp\n    identity-number: 100\n    server-local:\n      \
             rekey: {{authentication: {rekey}}}\n      redundancy: {{local-priority: {priority}, peers: [{peers}]}}\n      \
             sa-ipsec: {{match-address: [permit ip 10.0.0.0/8 10.0.0.0/8]}}\n",
            own = address(number),
            socket = quoted(self.path(number, "ks.sock")),
            state = quoted(self.path(number, "state")),
            key = quoted(self.path(number, "state.key")),
            keys = keys.concat(),
            rekey = quoted(self.path(0, "rekey.pem")),
            priority = 100 - number,
            peers = peers.join(", "),
        )
    }

    fn ask(&self, number: u8, words: &[&str]) -> Option<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gdoictl"));
        let answer = command.arg("--socket").arg(self.path(number, "ks.sock")).args(words).output().unwrap();
        answer.status.success().then(|| String::from_utf8(answer.stdout).unwrap())
    }

    fn coop(&self, number: u8) -> Option<Value> {
        let report: Value =
            serde_json::from_str(&self.ask(number, &["show", "ks", "coop", "--json"])?).unwrap();
        Some(report["groups"][0]["redundancy"].clone())
    }

    fn await_order(&self) {
        let begun = Instant::now();
        let in_order = |number: u8| {
            let role = if number == 1 { "primary" } else { "secondary" };
            self.coop(number).is_some_and(|coop| {
                let peers = coop["peers"].as_array().cloned().unwrap_or_default();
                let alive = peers.iter().filter(|peer| peer["alive"] == true || peer["state"] == "alive");
                coop["role"] == role && alive.count() == 2
            })
        };
        while !(1..=3).all(in_order) {
            assert!(begun.elapsed() < PATIENCE, "no primary: {:?}", self.coop(1));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn elections(&self) -> u64 {
        (1..=3).filter_map(|number| self.coop(number)?["elections"].as_u64()).sum()
    }

    pub fn rekey(&self) {
        self.ask(1, &["ks", "rekey"]).unwrap();
    }

    fn proc(&self, index: usize, name: &str) -> String {
        let path = Path::new("/proc").join(self.daemons[index].id().to_string()).join(name);
        fs::read_to_string(path).unwrap()
    }

    /// The most that any of them had resident, KiB.
    pub fn memory(&self) -> u64 {
        let of = |index: usize| {
            let status = self.proc(index, "status");
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().to_owned();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        (0..3).map(of).max().unwrap()
    }

    /// How much of the time each of them used, since it started.
    pub fn processor_times(&self, span: Duration) -> String {
        let of = |index: usize| {
            let stat = self.proc(index, "stat");
            let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
            format!("{:.1} s", ticks as f64 / 100.0)
        };
        format!("{} of {} s and the start", (0..3).map(of).collect::<Vec<_>>().join(", "), span.as_secs())
    }

    /// Datagrams to servers and members that came when a socket's buffer was full.
    pub fn dropped(&self) -> u64 {
        drops(848)
    }
}

/// How many of a port's datagrams found the buffer of their socket full.
pub fn drops(port: u16) -> u64 {
    let port = format!(":{port:04X}");
    let of = |file: &str| {
        let table = fs::read_to_string(file).unwrap_or_default();
        let here = |line: &&str| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&port));
        let drops = |line: &str| line.split_whitespace().last()?.parse::<u64>().ok();
        table.lines().filter(here).filter_map(drops).sum::<u64>()
    };
    of("/proc/net/udp") + of("/proc/net/udp6")
}

impl Drop for Servers {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::env::var_os("HOSTILE_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
