//! XFRM interfaces.

use std::io;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoXfrm, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;

use super::{all_links, link_record, LinkRecord, MTU, NAME, NEW_LINK};
use crate::attributes::{attributes, find, number, text};
use crate::model::Slot;
use crate::object::{HeldInterface, XfrmInterface};
use crate::socket::Socket;

/// IFLA_LINKINFO, IFLA_INFO_KIND and IFLA_INFO_DATA.
const LINK_INFO: u16 = 18;
const KIND: u16 = 1;
const DATA: u16 = 2;
/// IFLA_XFRM_LINK and IFLA_XFRM_IF_ID.
const PARENT: u16 = 1;
const IF_ID: u16 = 2;
/// IFLA_VRF_TABLE.
const TABLE: u16 = 1;

/// The XFRM interfaces that are ours: by name and `if_id`.
pub fn interfaces(socket: &mut Socket) -> io::Result<Vec<HeldInterface>> {
    socket.dump(&all_links(), |(kind, payload)| Ok(read(payload).filter(|_| kind == NEW_LINK)))
}

/// Adds the interface, or sets its MTU and brings it up.
pub fn set_interface(socket: &mut Socket, interface: XfrmInterface) -> io::Result<()> {
    socket.change(NLM_F_CREATE, &RouteNetlinkMessage::NewLink(write(interface)))
}

pub fn remove_interface(socket: &mut Socket, held: HeldInterface) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = held.index;
    socket.change(0, &RouteNetlinkMessage::DelLink(message))
}

fn write(interface: XfrmInterface) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up | LinkFlags::Multicast;
    message.header.change_mask = LinkFlags::Up | LinkFlags::Multicast;
    message.attributes = vec![
        LinkAttribute::IfName(interface.name()),
        LinkAttribute::Mtu(interface.mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Xfrm),
            LinkInfo::Data(InfoData::Xfrm(vec![
                InfoXfrm::Link(interface.parent),
                InfoXfrm::IfId(interface.slot.reqid()),
            ])),
        ]),
    ];
    message
}

/// The number of the table of a VRF; None if the link is none.
pub fn vrf_table(link: &[(u16, &[u8])]) -> Option<u32> {
    find(&data_of(link, "vrf")?, TABLE).and_then(number)
}

/// What is told of a link of this kind.
fn data_of<'a>(link: &[(u16, &'a [u8])], kind: &str) -> Option<Vec<(u16, &'a [u8])>> {
    let info = attributes(find(link, LINK_INFO)?);
    let data = find(&info, DATA).filter(|_| find(&info, KIND).map(text).as_deref() == Some(kind))?;
    Some(attributes(data))
}

fn read(payload: &[u8]) -> Option<HeldInterface> {
    let LinkRecord { index, up, attributes: link } = link_record(payload)?;
    let data = data_of(&link, "xfrm")?;
    let content = XfrmInterface {
        slot: Slot::from_reqid(number(find(&data, IF_ID)?)?)?,
        parent: number(find(&data, PARENT)?)?,
        mtu: number(find(&link, MTU)?)?,
    };
    (text(find(&link, NAME)?) == content.name()).then_some(HeldInterface { index, up, content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    fn octets(message: &LinkMessage) -> Vec<u8> {
        let mut octets = vec![0; message.buffer_len()];
        message.emit(&mut octets);
        octets
    }

    #[test]
    fn what_is_written_is_read_again_and_other_names_are_not_ours() {
        let content = XfrmInterface { slot: Slot::new(3).unwrap(), parent: 7, mtu: 1426 };
        let mut message = write(content);
        assert_eq!(read(&octets(&message)), Some(HeldInterface { index: 0, up: true, content }));
        message.attributes[0] = LinkAttribute::IfName("ipsec3".into());
        assert_eq!(read(&octets(&message)), None);
    }
}
