//! The flowtables that there are. What packets of their flows skip nobody else sees: forwarding, and all chains but those at
//! the links themselves.

use std::fmt;
use std::io;

use super::known::NFTABLES;
use crate::attributes::{find, text};
use crate::netfilter::{attributes, kind, nested, Attributes, Message};
use crate::socket::Socket;

pub const NEW_FLOWTABLE: u8 = 22;
const GET_FLOWTABLE: u8 = 23;
pub const DELETE_FLOWTABLE: u8 = 24;
/// NFPROTO_UNSPEC.
const ANY_FAMILY: u8 = 0;
/// NFTA_FLOWTABLE_TABLE, _NAME, _HOOK and _FLAGS.
const TABLE: u16 = 1;
const NAME: u16 = 2;
const HOOK: u16 = 3;
const FLAGS: u16 = 7;
/// NFTA_FLOWTABLE_HOOK_PRIORITY and _DEVS.
const PRIORITY: u16 = 2;
const DEVICES: u16 = 3;
/// NFTA_DEVICE_NAME, and since Linux 6.16 NFTA_DEVICE_PREFIX: the beginning of names.
const DEVICE: u16 = 1;
const PREFIX: u16 = 2;
/// NFT_FLOWTABLE_HW_OFFLOAD.
const HARDWARE: u32 = 1;

/// A flowtable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    table: String,
    name: String,
    /// Where it stands among the hooks of a link: lower ones see packets first.
    pub priority: i32,
    devices: Vec<Device>,
    /// Whether network cards forward its flows by themselves.
    pub in_hardware: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Device {
    Named(String),
    Beginning(String),
}

impl Flowtable {
    /// Whether packets that come in by this link are looked for in it.
    pub fn serves(&self, link: &str) -> bool {
        self.devices.iter().any(|device| match device {
            Device::Named(name) => name == link,
            Device::Beginning(prefix) => link.starts_with(prefix.as_str()),
        })
    }

    /// One as it is read.
    #[cfg(test)]
    pub fn of(device: &str, priority: i32) -> Self {
        let (table, name) = ("operator".into(), "fast".into());
        Self { table, name, priority, devices: vec![Device::Named(device.into())], in_hardware: false }
    }
}

impl fmt::Display for Flowtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flowtable {} of table {}", self.name, self.table)
    }
}

/// All of them.
pub fn flowtables(socket: &mut Socket) -> io::Result<Vec<Flowtable>> {
    let request = Message::new(kind(NFTABLES, GET_FLOWTABLE), ANY_FAMILY, 0, &Attributes::default());
    socket.dump(&request, |(answer, payload)| {
        Ok(read(payload).filter(|_| answer == kind(NFTABLES, NEW_FLOWTABLE)))
    })
}

fn read(payload: &[u8]) -> Option<Flowtable> {
    let all = attributes(payload).ok()?;
    let hook = nested(find(&all, HOOK)?);
    let devices = nested(find(&hook, DEVICES).unwrap_or_default());
    let flags = find(&all, FLAGS).and_then(|flags| flags.first_chunk());
    Some(Flowtable {
        table: text(find(&all, TABLE)?),
        name: text(find(&all, NAME)?),
        priority: i32::from_be_bytes(*find(&hook, PRIORITY)?.first_chunk()?),
        devices: devices.into_iter().filter_map(read_device).collect(),
        in_hardware: flags.is_some_and(|flags| u32::from_be_bytes(*flags) & HARDWARE != 0),
    })
}

fn read_device((kind, name): (u16, &[u8])) -> Option<Device> {
    match kind {
        DEVICE => Some(Device::Named(text(name))),
        PREFIX => Some(Device::Beginning(text(name))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkSerializable;

    fn message() -> Vec<u8> {
        let devices = Attributes::default().with_text(DEVICE, "wan0").with_text(PREFIX, "ppp");
        let hook = Attributes::default().with(1, &[0; 4]).with(PRIORITY, &(-5i32).to_be_bytes());
        let hook = hook.with_nested(DEVICES, &devices);
        let all = Attributes::default().with_text(TABLE, "operator").with_text(NAME, "fast");
        let all = all.with_nested(HOOK, &hook).with(FLAGS, &[0, 0, 0, 3]);
        let message = Message::new(0, 1, 0, &all);
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        payload
    }

    #[test]
    fn a_flowtable_is_read_however_damaged() {
        let mut payload = message();
        let read_one = read(&payload).unwrap();
        assert_eq!((read_one.priority, read_one.in_hardware), (-5, true));
        assert_eq!(read_one.to_string(), "flowtable fast of table operator");
        assert!(read_one.serves("wan0") && read_one.serves("ppp7") && !read_one.serves("wan01"));
        for end in 0..payload.len() {
            let _ = read(&payload[..end]);
            payload[end] ^= 0xff;
            let _ = read(&payload);
            payload[end] ^= 0xff;
        }
    }
}
