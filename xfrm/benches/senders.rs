//! What a large group costs a member: `senders [SENDERS [PLANES [ENTRIES]]]` (1,000, 1 and 1), as root in a kernel with ESP
//! (`scripts/lab`). It works in a network namespace of its own and leaves nothing behind.

// A bench panics where a test would.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{unshare, CloneFlags};
use xfrm::{
    Ace, Action, Aead, Desired, EspKeys, Family, Gate, Kernel, Lane, PathMtu, Plane, Prefix, Protection,
    Replay, Sa, Selector, SenderKey, Slot, Spi, SpiBlock,
};

const INTERFACE: &str = "wan";

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let senders: u32 = numbers.next().unwrap_or(1000);
    let planes = numbers.next().map_or(1, |planes| planes as u8);
    let entries = numbers.next().unwrap_or(1);
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    shell(&format!(
        "ip link set lo up; ip link add {INTERFACE} type veth peer name core; ip link set {INTERFACE} up"
    ));
    println!("{senders} senders, {planes} planes, {entries} entries, AES-256-GCM, window 1024");
    let mut kernel = Kernel::open().unwrap();
    let want = |keys: &[u32], senders| desired(planes, &access_list(entries), keys, senders);
    let free = free_memory();
    apply(&mut kernel, "install the states of all senders", &want(&[1], senders));
    println!("{:>9.1} MB  kernel memory that they take", free.saturating_sub(free_memory()) as f64 / 1024.0);
    apply(&mut kernel, "apply again, nothing to do", &want(&[1], senders));
    apply(&mut kernel, "roll over: install those of the next key", &want(&[2, 1], senders));
    apply(&mut kernel, "apply again with both keys", &want(&[2, 1], senders));
    apply(&mut kernel, "roll over: switch", &want(&[1, 2], senders));
    apply(&mut kernel, "roll over: remove those of the old key", &want(&[2], senders));
    apply(&mut kernel, "remove all senders", &want(&[2], 0));
    admit(&mut kernel, senders);
    kernel.remove_all().unwrap();
}

fn apply(kernel: &mut Kernel, what: &str, desired: &Desired) {
    let start = Instant::now();
    let report = kernel.apply(desired).unwrap();
    tell(start.elapsed(), &format!("{what} ({} changes)", report.changes.len()));
}

/// As the daemon lets them in: so many at a time as it finds waiting at most.
fn admit(kernel: &mut Kernel, senders: u32) {
    let newcomers: Vec<_> =
        (1..=senders).map(|number| sender(2, number, Replay::Window { size: 1024, high: 0 })).collect();
    let start = Instant::now();
    for waiting in newcomers.chunks(64) {
        assert_eq!(kernel.admit(slot(0), waiting).received.len(), waiting.len());
    }
    tell(start.elapsed(), "admit all senders, 64 at a time");
}

fn tell(time: Duration, what: &str) {
    println!("{:>9.1} ms  {what}", time.as_secs_f64() * 1e3);
}

fn desired(planes: u8, acl: &[Ace], keys: &[u32], senders: u32) -> Desired {
    let plane = |number| {
        let first = 1000 * u32::from(number);
        Plane {
            interface: INTERFACE.into(),
            local: [192, 0, 2, 1].into(),
            slot: slot(number),
            servers: Vec::new(),
            rekey_group: None,
            clear: Vec::new(),
            mss: None,
            path_mtu: PathMtu::default(),
            gate: Gate::Protect(protection(acl, keys, first, senders)),
        }
    };
    Desired { planes: (0..planes).map(plane).collect() }
}

/// Pairs of hosts and, last, two prefixes.
fn access_list(entries: u32) -> Vec<Ace> {
    let net = |high, number: u32, length| {
        let [.., third, last] = number.to_be_bytes();
        Prefix::new([high, 16, third, last].into(), length).unwrap()
    };
    let permit = |source: Prefix, destination: Prefix| Ace {
        action: Action::Permit,
        selector: Selector::new(None, source.into(), destination.into()).unwrap(),
    };
    let ten = Prefix::new([10, 0, 0, 0].into(), 8).unwrap();
    let hosts = (1..entries).map(|number| permit(net(172, number, 32), net(173, number, 32)));
    hosts.chain([permit(ten, ten)]).collect()
}

/// Sends with the last of the keys.
fn protection(acl: &[Ace], keys: &[u32], own: u32, senders: u32) -> Protection {
    let window = Replay::Window { size: 1024, high: 0 };
    Protection {
        acl: acl.to_vec(),
        blocks: keys.iter().map(|key| block(*key)).collect(),
        inbound: keys
            .iter()
            .flat_map(|key| (1..=senders).map(|number| sender(*key, number, window)))
            .collect(),
        outbound: keys.last().map(|key| sender(*key, 100_000 + own, window)).into_iter().collect(),
        ..Default::default()
    }
}

fn sender(key: u32, number: u32, replay: Replay) -> Sa {
    let mut octets = vec![key as u8; 36];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Sa {
        spi: Spi(block(key).base().0 | number),
        family: Family::V4,
        lane: Lane::Unicast,
        keys: EspKeys::Sender(SenderKey::new(Aead::AesGcm256, octets.into()).unwrap()),
        replay,
        hard_lifetime: Some(Duration::from_secs(3600)),
    }
}

fn block(key: u32) -> SpiBlock {
    SpiBlock::new(Spi(0x8480_0000 + (key << 20)), 20).unwrap()
}

fn slot(number: u8) -> Slot {
    Slot::new(number).unwrap()
}

/// In KiB.
fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn shell(command: &str) {
    assert!(Command::new("sh").args(["-ec", command]).status().unwrap().success(), "{command}");
}
