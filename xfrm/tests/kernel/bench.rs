//! A laboratory, and what its members want and its core sees.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use xfrm::{
    Ace, Action, Aead, Cipher, Desired, EspKeys, Family, Gate, Integrity, Kernel, Lane, PathMtu, Plane,
    Prefix, Problem, Protection, Replay, Report, Sa, Selector, SenderKey, SharedKeys, Slot, Spi,
};

use crate::capture::Capture;
use crate::place::Place;
use crate::topology;

pub struct Lab {
    place: Place,
}

/// Requests from h1 that all must be answered.
pub struct Flood(Child);

impl Lab {
    /// Builds the laboratory, or says why it cannot be built here.
    pub fn build() -> Option<Self> {
        if let Some(reason) = reason_to_skip() {
            let required = std::env::var_os("LAB_KERNEL").is_some()
                || std::env::var("GDOI_KERNEL_TESTS").is_ok_and(|value| value == "require");
            assert!(!required, "kernel tests are required here, but {reason}");
            say_skipped(reason);
            return None;
        }
        let place = Place::take();
        topology::build(&place);
        Some(Self { place })
    }

    /// Runs a command line in a namespace; the test fails when the command does.
    pub fn run(&self, host: &str, command: &str) -> String {
        let (success, text) = self.attempt(host, command);
        assert!(success, "{host}: {command}: {text}");
        text
    }

    /// Runs a command line in a namespace and answers whether it succeeded, with all it said.
    pub fn attempt(&self, host: &str, command: &str) -> (bool, String) {
        let output = self.place.shell(host, command, |shell| shell.output().unwrap());
        (output.status.success(), text(&output))
    }

    /// Starts a command in a namespace.
    pub fn start(&self, host: &str, command: &str) -> Child {
        self.place.shell(host, &format!("exec {command}"), |shell| {
            shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
    }

    /// Runs code in a thread of its own that is in the namespace.
    pub fn within<T: Send>(&self, host: &str, code: impl FnOnce() -> T + Send) -> T {
        self.place.within(host, code)
    }

    /// The name of a namespace for commands.
    pub fn name(&self, host: &str) -> String {
        self.place.name(host)
    }

    pub fn namespace(&self, host: &str) -> File {
        self.place.namespace(host)
    }

    pub fn kernel<T: Send>(&self, host: &str, code: impl FnOnce(&mut Kernel) -> T + Send) -> T {
        self.within(host, || code(&mut Kernel::open().unwrap()))
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

    /// Captures the IPv6 that the core's interface to gm1 carries, less what the link itself needs.
    pub fn capture_ipv6(&self) -> Capture {
        self.capture_with("-v 'ip6 and ip6[6] != 0 and not (icmp6 and ip6[40] >= 133)'")
    }

    /// Captures what the core's interface to gm1 carries, with these words for tcpdump.
    pub fn capture_with(&self, words: &str) -> Capture {
        self.capture_at("core", "p1", words)
    }

    pub fn capture_at(&self, host: &str, interface: &str, words: &str) -> Capture {
        Capture::begin(self.start(host, &format!("tcpdump -n -l --immediate-mode -i {interface} {words}")))
    }
}

impl Flood {
    /// 500 packets a second for some seconds.
    pub fn start(lab: &Lab, address: &str) -> Self {
        Self(lab.start("h1", &format!("ping -n -q -i 0.002 -w 6 {address}")))
    }

    /// Works as long as packets flow, and two rounds at least.
    pub fn through_rounds(mut self, mut work: impl FnMut(u32)) {
        let mut round = 0;
        while round < 2 || self.0.try_wait().unwrap().is_none() {
            round += 1;
            work(round);
        }
        println!("{round} rounds");
        self.finish();
    }

    pub fn finish(self) {
        let said = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        println!("{text}");
        assert!(text.contains(" 0% packet loss"), "{text}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        topology::remove(&self.place);
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn reason_to_skip() -> Option<&'static str> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON.get_or_init(find_reason_to_skip).as_deref()
}

/// Past the test harness, which keeps what a test prints and counts it as passed: who counts tests reads this.
fn say_skipped(reason: &str) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("a kernel test");
    let line = format!("SKIPPED {name}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn find_reason_to_skip() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can build network namespaces".into());
    }
    for program in ["ip", "nft", "tcpdump", "ping", "iperf3", "smcrouted"] {
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
    xfrm::preflight(xfrm::Uses::default()).into_iter().find_map(|problem| match problem {
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
    Ace { action: Action::Permit, selector: between(source, destination) }
}

/// All packets from one prefix to another.
pub fn between(source: Prefix, destination: Prefix) -> Selector {
    Selector::new(None, source.into(), destination.into()).unwrap()
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
        keys: shared((Cipher::AesCbc256, octet), (Integrity::HmacSha256, octet)),
        replay: Replay::Off,
        hard_lifetime: None,
    }
}

/// Keys of all senders, each of one octet many times.
pub fn shared((cipher, octet): (Cipher, u8), (integrity, other): (Integrity, u8)) -> EspKeys {
    let encryption = vec![octet; cipher.key_len()].into();
    let authentication = vec![other; integrity.key_len()].into();
    EspKeys::Shared(SharedKeys::new((cipher, encryption), (integrity, authentication)).unwrap())
}

/// The key of one sender, of one octet many times.
pub fn of_sender(aead: Aead, octet: u8) -> EspKeys {
    let secret = vec![octet; aead.key_len() + Aead::SALT_LEN].into();
    EspKeys::Sender(SenderKey::new(aead, secret).unwrap())
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

/// A prefix from its usual text.
pub fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// What both members' hosts have in IPv6.
pub fn acl_ipv6() -> Vec<Ace> {
    vec![permit(net("2001:db8:a0::/44"), net("2001:db8:a0::/44"))]
}

/// AES-GCM of one sender for one kind of traffic.
pub fn sent_by(member: &str, family: Family, lane: Lane) -> Sa {
    let traffic = match (family, lane) {
        (Family::V4, _) => 0,
        (Family::V6, Lane::Unicast) => 1,
        (Family::V6, Lane::Multicast) => 3,
    };
    let octet = if member == "gm1" { 0x10 + traffic } else { 0x20 + traffic };
    Sa {
        spi: Spi(0x9000_0000 + u32::from(octet)),
        family,
        lane,
        keys: of_sender(Aead::AesGcm256, octet),
        replay: Replay::Off,
        hard_lifetime: None,
    }
}

/// Both families, and IPv6 multicast, with keys per sender.
pub fn dual(member: &str, acl: Vec<Ace>) -> Plane {
    let other = if member == "gm1" { "gm2" } else { "gm1" };
    let kinds = [(Family::V4, Lane::Unicast), (Family::V6, Lane::Unicast), (Family::V6, Lane::Multicast)];
    let inbound = kinds.map(|(family, lane)| Sa { lane: Lane::Unicast, ..sent_by(other, family, lane) });
    let outbound = kinds.map(|(family, lane)| sent_by(member, family, lane));
    let protection =
        Protection { acl, inbound: inbound.into(), outbound: outbound.into(), ..Default::default() };
    plane(member, Gate::Protect(protection))
}

/// One plane that can receive all these SAs and sends with the last.
pub fn protect(member: &str, numbers: &[u32]) -> Desired {
    let inbound: Vec<_> = numbers.iter().map(|number| sa(*number)).collect();
    let outbound = inbound.last().cloned();
    Desired { planes: vec![plane(member, protecting(acl(), inbound, outbound))] }
}
