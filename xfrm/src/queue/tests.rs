use super::*;
use netlink_packet_core::{Emitable, NetlinkHeader, NetlinkSerializable};

fn datagram(packet: &[u8]) -> Vec<u8> {
    let header = [&77u32.to_be_bytes()[..], &[8, 0, 0]].concat();
    let all = Attributes::default().with(PACKET_HEADER, &header).with(PAYLOAD, packet);
    let message = message(PACKET, &all);
    let mut datagram = vec![0; 16 + message.buffer_len()];
    let mut header = NetlinkHeader::default();
    header.length = datagram.len() as u32;
    header.message_type = message.message_type();
    header.emit(&mut datagram[..16]);
    message.serialize(&mut datagram[16..]);
    datagram
}

const ESP: [u8; 12] = [0x84, 0x90, 0, 5, 0, 0, 0, 1, 9, 9, 9, 9];

fn ipv4(destination: [u8; 4], options: usize) -> Vec<u8> {
    let mut header = vec![0; 20 + options];
    header[0] = 0x40 | (header.len() / 4) as u8;
    header[9] = 50;
    header[16..20].copy_from_slice(&destination);
    [header, ESP.to_vec()].concat()
}

/// With a hop-by-hop header of 16 octets and a fragment header.
fn ipv6() -> Vec<u8> {
    let mut packet = vec![0; 40 + 16 + 8];
    packet[0] = 0x60;
    packet[6] = 0;
    packet[24..40].copy_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0x48, 0, 4]);
    packet[40..42].copy_from_slice(&[44, 1]);
    packet[56] = 50;
    [packet, ESP.to_vec()].concat()
}

fn unknown(datagram: &[u8]) -> Option<Unknown> {
    match read(datagram).unwrap() {
        Arrival::Unknown(unknown) => Some(unknown),
        _ => None,
    }
}

#[test]
fn esp_of_both_families_is_found_with_its_plane() {
    for (packet, slot, family) in [
        (ipv4([192, 0, 0, 84], 0), 0, Family::V4),
        (ipv4([192, 0, 0, 90], 8), 3, Family::V4),
        (ipv6(), 2, Family::V6),
    ] {
        let slot = Slot::new(slot).unwrap();
        let wanted = Unknown { id: PacketId(77), slot, family, spi: Spi(0x8490_0005), esp: ESP.to_vec() };
        assert_eq!(unknown(&datagram(&packet)), Some(wanted));
    }
}

#[test]
fn what_no_rule_of_ours_put_there_is_foreign() {
    let mut tcp = ipv4([192, 0, 0, 84], 0);
    tcp[9] = 6;
    let to_outbound_anchor = ipv4([192, 0, 0, 85], 0);
    let elsewhere = ipv4([10, 0, 0, 1], 0);
    for packet in
        [tcp, to_outbound_anchor, elsewhere, vec![], vec![0x45], ipv4([192, 0, 0, 84], 0)[..22].to_vec()]
    {
        assert!(matches!(read(&datagram(&packet)), Ok(Arrival::Foreign(PacketId(77)))), "{packet:?}");
    }
}

#[test]
fn no_damage_makes_it_panic() {
    for packet in [ipv4([192, 0, 0, 84], 8), ipv6()] {
        let mut datagram = datagram(&packet);
        for place in 0..datagram.len() {
            let _ = read(&datagram[..place]);
            for flip in [1, 0x0f, 0xf0, 0xff] {
                datagram[place] ^= flip;
                let _ = read(&datagram);
                datagram[place] ^= flip;
            }
        }
    }
}

#[test]
fn a_refusal_of_the_kernel_is_an_error() {
    let mut refusal = datagram(&[]);
    refusal[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
    refusal[16..20].copy_from_slice(&(-2i32).to_ne_bytes());
    assert_eq!(read(&refusal).err().and_then(|error| error.raw_os_error()), Some(2));
}
