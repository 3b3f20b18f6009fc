//! States and policies as XFRM netlink messages: the only place that knows netlink-packet-xfrm.
//!
//! What is read is read attribute by attribute, and only those that ours have: that crate refuses a whole list for one
//! attribute that it cannot read, whoever's it is.
//!
//! The crate's types for algorithms derive Debug and do not clear their keys: they are never formatted here and are
//! wiped as soon as they have been used.

mod foreign;
mod policy;
mod state;

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NlasIterator, Parseable, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_xfrm::constants::{
    AF_INET, AF_INET6, IPPROTO_ESP, XFRMA_ALG_AEAD, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_CRYPT, XFRMA_IF_ID,
    XFRMA_REPLAY_ESN_VAL, XFRMA_TMPL, XFRM_MSG_NEWPOLICY, XFRM_MSG_NEWSA,
};
use netlink_packet_xfrm::policy::{DelGetMessage as PolicyIdMessage, ModifyMessage as PolicyMessage};
use netlink_packet_xfrm::state::{
    DelGetMessage as StateIdMessage, GetDumpMessage, ModifyMessage as StateMessage,
};
use netlink_packet_xfrm::{
    Address, AddressFilter, UserPolicyId, UserPolicyInfo, UserSaId, UserSaInfo, XfrmAttrs, XfrmMessage,
    XFRM_USER_POLICY_INFO_LEN, XFRM_USER_SA_INFO_LEN,
};

use crate::model::{Anchors, Family};
use crate::object::{HeldPolicy, HeldState, Hook, Life, Policy, PolicyIndex, State, StateId};
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
        for anchors in Anchors::ALL {
            states.extend(states_of(socket, family, anchors)?);
        }
    }
    Ok(states)
}

fn states_of(socket: &mut Socket, family: Family, anchors: Anchors) -> io::Result<Vec<(HeldState, Usage)>> {
    let request = XfrmMessage::GetDumpSa(GetDumpMessage { nlas: vec![anchors_only(family, anchors)] });
    socket.dump(&request, |(kind, payload)| {
        Ok((kind == XFRM_MSG_NEWSA).then(|| state_message(payload)).flatten().and_then(state::read))
    })
}

/// The keys of others are not copied.
fn state_message(payload: &[u8]) -> Option<StateMessage> {
    let (info, rest) = payload.split_at_checked(XFRM_USER_SA_INFO_LEN)?;
    let user_sa_info = UserSaInfo::parse(info).ok()?;
    let ours = state::is_ours(&user_sa_info);
    Some(StateMessage { user_sa_info, nlas: if ours { needed(rest) } else { Vec::new() } })
}

/// All policies in our block of indices. What others wrote is not even parsed.
pub fn policies(socket: &mut Socket) -> io::Result<Vec<HeldPolicy>> {
    socket.dump(&XfrmMessage::GetPolicy(PolicyIdMessage::default()), |(kind, payload)| {
        let message = (kind == XFRM_MSG_NEWPOLICY).then(|| policy_message(payload)).flatten();
        Ok(message.map(|message| policy::read(&message)))
    })
}

fn policy_message(payload: &[u8]) -> Option<PolicyMessage> {
    let (info, rest) = payload.split_at_checked(XFRM_USER_POLICY_INFO_LEN)?;
    let user_policy_info = UserPolicyInfo::parse(info).ok()?;
    let ours = PolicyIndex(user_policy_info.index).is_ours();
    ours.then(|| PolicyMessage { user_policy_info, nlas: needed(rest) })
}

/// What ours are written with, as far as it can be read; without one of them a state or policy is none of ours.
fn needed(octets: &[u8]) -> Vec<XfrmAttrs> {
    const NEEDED: [u16; 6] = [
        XFRMA_ALG_AEAD,
        XFRMA_ALG_CRYPT,
        XFRMA_ALG_AUTH_TRUNC,
        XFRMA_REPLAY_ESN_VAL,
        XFRMA_IF_ID,
        XFRMA_TMPL,
    ];
    let attributes = NlasIterator::new(octets).map_while(Result::ok);
    let needed = attributes.filter(|attribute| NEEDED.contains(&attribute.kind()));
    needed.filter_map(|attribute| XfrmAttrs::parse(&attribute).ok()).collect()
}

pub fn add_state(socket: &mut Socket, state: &State) -> io::Result<()> {
    let mut message = XfrmMessage::AddSa(state::write(state));
    let result = socket.change(NLM_F_CREATE | NLM_F_EXCL, &message);
    if let XfrmMessage::AddSa(message) = &mut message {
        state::wipe(&mut message.nlas);
    }
    result
}

/// Gives a state another life; its keys and numbers stay as they are, whatever is sent along.
pub fn set_life(socket: &mut Socket, state: &State, life: Life) -> io::Result<()> {
    let mut content = state::write(state);
    state::set_life(&mut content, life);
    let mut message = XfrmMessage::UpdateSa(content);
    let result = socket.change(0, &message);
    if let XfrmMessage::UpdateSa(message) = &mut message {
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

/// The kernel's filter knows prefixes only; what else lies in 192.0.0.0/24, for example, is sorted out when it is read.
fn anchors_only(family: Family, anchors: Anchors) -> XfrmAttrs {
    let inside = anchors.first(family);
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

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    /// A newer kernel's attribute, one that is damaged, and what must be there, in the list of a policy of ours.
    #[test]
    fn attributes_that_nobody_knows_cost_nothing() {
        let mut message = PolicyMessage::default();
        message.user_policy_info.index = PolicyIndex::all(Hook::Out).next().map_or(0, |index| index.0);
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        let (short, unknown) = ([5, 0, XFRMA_IF_ID as u8, 0, 1, 0, 0, 0], [8, 0, 200, 0, 1, 2, 3, 4]);
        payload.extend([short, unknown, [8, 0, XFRMA_IF_ID as u8, 0, 7, 0, 0, 0]].concat());
        let read = policy_message(&payload).unwrap();
        assert_eq!(read.nlas, [XfrmAttrs::IfId(7)]);
        for end in 0..payload.len() {
            let _ = policy_message(&payload[..end]);
        }
        message.user_policy_info.index = 9;
        message.emit(&mut payload);
        assert_eq!(policy_message(&payload), None, "somebody else's");
    }
}
