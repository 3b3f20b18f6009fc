//! The sets of known senders, one for each plane: they change with every sender that is heard, so their elements are no
//! part of the table's text, and reading and writing them takes netlink and not a process.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use crate::model::{Slot, Spi};
use crate::netfilter::{attributes, batch, kind, nested, Attributes, Message};
use crate::socket::Socket;

/// NFNL_SUBSYS_NFTABLES.
pub const NFTABLES: u8 = 10;
pub const NEW_ELEMENTS: u8 = 12;
const GET_ELEMENTS: u8 = 13;
pub const DELETE_ELEMENTS: u8 = 14;
pub const INET: u8 = 1;
pub const NETDEV: u8 = 5;
/// NFTA_SET_ELEM_LIST_TABLE, _SET and _ELEMENTS.
const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
/// NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY and NFTA_DATA_VALUE.
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const VALUE: u16 = 1;
/// What nft asks of an ESP packet for its SPI, the first 32 bits behind the IP header: nft 1.0.6 does not read what it
/// writes in JSON of a set of numbers without a name of their own, as `esp spi` is. Not in rules that ask for the protocol.
pub const SPI: &str = "th sport . th dport";
/// The type of sets of these.
pub const SPI_TYPE: &str = "inet_service . inet_service";
/// An element takes 20 octets, an attribute that holds them all at most 65,535.
const MOST_ELEMENTS: usize = 2000;

/// The name of a plane's set.
pub fn name(slot: Slot) -> String {
    format!("known_{}", slot.number())
}

/// The SPIs in a plane's set; without the set none.
pub fn held(socket: &mut Socket, slot: Slot) -> io::Result<BTreeSet<Spi>> {
    elements(socket, &name(slot))
}

/// The SPIs in a set; without the set none.
pub fn elements(socket: &mut Socket, set: &str) -> io::Result<BTreeSet<Spi>> {
    let request = Message::new(kind(NFTABLES, GET_ELEMENTS), INET, 0, &place(set));
    let lists = socket.dump(&request, |(_, payload)| Ok(Some(read(payload)?)));
    match lists {
        Ok(lists) => Ok(lists.into_iter().flatten().collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

pub fn add(socket: &mut Socket, slot: Slot, spis: &[Spi]) -> io::Result<()> {
    change(socket, NEW_ELEMENTS, NLM_F_CREATE, slot, spis)
}

/// None of them may be there already.
pub fn add_new(socket: &mut Socket, slot: Slot, spis: &[Spi]) -> io::Result<()> {
    change(socket, NEW_ELEMENTS, NLM_F_CREATE | NLM_F_EXCL, slot, spis)
}

/// All of them must be there.
pub fn remove(socket: &mut Socket, slot: Slot, spis: &[Spi]) -> io::Result<()> {
    change(socket, DELETE_ELEMENTS, 0, slot, spis)
}

/// How many transactions it takes to add or to remove them.
pub fn transactions(spis: &[Spi]) -> usize {
    spis.len().div_ceil(MOST_ELEMENTS)
}

fn change(socket: &mut Socket, number: u8, flags: u16, slot: Slot, spis: &[Spi]) -> io::Result<()> {
    for part in spis.chunks(MOST_ELEMENTS) {
        let elements =
            part.iter().fold(Attributes::default(), |all, spi| all.with_nested(ELEMENT, &element(*spi)));
        let message = Message::new(
            kind(NFTABLES, number),
            INET,
            0,
            &place(&name(slot)).with_nested(ELEMENTS, &elements),
        );
        socket.change_within(flags, &batch(NFTABLES), &message)?;
    }
    Ok(())
}

fn place(set: &str) -> Attributes {
    Attributes::default().with_text(TABLE, "gdoi").with_text(SET, set)
}

fn element(spi: Spi) -> Attributes {
    // Each part in a register of its own.
    let [a, b, c, d] = spi.0.to_be_bytes();
    let value = Attributes::default().with(VALUE, &[a, b, 0, 0, c, d, 0, 0]);
    Attributes::default().with_nested(KEY, &value)
}

fn read(payload: &[u8]) -> io::Result<Vec<Spi>> {
    let lists = attributes(payload)?.into_iter().filter(|(kind, _)| *kind == ELEMENTS);
    let elements = lists.flat_map(|(_, list)| nested(list));
    Ok(elements.filter_map(|(_, element)| read_element(element)).collect())
}

fn read_element(element: &[u8]) -> Option<Spi> {
    let (_, key) = nested(element).into_iter().find(|(kind, _)| *kind == KEY)?;
    let (_, value) = nested(key).into_iter().find(|(kind, _)| *kind == VALUE)?;
    let &[a, b, _, _, c, d, ..] = value else { return None };
    Some(Spi(u32::from_be_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkSerializable;

    #[test]
    fn elements_are_read_as_they_are_written_however_damaged() {
        let spis = [Spi(0x8490_0001), Spi(0x8490_0002)];
        let elements =
            spis.iter().fold(Attributes::default(), |all, spi| all.with_nested(ELEMENT, &element(*spi)));
        let slot = Slot::new(3).unwrap();
        let message = Message::new(0, INET, 0, &place(&name(slot)).with_nested(ELEMENTS, &elements));
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        assert_eq!(read(&payload).unwrap(), spis);
        for end in 0..payload.len() {
            let _ = read(&payload[..end]);
            payload[end] ^= 0xff;
            let _ = read(&payload);
            payload[end] ^= 0xff;
        }
    }
}
