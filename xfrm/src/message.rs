//! States and policies as XFRM netlink messages: the only place that knows netlink-packet-xfrm.
//!
//! The crate's types for algorithms derive Debug and do not clear their keys: they are never formatted here and are
//! wiped as soon as they have been used.

mod foreign;
mod policy;
mod state;

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{ParseableParametrized, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_xfrm::constants::{AF_INET, AF_INET6, IPPROTO_ESP};
use netlink_packet_xfrm::policy::DelGetMessage as PolicyIdMessage;
use netlink_packet_xfrm::state::{DelGetMessage as StateIdMessage, GetDumpMessage};
use netlink_packet_xfrm::{
    Address, AddressFilter, UserPolicyId, UserPolicyInfo, UserSaId, XfrmAttrs, XfrmMessage,
    XFRM_USER_POLICY_INFO_LEN, XFRM_USER_SA_INFO_LEN,
};

use crate::model::{Family, Slot};
use crate::object::{HeldPolicy, HeldState, Hook, Policy, PolicyIndex, State, StateId};
use crate::socket::Socket;

pub use foreign::foreign;

/// What the kernel counted for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub packets: u64,
    pub bytes: u64,
    pub integrity_failures: u32,
    pub replayed: u32,
}

/// All states at our anchors.
pub fn states(socket: &mut Socket) -> io::Result<Vec<(HeldState, Usage)>> {
    let mut states = Vec::new();
    for family in Family::ALL {
        states.extend(states_of(socket, family)?);
    }
    Ok(states)
}

fn states_of(socket: &mut Socket, family: Family) -> io::Result<Vec<(HeldState, Usage)>> {
    let request = XfrmMessage::GetDumpSa(GetDumpMessage { nlas: vec![anchors_only(family)] });
    socket.dump(&request, |(kind, payload)| {
        at_least(XFRM_USER_SA_INFO_LEN, payload)?;
        match XfrmMessage::parse_with_param(payload, kind).map_err(invalid)? {
            XfrmMessage::AddSa(message) => Ok(state::read(message)),
            _ => Ok(None),
        }
    })
}

/// All policies in our block of indices. What others wrote is not even parsed: it may be beyond the parser.
pub fn policies(socket: &mut Socket) -> io::Result<Vec<HeldPolicy>> {
    socket.dump(&XfrmMessage::GetPolicy(PolicyIdMessage::default()), |(kind, payload)| {
        at_least(XFRM_USER_POLICY_INFO_LEN, payload)?;
        let info = UserPolicyInfo::parse(payload).map_err(invalid)?;
        if !PolicyIndex(info.index).is_ours() {
            return Ok(None);
        }
        match XfrmMessage::parse_with_param(payload, kind).map_err(invalid)? {
            XfrmMessage::AddPolicy(message) => Ok(Some(policy::read(&message))),
            _ => Ok(None),
        }
    })
}

pub fn add_state(socket: &mut Socket, state: &State) -> io::Result<()> {
    let mut message = XfrmMessage::AddSa(state::write(state));
    let result = socket.change(NLM_F_CREATE | NLM_F_EXCL, &message);
    if let XfrmMessage::AddSa(message) = &mut message {
        state::wipe(&mut message.nlas);
    }
    result
}

pub fn remove_state(socket: &mut Socket, id: StateId) -> io::Result<()> {
    let user_sa_id = UserSaId {
        daddr: Address::from_ip(&id.anchor()),
        spi: id.spi.0,
        family: family_number(id.family),
        proto: IPPROTO_ESP,
    };
    socket.change(0, &XfrmMessage::DeleteSa(StateIdMessage { user_sa_id, nlas: Vec::new() }))
}

pub fn add_policy(socket: &mut Socket, index: PolicyIndex, policy: &Policy) -> io::Result<()> {
    socket.change(NLM_F_CREATE | NLM_F_EXCL, &XfrmMessage::AddPolicy(policy::write(index, policy)))
}

/// Replaces the policy of the same name in one step; it keeps its index.
pub fn update_policy(socket: &mut Socket, index: PolicyIndex, policy: &Policy) -> io::Result<()> {
    socket.change(0, &XfrmMessage::UpdatePolicy(policy::write(index, policy)))
}

pub fn remove_policy(socket: &mut Socket, index: PolicyIndex, if_id: u32) -> io::Result<()> {
    let direction = index.hook().map_or(0, Hook::number) as u8;
    let user_policy_id = UserPolicyId { index: index.0, direction, ..Default::default() };
    let nlas = vec![XfrmAttrs::IfId(if_id)];
    socket.change(0, &XfrmMessage::DeletePolicy(PolicyIdMessage { user_policy_id, nlas }))
}

/// The kernel's filter knows prefixes only; what else lies in 192.0.0.0/24 is sorted out when it is read.
fn anchors_only(family: Family) -> XfrmAttrs {
    let inside = Slot::LAST.inbound_anchor(family);
    XfrmAttrs::AddressFilter(AddressFilter {
        saddr: Address::default(),
        daddr: Address::from_ip(&inside),
        family: family_number(family),
        splen: 0,
        dplen: match family {
            Family::V4 => 24,
            Family::V6 => 112,
        },
    })
}

/// The kernel's number of a family.
fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

fn family_with_number(number: u16) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family_number(*family) == number)
}

fn address(family: Family, address: &Address) -> IpAddr {
    match family {
        Family::V4 => address.to_ipv4().into(),
        Family::V6 => address.to_ipv6().into(),
    }
}

/// The crate slices fixed headers without looking at the length first.
fn at_least(header: usize, payload: &[u8]) -> io::Result<()> {
    if payload.len() < header {
        return Err(invalid(format!("{} octets where {header} are the least", payload.len())));
    }
    Ok(())
}

fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}
