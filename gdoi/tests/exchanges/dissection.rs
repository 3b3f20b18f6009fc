//! Somebody else's reading of our messages: tshark decrypts and dissects a registration.
//!
//! tshark 4.0 has limits. It learns the algorithms of phase 1 under DOI 1 only, so that with DOI 2 it reads the messages in
//! clear and no others. It calls exchange 32 Quick Mode. It names the attributes of SAK as if they were those of SAT. Behind a
//! GAP it reads no more of an SA payload, and it takes the ID data lengths of SAT for two octets, where RFC 6407 section 5.5.1
//! and RFC 3547 before it have one: for the SATs it gets the message once more without GAP and with wider lengths.

use crate::access::{config, thousand};
use crate::bench::fleet::{group, member, member_address, member_config, server, server_address};
use crate::bench::rogue::Rogue;
use crate::bench::{Flight, Link, World};
use crate::transcripts::{
    decryption, foreign_registration, insider, registration, write_capture, MEMBER_SEED,
};
use gdoi::policy::Doi;
use gdoi::wire::{emit_chain, Chain, ExchangeType, GroupSa, Header, Kd, KeyPacket, Padding, PayloadType};
use gdoi::Transport;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What tshark finds in each datagram: these fields, several values of one separated by commas. None without tshark.
fn tshark(capture: &Path, insider: &Rogue, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-d", "udp.port==848,isakmp", "-T", "fields", "-E", "separator=|", "-o"]);
    command.arg(format!("uat:ikev1_decryption_table:{}", decryption(insider))).arg("-r").arg(capture);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = match command.stderr(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped();
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{command:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

/// Says so in any case: what macros print is shown only if the test fails.
#[allow(clippy::explicit_write)]
fn skipped() {
    writeln!(std::io::stderr(), "SKIPPED: tshark is not installed, nobody else reads our messages").unwrap();
}

/// A payload of the message `number` of the PULL, 1 to 4, as the insider reads it.
fn pull_payload(flights: &[Flight], insider: &Rogue, number: usize, kind: PayloadType) -> Vec<u8> {
    let message = |number: usize| &flights[5 + number].payload;
    let iv = match number {
        1 => insider.first_iv(Header::parse(message(1)).unwrap().0.message_id),
        _ => *message(number - 1).last_chunk().unwrap(),
    };
    let payloads = insider.open(message(number), &iv);
    payloads.into_iter().find(|payload| payload.0 == kind).unwrap().1
}

#[test]
fn nothing_is_malformed() {
    for (name, doi) in [("doi-ipsec", Doi::Ipsec), ("doi-gdoi", Doi::Gdoi)] {
        let flights = registration(doi);
        let fields = ["isakmp.exchangetype", "_ws.malformed", "_ws.expert", "isakmp.payloadlength.invalid"];
        let insider = insider(&flights);
        let Some(read) = tshark(&write_capture(name, &flights, &insider), &insider, &fields) else { return };
        let exchanges = ["2", "2", "2", "2", "2", "2", "32", "32", "32", "32", "5"];
        assert!(
            read.iter().map(|fields| &fields[..]).eq(exchanges.map(|exchange| [exchange, "", "", ""])),
            "{read:?}"
        );
    }
}

/// The layout of fragments is the known one.
#[test]
fn fragments_are_put_together() {
    let mut world = World::new(5, Link::CALM);
    world.add_server(server_address(1), server(config(thousand(1), Transport::Unicast), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), MEMBER_SEED));
    world.run_for(Duration::from_secs(5));
    let (flights, insider) = (&world.sent, insider(&world.sent));
    let fields = ["isakmp.frag.seq", "isakmp.fragment.count", "isakmp.exchangetype", "_ws.malformed"];
    let Some(read) = tshark(&write_capture("fragments", flights, &insider), &insider, &fields) else {
        return;
    };
    let fragments: Vec<_> = read.into_iter().filter(|fields| !fields[0].is_empty()).collect();
    let expected = (1..=12).map(|number| match number {
        12 => ["12".to_owned(), "12".into(), "32,32".into(), String::new()],
        _ => [number.to_string(), String::new(), "32".into(), String::new()],
    });
    assert!(fragments.iter().map(|fields| &fields[..]).eq(expected), "{fragments:?}");
}

#[test]
fn phase_1_as_sent() {
    let flights = registration(Doi::Ipsec);
    let fields = [
        "isakmp.ike.attr.encryption_algorithm",
        "isakmp.ike.attr.key_length",
        "isakmp.ike.attr.hash_algorithm",
        "isakmp.ike.attr.authentication_method",
        "isakmp.ike.attr.group_description",
        "isakmp.ike.attr.life_duration",
        "isakmp.id.data.ipv4_addr",
    ];
    let insider = insider(&flights);
    let capture = write_capture("doi-ipsec", &flights, &insider);
    let Some(read) = tshark(&capture, &insider, &fields) else { return };
    let transform = ["7", "256", "4", "1", "19", "86400", ""];
    let identity = |address| ["", "", "", "", "", "", address];
    assert_eq!(read[0], transform);
    assert_eq!(read[1], transform);
    assert_eq!(read[4], identity("198.51.0.1"));
    assert_eq!(read[5], identity("192.0.2.1"));
}

#[test]
fn the_pull_as_sent() {
    let flights = registration(Doi::Ipsec);
    let insider = insider(&flights);
    let fields = [
        "isakmp.id.data.key_id",
        "isakmp.sak.spi",
        "isakmp.sak.src_id_data",
        "isakmp.sak.dst_id_data",
        "isakmp.seq.seq",
        "isakmp.kd.payload.spi",
        "isakmp.key_download.attr.value",
        "isakmp.delete.spi",
    ];
    let capture = write_capture("doi-ipsec", &flights, &insider);
    let Some(read) = tshark(&capture, &insider, &fields) else { return };
    let kek = GroupSa::parse(&pull_payload(&flights, &insider, 2, PayloadType::SA)).unwrap().kek.unwrap();
    let (spis, keys) = downloaded(&Kd::parse(&pull_payload(&flights, &insider, 4, PayloadType::KD)).unwrap());
    assert_eq!(read[6], [&hex(&group().id.0.to_be_bytes()), "", "", "", "", "", "", ""]);
    assert_eq!(read[7], ["", &hex(&kek.spi), "c0000201", "c6330001", "", "", "", ""]);
    assert_eq!(read[8], [""; 8]);
    assert_eq!(read[9], ["", "", "", "", "0", &spis, &keys, ""]);
    assert_eq!(read[10], ["", "", "", "", "", "", "", &hex(&insider.cookies.octets())]);
}

/// The SPIs and the keys, as tshark prints them.
fn downloaded(kd: &Kd) -> (String, String) {
    let packets = kd.0.iter().map(|packet| match packet {
        KeyPacket::Tek { spi, encryption, integrity } => {
            (hex(&spi.to_be_bytes()), [hex(encryption.expose()), hex(integrity.expose())])
        }
        KeyPacket::Kek { spi, key, verification_key } => {
            (hex(spi), [hex(key.expose()), hex(verification_key)])
        }
        KeyPacket::Seed { .. } | KeyPacket::Sid { .. } => panic!("nobody asked for SIDs"),
    });
    let (spis, keys): (Vec<_>, Vec<_>) = packets.unzip();
    (spis.join(","), keys.concat().join(","))
}

/// The exchange up to the second PULL message, of which only what tshark can read is left, as far as possible as sent.
fn readable(flights: &[Flight], insider: &Rogue) -> Vec<Flight> {
    let body = pull_payload(flights, insider, 2, PayloadType::SA);
    let payloads =
        Chain::parse_bounded(PayloadType(body[9]), &body[12..], Padding::None, 100).unwrap().payloads;
    let kept = payloads.iter().filter(|payload| payload.kind != PayloadType::GAP);
    let kept: Vec<_> = kept
        .map(|payload| match payload.kind {
            PayloadType::SAT => (payload.kind, widened(payload.body)),
            kind => (kind, payload.body.to_vec()),
        })
        .collect();
    let kept: Vec<_> = kept.iter().map(|(kind, body)| (*kind, &body[..])).collect();
    let sa = [&body[..12], &emit_chain(&kept).unwrap()].concat();
    let plain = emit_chain(&[(PayloadType::HASH, &[0; 32]), (PayloadType::SA, &sa)]).unwrap();
    let mut cut = flights[..8].to_vec();
    let id = Header::parse(&cut[7].payload).unwrap().0.message_id;
    let iv = cut[6].payload.last_chunk().unwrap();
    cut[7].payload = insider.seal(ExchangeType::GROUPKEY_PULL, id, iv, PayloadType::HASH, &plain);
    cut
}

/// A SAT with both of its ID data lengths in two octets.
fn widened(sat: &[u8]) -> Vec<u8> {
    let second = 5 + 1 + usize::from(sat[5]) + 3;
    [&sat[..5], &[0], &sat[5..second], &[0], &sat[second..]].concat()
}

#[test]
fn transforms_and_selectors_as_sent() {
    let flights = foreign_registration(Doi::Ipsec);
    let insider = insider(&flights);
    let fields = [
        "isakmp.sat.spi",
        "isakmp.sat.protocol_id",
        "isakmp.sat.transform_id",
        "isakmp.sat.protocol",
        "isakmp.sat.src_id_type",
        "isakmp.sat.src_id_port",
        "isakmp.sat.src_id_data",
        "isakmp.sat.dst_id_port",
        "isakmp.sat.dst_id_data",
        "isakmp.ipsec.attr.encap_mode",
        "isakmp.ipsec.attr.auth_algorithm",
        "isakmp.ipsec.attr.key_length",
        "isakmp.ipsec.attr.addr_preservation",
        "isakmp.ipsec.attr.sa_direction",
        "isakmp.ipsec.attr.life_duration",
        "_ws.malformed",
    ];
    let capture = write_capture("doi-ipsec-readable", &readable(&flights, &insider), &insider);
    let Some(read) = tshark(&capture, &insider, &fields) else { return };
    let policy = GroupSa::parse(&pull_payload(&flights, &insider, 2, PayloadType::SA)).unwrap();
    let spi = hex(&policy.teks[0].spi.to_be_bytes());
    let expected = [
        &[&spi[..]; 3].join(","),
        "1,1,1",
        "12,12,12",
        "0,6,17",
        "4,4,4",
        "0,8080,0",
        "0a000000ff000000,0a010101ffffffff,0000000000000000",
        "0,0,53",
        "0a000000ff000000,ac100000fff00000,0a020202ffffffff",
        // From here on the first value is the one that SAK has under the same number.
        "86399,1,1,1",
        "3,5,5,5",
        "4,256,256,256",
        "4,4,4",
        "3,3,3",
        "3,3599,3599,3599",
        "",
    ];
    assert_eq!(read[7], expected);
}
