//! A member and a key server that keeps to no rule, alone with each other.

use super::fleet::{member, member_config, server_address};
use super::node::Node;
use super::rogue::Rogue;
use gdoi::crypto::cbc::Block;
use gdoi::policy::Identity;
use gdoi::wire::{emit_chain, ExchangeType, Header, Identification, PayloadType};
use gdoi::{Instant, Member, MemberConfig, MemberEvent};

/// The server's nonce.
pub const NR: [u8; 16] = [0x52; 16];
/// Time stands still.
pub const NOW: Instant = Instant::from_millis(1_000_000);

/// The member under test and the key server that it believes.
pub struct Duel {
    pub member: Node<Member>,
    pub rogue: Rogue,
    id: u32,
    ni: Vec<u8>,
    iv: Block,
}

fn talk(member: &mut Node<Member>, datagram: &[u8]) -> Vec<u8> {
    let sent = member.datagram(server_address(1), datagram, NOW);
    sent.into_iter().next().unwrap_or_else(|| panic!("no answer: {:?}", member.events)).payload
}

fn server_id() -> Vec<u8> {
    Identification::phase1(&Identity::Address(server_address(1).ip())).emit().unwrap()
}

/// A member that was told this identity of the server's.
pub fn introduced(id_b: &[u8]) -> Node<Member> {
    let mut node = Node::new(member(member_config(1), 1), NOW);
    let first = node.timeout(NOW).remove(0).payload;
    let (mut rogue, fifth) = Rogue::answer(&first, |datagram| talk(&mut node, datagram));
    node.datagram(server_address(1), &rogue.introduce_server(&fifth, id_b), NOW);
    node
}

impl Duel {
    /// Up to the member's first PULL message.
    pub fn begin() -> Duel {
        Duel::with(member_config(1))
    }

    /// The same with this member.
    pub fn with(config: MemberConfig) -> Duel {
        let mut node = Node::new(member(config, 1), NOW);
        let first = node.timeout(NOW).remove(0).payload;
        let (mut rogue, fifth) = Rogue::answer(&first, |datagram| talk(&mut node, datagram));
        let sixth = rogue.introduce_server(&fifth, &server_id());
        let request = talk(&mut node, &sixth);
        Duel::requested(node, rogue, &request)
    }

    fn requested(member: Node<Member>, rogue: Rogue, request: &[u8]) -> Duel {
        let id = Header::parse(request).unwrap().0.message_id;
        let payloads = rogue.open(request, &rogue.first_iv(id));
        assert_eq!(
            payloads.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [PayloadType::HASH, PayloadType::NONCE, PayloadType::ID]
        );
        Duel { member, rogue, id, ni: payloads[1].1.clone(), iv: *request.last_chunk().unwrap() }
    }

    /// The second message of the PULL.
    pub fn second(&self, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
        let hash = |rest: &[u8]| self.rogue.keys().pull_hash_2(self.id, &self.ni, rest);
        self.rogue.say((ExchangeType::GROUPKEY_PULL, self.id), &self.iv, payloads, hash)
    }

    /// Sends this as SA payload, and if the member goes on, these payloads instead of the keys.
    pub fn offer(self, policy: &[u8], keys: &[(PayloadType, &[u8])]) -> Duel {
        let next = keys.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
        self.offer_octets(policy, (next, &emit_chain(keys).unwrap()))
    }

    /// As [`Duel::offer`], with any octets as the chain behind the hash of the fourth message.
    pub fn offer_octets(mut self, policy: &[u8], chain: (PayloadType, &[u8])) -> Duel {
        let second = self.second(&[(PayloadType::NONCE, &NR), (PayloadType::SA, policy)]);
        let sent = self.member.datagram(server_address(1), &second, NOW);
        let third = sent.first().map(|transmit| &transmit.payload[..]);
        let goes_on = |third: &&[u8]| Header::parse(third).unwrap().0.exchange == ExchangeType::GROUPKEY_PULL;
        if let Some(third) = third.filter(goes_on) {
            let hash = |rest: &[u8]| self.rogue.keys().pull_hash_4(self.id, &self.ni, &NR, rest);
            let exchange = (ExchangeType::GROUPKEY_PULL, self.id);
            let fourth = self.rogue.say_octets(exchange, third.last_chunk().unwrap(), chain, hash);
            self.member.datagram(server_address(1), &fourth, NOW);
        }
        self
    }

    /// Why the member gave up; nothing was taken.
    pub fn failure(&self) -> String {
        let failed = self.member.events.iter().find_map(|(_, event)| match event {
            MemberEvent::RegistrationFailed { reason, .. } => Some(reason.to_string()),
            _ => None,
        });
        assert!(!self.member.endpoint.view(NOW).registered);
        failed.unwrap_or_else(|| panic!("{:?}", self.member.events))
    }
}
