//! XFRM interfaces.

use std::io;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoXfrm, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;

use super::parse;
use crate::model::Slot;
use crate::object::{HeldInterface, XfrmInterface};
use crate::socket::Socket;

/// The XFRM interfaces that are ours: by name and `if_id`.
pub fn interfaces(socket: &mut Socket) -> io::Result<Vec<HeldInterface>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    socket.dump(&request, |(kind, payload)| match parse(kind, payload)? {
        RouteNetlinkMessage::NewLink(message) => Ok(read(&message)),
        _ => Ok(None),
    })
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

fn read(message: &LinkMessage) -> Option<HeldInterface> {
    let (mut name, mut mtu, mut parent, mut slot) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::Mtu(octets) => mtu = Some(*octets),
            LinkAttribute::LinkInfo(info) => {
                for datum in info.iter().flat_map(xfrm_data) {
                    match datum {
                        InfoXfrm::Link(index) => parent = Some(*index),
                        InfoXfrm::IfId(number) => slot = Slot::from_reqid(*number),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let content = XfrmInterface { slot: slot?, parent: parent?, mtu: mtu? };
    let up = message.header.flags.contains(LinkFlags::Up);
    (*name? == content.name()).then_some(HeldInterface { index: message.header.index, up, content })
}

fn xfrm_data(info: &LinkInfo) -> &[InfoXfrm] {
    match info {
        LinkInfo::Data(InfoData::Xfrm(data)) => data,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_other_names_are_not_ours() {
        let content = XfrmInterface { slot: Slot::new(3).unwrap(), parent: 7, mtu: 1426 };
        let mut message = write(content);
        assert_eq!(read(&message), Some(HeldInterface { index: 0, up: true, content }));
        message.attributes[0] = LinkAttribute::IfName("ipsec3".into());
        assert_eq!(read(&message), None);
    }
}
