//! Policies of others, as far as they can come before ours. Of each only the fixed header is read, and of its attributes
//! those that say for whom it is.

use std::io;

use netlink_packet_xfrm::constants::XFRM_POLICY_ALLOW;
use netlink_packet_xfrm::policy::DelGetMessage;
use netlink_packet_xfrm::{UserPolicyInfo, XfrmMessage, XFRM_USER_POLICY_INFO_LEN};

use super::policy::read_key;
use crate::netfilter::nested;
use crate::object::{ForeignPolicy, Hook, PolicyIndex};
use crate::socket::Socket;

/// XFRM_MSG_NEWPOLICY.
const POLICY: u16 = 0x13;
/// XFRMA_TMPL.
const TEMPLATES: u16 = 5;
/// XFRMA_POLICY_TYPE, whose main type is 0; XFRMA_MARK, of which the second half is the mask; XFRMA_IF_ID.
const TYPE: u16 = 16;
const MARK: u16 = 21;
const IF_ID: u16 = 31;

/// So many are remembered, which is more than anybody can look through.
const MOST: usize = 4_096;

/// The policies of others that every packet meets, whatever its mark.
pub fn foreign(socket: &mut Socket) -> io::Result<Vec<ForeignPolicy>> {
    let request = XfrmMessage::GetPolicy(DelGetMessage::default());
    let mut policies =
        socket.dump(&request, |(kind, payload)| Ok((kind == POLICY).then(|| read(payload)).flatten()))?;
    policies.truncate(MOST);
    Ok(policies)
}

fn read(payload: &[u8]) -> Option<ForeignPolicy> {
    let (header, attributes) = payload.split_at_checked(XFRM_USER_POLICY_INFO_LEN)?;
    let info = UserPolicyInfo::parse(header).ok()?;
    let hook = [Hook::In, Hook::Out, Hook::Forward]
        .into_iter()
        .find(|hook| hook.number() == u32::from(info.direction))?;
    let key = read_key(hook, 0, &info.selector)?;
    let attributes = nested(attributes);
    let transforms = attributes.iter().any(|(kind, value)| *kind == TEMPLATES && !value.is_empty());
    let is_for_all = attributes.into_iter().all(|(kind, value)| match kind {
        TYPE => value.first() == Some(&0),
        MARK => value.get(4..8) == Some(&[0; 4]),
        IF_ID => value == [0; 4],
        _ => true,
    });
    (!PolicyIndex(info.index).is_ours() && is_for_all).then_some(ForeignPolicy {
        hook,
        interface: key.interface,
        selector: key.selector,
        priority: info.priority,
        blocks: info.action != XFRM_POLICY_ALLOW,
        transforms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::policy;
    use crate::model::Spi;
    use crate::model::{Family, Prefix, Slot};
    use crate::object::{KernelSelector, Policy, PolicyKey, Rank, Verdict};
    use netlink_packet_core::Emitable;

    fn header(index: u32, direction: u8) -> Vec<u8> {
        let selector = KernelSelector::between(Prefix::any(Family::V4), Prefix::multicast(Family::V4));
        let key = PolicyKey { hook: Hook::Out, interface: Some(4), xfrm_interface: None, selector };
        let verdict = Verdict::Encrypt(Slot::new(0).unwrap(), Spi(7));
        let message = policy::write(PolicyIndex(index), &Policy { key, rank: Rank::Acl(7), verdict });
        let mut info = message.user_policy_info;
        info.direction = direction;
        let mut header = vec![0; XFRM_USER_POLICY_INFO_LEN];
        info.emit(&mut header);
        header
    }

    fn with(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u16 + 4).to_ne_bytes();
        [&header(9, 1)[..], &length, &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn policies_of_others_are_read_without_what_limits_them_to_some() {
        let read_one = read(&header(9, 1)).unwrap();
        assert_eq!((read_one.hook, read_one.interface, read_one.priority), (Hook::Out, Some(4), 84_809));
        assert!(!read_one.blocks && !read_one.transforms);
        assert!(read(&with(TEMPLATES, &[0; 64])).is_some_and(|one| one.transforms));
        assert_eq!(read(&header(0x8480_0009, 1)), None, "ours");
        assert_eq!(read(&header(9, 4)), None, "of a socket");
        assert_eq!(read(&with(IF_ID, &[1, 0, 0, 0])), None);
        assert_eq!(read(&with(MARK, &[1, 0, 0, 0, 255, 255, 255, 255])), None);
        assert!(read(&with(MARK, &[0; 8])).is_some() && read(&with(99, &[1; 8])).is_some());
        (0..XFRM_USER_POLICY_INFO_LEN).for_each(|length| assert_eq!(read(&header(9, 1)[..length]), None));
    }
}
