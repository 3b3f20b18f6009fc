//! The named counters, read by netlink: to show them must not depend on a process.

use std::io;

use super::known::{INET, NFTABLES};
use super::COUNTERS;
use crate::model::Slot;
use crate::netfilter::{attributes, kind, nested, Attributes, Message};
use crate::socket::Socket;

const GET_OBJECT: u8 = 19;
/// NFTA_OBJ_TABLE, _NAME, _TYPE and _DATA.
const TABLE: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
const DATA: u16 = 4;
/// NFT_OBJECT_COUNTER.
const COUNTER: u32 = 1;
/// NFTA_COUNTER_BYTES and _PACKETS.
const BYTES: u16 = 1;
const PACKETS: u16 = 2;

/// A counter of a plane: its name, packets and octets.
pub type Counted = (Slot, &'static str, u64, u64);

/// All of them; without the table none.
pub fn counters(socket: &mut Socket) -> io::Result<Vec<Counted>> {
    let place = Attributes::default().with_text(TABLE, "gdoi").with(TYPE, &COUNTER.to_be_bytes());
    let request = Message::new(kind(NFTABLES, GET_OBJECT), INET, 0, &place);
    match socket.dump(&request, |(_, payload)| Ok(read(payload))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn read(payload: &[u8]) -> Option<Counted> {
    let attributes = attributes(payload).ok()?;
    if value(&attributes, TABLE)? != b"gdoi\0" || value(&attributes, TYPE)? != COUNTER.to_be_bytes() {
        return None;
    }
    let name = std::str::from_utf8(value(&attributes, NAME)?).ok()?.trim_end_matches('\0');
    let (name, number) = name.rsplit_once('_')?;
    let name = COUNTERS.into_iter().find(|known| *known == name)?;
    let data = nested(value(&attributes, DATA)?);
    let count = |kind| Some(u64::from_be_bytes(*value(&data, kind)?.first_chunk()?));
    Some((Slot::new(number.parse().ok()?)?, name, count(PACKETS)?, count(BYTES)?))
}

fn value<'a>(attributes: &[(u16, &'a [u8])], wanted: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkSerializable;

    fn answer(table: &str, name: &str) -> Vec<u8> {
        let data =
            Attributes::default().with(BYTES, &900u64.to_be_bytes()).with(PACKETS, &9u64.to_be_bytes());
        let all = Attributes::default().with_text(TABLE, table).with_text(NAME, name);
        let all = all.with(TYPE, &COUNTER.to_be_bytes()).with_nested(DATA, &data);
        let message = Message::new(0, INET, 0, &all);
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        payload
    }

    #[test]
    fn counters_of_planes_are_read_and_no_others() {
        let slot = Slot::new(3).unwrap();
        assert_eq!(read(&answer("gdoi", "blocked_in_3")), Some((slot, "blocked_in", 9, 900)));
        for (table, name) in
            [("other", "blocked_in_3"), ("gdoi", "mine_3"), ("gdoi", "blocked_in_99"), ("gdoi", "x")]
        {
            assert_eq!(read(&answer(table, name)), None);
        }
        let whole = answer("gdoi", "blocked_in_3");
        assert!((0..whole.len()).all(|end| read(&whole[..end]).is_none()));
    }
}
