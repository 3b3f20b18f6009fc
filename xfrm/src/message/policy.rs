//! One policy as a netlink message and back.

use std::net::IpAddr;

use netlink_packet_xfrm::constants::{
    IPPROTO_ESP, XFRM_MODE_TUNNEL, XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK, XFRM_POLICY_ICMP,
};
use netlink_packet_xfrm::policy::ModifyMessage;
use netlink_packet_xfrm::{Address, Id, Selector, UserPolicyInfo, UserTemplate, XfrmAttrs};

use super::{address, family_number, family_with_number};
use crate::model::{Family, Ports, Prefix, Slot, Spi};
use crate::object::{HeldPolicy, Hook, KernelSelector, Policy, PolicyIndex, PolicyKey, Rank, Verdict};

/// The kernel compares this field where it looks for a policy by its selector, and asks it of no packet. With it a policy
/// of somebody else can have the addresses of ours and is another one: neither is in the other's way, and an update of
/// theirs does not change ours.
const USER: u32 = 84_848;

pub fn write(index: PolicyIndex, policy: &Policy) -> ModifyMessage {
    let templates = write_templates(&policy.key, &policy.verdict);
    let user_policy_info = UserPolicyInfo {
        selector: write_selector(&policy.key),
        priority: policy.rank.priority(),
        index: index.0,
        direction: policy.key.hook.number() as u8,
        action: if policy.verdict == Verdict::Block { XFRM_POLICY_BLOCK } else { XFRM_POLICY_ALLOW },
        flags: if templates.is_empty() { 0 } else { XFRM_POLICY_ICMP },
        ..Default::default()
    };
    let mut nlas = Vec::new();
    nlas.extend((!templates.is_empty()).then_some(XfrmAttrs::Template(templates)));
    nlas.extend(policy.key.xfrm_interface.map(|slot| XfrmAttrs::IfId(slot.reqid())));
    ModifyMessage { user_policy_info, nlas }
}

pub fn read(message: &ModifyMessage) -> HeldPolicy {
    let index = PolicyIndex(message.user_policy_info.index);
    HeldPolicy { index, if_id: if_id(message), content: read_content(index, message) }
}

/// The kernel leaves the attribute out when it is 0.
fn if_id(message: &ModifyMessage) -> u32 {
    let found = message.nlas.iter().find_map(|attribute| match attribute {
        XfrmAttrs::IfId(number) => Some(*number),
        _ => None,
    });
    found.unwrap_or(0)
}

/// Reads by writing: a policy is one of ours when writing what it seems to say gives the same message.
fn read_content(index: PolicyIndex, message: &ModifyMessage) -> Option<Policy> {
    let info = &message.user_policy_info;
    let hook = [Hook::In, Hook::Out, Hook::Forward]
        .into_iter()
        .find(|hook| hook.number() == u32::from(info.direction))?;
    let templates = message.nlas.iter().find_map(|attribute| match attribute {
        XfrmAttrs::Template(templates) => Some(templates.as_slice()),
        _ => None,
    });
    let policy = Policy {
        key: read_key(hook, if_id(message), &info.selector)?,
        rank: Rank::from_priority(info.priority)?,
        verdict: read_verdict(hook, info.action, templates.unwrap_or_default())?,
    };
    let again = write(index, &policy);
    let same = again.user_policy_info.selector == info.selector
        && again.user_policy_info.flags == info.flags
        && write_templates(&policy.key, &policy.verdict) == templates.unwrap_or_default();
    same.then_some(policy)
}

fn write_selector(key: &PolicyKey) -> Selector {
    let KernelSelector { source, destination, protocol, source_ports, destination_ports } = key.selector;
    Selector {
        saddr: Address::from_ip(&source.address()),
        prefixlen_s: source.length(),
        daddr: Address::from_ip(&destination.address()),
        prefixlen_d: destination.length(),
        sport: source_ports.map_or(0, |ports| ports.first()),
        sport_mask: source_ports.map_or(0, port_mask),
        dport: destination_ports.map_or(0, |ports| ports.first()),
        dport_mask: destination_ports.map_or(0, port_mask),
        proto: protocol.unwrap_or(0),
        family: family_number(source.family()),
        ifindex: key.interface.unwrap_or(0) as i32,
        user: USER,
    }
}

/// Of ports that begin at a multiple of their number, which is a power of two.
fn port_mask(ports: Ports) -> u16 {
    !(ports.first() ^ ports.last())
}

fn read_ports(port: u16, mask: u16) -> Option<Ports> {
    Ports::new(port & mask, port | !mask).filter(|_| mask != 0)
}

pub fn read_key(hook: Hook, if_id: u32, selector: &Selector) -> Option<PolicyKey> {
    let xfrm_interface = match if_id {
        0 => None,
        number => Some(Slot::from_reqid(number)?),
    };
    let family = family_with_number(selector.family)?;
    let selector_read = KernelSelector {
        source: Prefix::new(address(family, &selector.saddr), selector.prefixlen_s).ok()?,
        destination: Prefix::new(address(family, &selector.daddr), selector.prefixlen_d).ok()?,
        protocol: (selector.proto != 0).then_some(selector.proto),
        source_ports: read_ports(selector.sport, selector.sport_mask),
        destination_ports: read_ports(selector.dport, selector.dport_mask),
    };
    let interface = (selector.ifindex != 0).then_some(selector.ifindex as u32);
    Some(PolicyKey { hook, interface, xfrm_interface, selector: selector_read })
}

fn write_templates(key: &PolicyKey, verdict: &Verdict) -> Vec<UserTemplate> {
    let (family, lane) = (key.selector.family(), key.lane());
    match verdict {
        Verdict::Pass | Verdict::Block => Vec::new(),
        Verdict::Encrypt(slot, spi) => vec![UserTemplate {
            saddr: Address::from_ip(&slot.inbound_anchor(family)),
            ..template(*slot, slot.outbound_anchor(family, lane), spi.0)
        }],
        Verdict::Decrypted(slots) => slots
            .iter()
            .map(|slot| UserTemplate { optional: 1, ..template(*slot, slot.inbound_anchor(family), 0) })
            .collect(),
    }
}

fn template(slot: Slot, destination: IpAddr, spi: u32) -> UserTemplate {
    UserTemplate {
        id: Id { daddr: Address::from_ip(&destination), spi, proto: IPPROTO_ESP },
        family: family_number(Family::of(destination)),
        reqid: slot.reqid(),
        mode: XFRM_MODE_TUNNEL,
        ..Default::default()
    }
}

fn read_verdict(hook: Hook, action: u8, templates: &[UserTemplate]) -> Option<Verdict> {
    match (action, templates) {
        (XFRM_POLICY_BLOCK, []) => Some(Verdict::Block),
        (XFRM_POLICY_ALLOW, []) => Some(Verdict::Pass),
        (XFRM_POLICY_ALLOW, [only]) if hook == Hook::Out => {
            Some(Verdict::Encrypt(Slot::from_reqid(only.reqid)?, Spi(only.id.spi)))
        }
        (XFRM_POLICY_ALLOW, all) if hook != Hook::Out => Some(Verdict::Decrypted(
            all.iter().map(|one| Slot::from_reqid(one.reqid)).collect::<Option<_>>()?,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8) -> Slot {
        Slot::new(number).unwrap()
    }

    fn example(hook: Hook, verdict: Verdict) -> Policy {
        let selector = KernelSelector {
            source: "10.0.0.0/8".parse().unwrap(),
            destination: Prefix::host("10.9.8.7".parse().unwrap()),
            protocol: Some(6),
            source_ports: None,
            destination_ports: Ports::new(1024, 2047),
        };
        Policy {
            key: PolicyKey { hook, interface: Some(4), xfrm_interface: None, selector },
            rank: Rank::Acl(7),
            verdict,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let policies = [
            example(Hook::Out, Verdict::Encrypt(slot(1), Spi(0x1234_5678))),
            example(Hook::Out, Verdict::Block),
            example(Hook::Out, Verdict::Pass),
            example(Hook::In, Verdict::Decrypted(vec![slot(0)])),
            example(Hook::Forward, Verdict::Decrypted(vec![slot(0), slot(2)])),
        ];
        for policy in policies {
            let index = PolicyIndex::all(policy.key.hook).next().unwrap();
            let held = read(&write(index, &policy));
            assert_eq!(held, HeldPolicy { index, if_id: 0, content: Some(policy) });
        }
    }

    #[test]
    fn multicast_leads_to_an_anchor_of_its_own() {
        let any = Prefix::any(Family::V6);
        let selector = KernelSelector::between(any, Prefix::multicast(Family::V6));
        let mut policy = example(Hook::Out, Verdict::Encrypt(slot(1), Spi(0x1234_5678)));
        policy.key = PolicyKey { interface: None, xfrm_interface: Some(slot(1)), selector, ..policy.key };
        let index = PolicyIndex::all(Hook::Out).next().unwrap();
        let mut message = write(index, &policy);
        assert_eq!(read(&message).content, Some(policy.clone()));
        for attribute in &mut message.nlas {
            if let XfrmAttrs::Template(templates) = attribute {
                assert_eq!(templates[0].id.daddr, Address::from_ip(&"100::848:101".parse().unwrap()));
                templates[0].id.daddr = Address::from_ip(&"100::848:3".parse().unwrap());
            }
        }
        assert_eq!(read(&message).content, None);
    }

    #[test]
    fn a_policy_changed_by_hand_is_not_mistaken_for_ours() {
        let index = PolicyIndex::all(Hook::Out).next().unwrap();
        let changes: [fn(&mut ModifyMessage); 5] = [
            |message| message.user_policy_info.priority = 7,
            |message| message.user_policy_info.flags = 0,
            |message| message.user_policy_info.selector.user = 1000,
            |message| message.nlas = vec![],
            |message| {
                if let [XfrmAttrs::Template(templates)] = &mut message.nlas[..] {
                    templates[0].optional = 1;
                }
            },
        ];
        for change in changes {
            let policy = example(Hook::Out, Verdict::Encrypt(slot(1), Spi(0x1234_5678)));
            let mut message = write(index, &policy);
            change(&mut message);
            assert_ne!(read(&message).content, Some(policy));
        }
    }
}
