//! Two members with a host each and a plain core between them, in network namespaces:
//! h1 10.1.1.10 - gm1 192.0.2.1 - core - gm2 198.51.100.1 - h2 10.2.2.10

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{setns, CloneFlags};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use xfrm::{
    Ace, Action, Algorithm, Desired, EncryptionKey, Family, Gate, IntegrityKey, Kernel, Key, Lane, PathMtu,
    Plane, Prefix, Problem, Protection, Replay, Report, Sa, Selector, Slot, Spi,
};

pub const HOSTS: [&str; 5] = ["h1", "gm1", "core", "gm2", "h2"];
const TOPOLOGY: &str = include_str!("topology.sh");

/// One laboratory at a time: its namespaces have fixed names.
static TURN: Mutex<()> = Mutex::new(());

pub struct Lab {
    _turn: MutexGuard<'static, ()>,
}

/// What tcpdump saw at the core.
pub struct Capture {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Lab {
    /// Builds the laboratory, or says why it cannot be built here.
    pub fn build() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(reason) = reason_to_skip() {
            let required = std::env::var_os("LAB_KERNEL").is_some()
                || std::env::var("GDOI_KERNEL_TESTS").is_ok_and(|value| value == "require");
            assert!(!required, "kernel tests are required here, but {reason}");
            println!("skipped: {reason}");
            return None;
        }
        let lab = Self { _turn: turn };
        lab.shell(TOPOLOGY);
        Some(lab)
    }

    /// Runs a command line in a namespace; the test fails when the command does.
    pub fn run(&self, host: &str, command: &str) -> String {
        let (success, text) = self.attempt(host, command);
        assert!(success, "{host}: {command}: {text}");
        text
    }

    /// Runs a command line in a namespace and answers whether it succeeded, with all it said.
    pub fn attempt(&self, host: &str, command: &str) -> (bool, String) {
        let output =
            Command::new("ip").args(["netns", "exec", &name(host), "sh", "-c", command]).output().unwrap();
        (output.status.success(), text(&output))
    }

    /// Starts a command in a namespace.
    pub fn start(&self, host: &str, command: &str) -> Child {
        Command::new("ip")
            .args(["netns", "exec", &name(host), "sh", "-c", &format!("exec {command}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs code in a thread of its own that is in the namespace.
    pub fn within<T: Send + 'static>(&self, host: &str, code: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = namespace(host);
        let thread = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            code()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn kernel<T: Send + 'static>(
        &self,
        host: &str,
        code: impl FnOnce(&mut Kernel) -> T + Send + 'static,
    ) -> T {
        self.within(host, move || code(&mut Kernel::open().unwrap()))
    }

    pub fn apply(&self, host: &str, desired: &Desired) -> Report {
        let desired = desired.clone();
        let report = self.kernel(host, move |kernel| kernel.apply(&desired).unwrap());
        assert_eq!(report.problems, Vec::<String>::new());
        report
    }

    /// The same group and keys in both members.
    pub fn protect(&self, numbers: &[u32]) {
        for member in ["gm1", "gm2"] {
            self.apply(member, &protect(member, numbers));
        }
    }

    pub fn reaches(&self, host: &str, address: &str) -> bool {
        self.attempt(host, &format!("ping -n -c 1 -W 1 {address}")).0
    }

    /// Captures what the core's interface to gm1 carries.
    pub fn capture(&self) -> Capture {
        self.capture_with("-v ip")
    }

    /// The same with these words for tcpdump.
    pub fn capture_with(&self, words: &str) -> Capture {
        let mut child = self.start("core", &format!("tcpdump -n -l --immediate-mode -i p1 {words}"));
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("listening on") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "tcpdump: {said}");
        }
        let lines = BufReader::new(child.stdout.take().unwrap());
        Capture { child, lines }
    }

    fn shell(&self, script: &str) {
        let output = Command::new("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in HOSTS {
            let _ = Command::new("ip").args(["netns", "del", &name(host)]).output();
        }
    }
}

impl Capture {
    /// Ends the capture; one line per packet.
    pub fn finish(mut self) -> Vec<String> {
        // What was sent is in the kernel's buffer already, tcpdump only needs its turn to read it.
        thread::sleep(Duration::from_millis(200));
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        self.child.wait().unwrap();
        // With -v the addresses are on a line of their own, indented.
        text.replace("\n    ", " ").lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// The lines that tell of anything but ESP.
pub fn in_clear(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.contains("proto ESP (50)")).collect()
}

pub fn namespace(host: &str) -> File {
    File::open(format!("/run/netns/{}", name(host))).unwrap()
}

pub fn name(host: &str) -> String {
    format!("xfrm-{host}")
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn reason_to_skip() -> Option<&'static str> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON.get_or_init(find_reason_to_skip).as_deref()
}

fn find_reason_to_skip() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can build network namespaces".into());
    }
    for program in ["ip", "nft", "tcpdump", "ping", "iperf3"] {
        if Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            return Some(format!("the program {program} is missing"));
        }
    }
    xfrm::preflight().into_iter().find_map(|problem| match problem {
        Problem::Fatal(line) => Some(line),
        Problem::Warning(_) => None,
    })
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub fn prefix(address: [u8; 4], length: u8) -> Prefix {
    Prefix::new(address.into(), length).unwrap()
}

pub fn permit(source: Prefix, destination: Prefix) -> Ace {
    Ace { action: Action::Permit, selector: Selector::between(source, destination) }
}

pub fn acl() -> Vec<Ace> {
    vec![permit(prefix([10, 0, 0, 0], 8), prefix([10, 0, 0, 0], 8))]
}

/// Every packet of IPv4.
pub fn everything() -> Vec<Ace> {
    vec![permit(Prefix::any(Family::V4), Prefix::any(Family::V4))]
}

pub fn protecting(acl: Vec<Ace>, inbound: Vec<Sa>, outbound: Option<Sa>) -> Gate {
    Gate::Protect(Protection { acl, inbound, outbound: outbound.into_iter().collect(), ..Default::default() })
}

/// The SA with this number: SPI, keys and all.
pub fn sa(number: u32) -> Sa {
    let octet = number as u8;
    Sa {
        spi: Spi(0x8480_0000 + number),
        family: Family::V4,
        lane: Lane::Unicast,
        algorithm: Algorithm::Cbc {
            encryption: EncryptionKey::AesCbc256(Key::new([octet; 32])),
            integrity: IntegrityKey::HmacSha256(Key::new([octet; 32])),
        },
        replay: Replay::Off,
        hard_lifetime: None,
    }
}

pub fn plane(member: &str, gate: Gate) -> Plane {
    let local = if member == "gm1" { IpAddr::from([192, 0, 2, 1]) } else { IpAddr::from([198, 51, 100, 1]) };
    Plane {
        interface: "wan".into(),
        local,
        slot: Slot::new(0).unwrap(),
        servers: Vec::new(),
        rekey_group: None,
        clear: Vec::new(),
        mss: None,
        path_mtu: PathMtu::default(),
        gate,
    }
}

/// One plane that can receive all these SAs and sends with the last.
pub fn protect(member: &str, numbers: &[u32]) -> Desired {
    let inbound: Vec<_> = numbers.iter().map(|number| sa(*number)).collect();
    let outbound = inbound.last().cloned();
    Desired { planes: vec![plane(member, protecting(acl(), inbound, outbound))] }
}
