//! One registration as octets: the same as ever, and written for other programs to read.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::foreign::anonymous;
use crate::bench::pcap::pcap;
use crate::bench::rogue::Rogue;
use crate::bench::{Flight, Link, World};
use gdoi::policy::Doi;
use gdoi::MemberConfig;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const MEMBER_SEED: u64 = 2;

/// A registration with everything that the protocol has: three ACL entries, GAP, KEK.
pub fn registration(doi: Doi) -> Vec<Flight> {
    registration_in(World::new(5, Link::CALM), doi)
}

/// The same by a member of other software: each entry in a SAT.
pub fn foreign_registration(doi: Doi) -> Vec<Flight> {
    let mut world = World::new(5, Link::CALM);
    world.meddle = Box::new(anonymous);
    let mut flights = registration_in(world, doi);
    // Both first messages are answered; the member goes on with the answer that came first.
    flights.remove(2);
    flights
}

fn registration_in(mut world: World, doi: Doi) -> Vec<Flight> {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    world.add_server(server_address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(MemberConfig { doi, ..member_config(1) }, MEMBER_SEED));
    world.run_for(Duration::from_secs(10));
    assert!(world.view(member_address(1)).registered);
    world.sent
}

pub fn insider(flights: &[Flight]) -> Rogue {
    let phase1: Vec<_> = flights[..6].iter().map(|flight| &flight.payload[..]).collect();
    Rogue::overhear(MEMBER_SEED, &phase1)
}

fn text(flights: &[Flight]) -> String {
    let mut text = String::new();
    for flight in flights {
        writeln!(text, "{} > {}", flight.from, flight.to).unwrap();
        for line in flight.payload.chunks(32) {
            line.iter().for_each(|octet| write!(text, "{octet:02x}").unwrap());
            text.push('\n');
        }
    }
    text
}

/// A change of the wire format is a decision: `WRITE_GOLDEN=1 cargo test -p gdoi --test exchanges golden` makes it.
#[test]
fn golden() {
    for (name, doi) in [("doi-gdoi", Doi::Gdoi), ("doi-ipsec", Doi::Ipsec)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges/golden").join(name);
        let now = text(&registration(doi));
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap();
        let differs = before.lines().zip(now.lines()).position(|(before, now)| before != now);
        assert!(before == now, "{name} differs in line {differs:?}");
    }
}

/// The line of tshark's `ikev1_decryption_table`: initiator cookie and cipher key.
pub fn decryption(insider: &Rogue) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    format!("{},{}", hex(&insider.cookies.initiator.0), hex(insider.cipher_key().expose()))
}

/// Writes the capture where people find it, the key beside it, and says where.
pub fn write_capture(name: &str, flights: &[Flight], insider: &Rogue) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("transcripts");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    write(&path.with_extension("key"), decryption(insider).as_bytes());
    write(&path.with_extension("pcap"), &pcap(flights));
    path.with_extension("pcap")
}

/// At once: tests run side by side, and several write the same file.
fn write(path: &Path, contents: &[u8]) {
    let own = path.with_extension(format!("{:?}", std::thread::current().id()));
    std::fs::write(&own, contents).unwrap();
    std::fs::rename(own, path).unwrap();
}
