//! One state as a netlink message and back.

use std::net::Ipv4Addr;
use std::time::Duration;

use netlink_packet_xfrm::constants::{AF_INET, IPPROTO_ESP, XFRM_INF, XFRM_MODE_TUNNEL, XFRM_STATE_ICMP};
use netlink_packet_xfrm::state::ModifyMessage;
use netlink_packet_xfrm::{Address, Alg, AlgAuth, Id, UserSaInfo, XfrmAttrs};
use zeroize::Zeroize;

use super::Usage;
use crate::model::{EncryptionKey, IntegrityKey, Key, Spi};
use crate::object::{anchor_of, Direction, HeldState, State, StateId};

pub fn write(state: &State) -> ModifyMessage {
    let mut user_sa_info = UserSaInfo {
        id: Id { daddr: Address::from_ipv4(&state.id.anchor()), spi: state.id.spi.0, proto: IPPROTO_ESP },
        saddr: Address::from_ipv4(&source_of(state.id)),
        reqid: state.id.slot.reqid(),
        family: AF_INET,
        mode: XFRM_MODE_TUNNEL,
        flags: flags_of(state.id.direction),
        ..Default::default()
    };
    user_sa_info.lifetime_cfg.hard_add_expires_seconds =
        state.hard_lifetime.map_or(0, |span| span.as_secs().max(1));
    ModifyMessage { user_sa_info, nlas: write_keys(state) }
}

/// Whom an encrypted packet seems to come from before its own header is restored. The inbound anchor is a local
/// address that never changes, so a new WAN address does not disturb the data plane.
fn source_of(id: StateId) -> Ipv4Addr {
    match id.direction {
        Direction::Inbound => Ipv4Addr::UNSPECIFIED,
        Direction::Outbound => id.slot.inbound_anchor(),
    }
}

/// With the flag on inbound states and on policies the kernel lets ICMP errors about protected traffic pass through the
/// tunnel although their own addresses match no policy (RFC 4301 section 6; forwarded ones since Linux 6.9).
fn flags_of(direction: Direction) -> u8 {
    match direction {
        Direction::Inbound => XFRM_STATE_ICMP,
        Direction::Outbound => 0,
    }
}

fn write_keys(state: &State) -> Vec<XfrmAttrs> {
    let (encryption, integrity) = (state.encryption.octets(), state.integrity.octets());
    vec![
        XfrmAttrs::EncryptionAlg(Alg {
            alg_name: padded(state.encryption.kernel_name()),
            alg_key_len: bits(encryption),
            alg_key: encryption.to_vec(),
        }),
        XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
            alg_name: padded(state.integrity.kernel_name()),
            alg_key_len: bits(integrity),
            alg_trunc_len: state.integrity.tag_length() * 8,
            alg_key: integrity.to_vec(),
        }),
    ]
}

fn bits(octets: &[u8]) -> u32 {
    octets.len() as u32 * 8
}

fn padded(name: &str) -> [u8; 64] {
    let mut field = [0; 64];
    field[..name.len()].copy_from_slice(name.as_bytes());
    field
}

pub fn wipe(attributes: &mut [XfrmAttrs]) {
    for attribute in attributes {
        match attribute {
            XfrmAttrs::EncryptionAlg(algorithm) | XfrmAttrs::AuthenticationAlg(algorithm) => {
                algorithm.alg_key.zeroize();
            }
            XfrmAttrs::AuthenticationAlgTrunc(algorithm) => algorithm.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlgAead(algorithm) => algorithm.alg_key.zeroize(),
            _ => {}
        }
    }
}

pub fn read(mut message: ModifyMessage) -> Option<(HeldState, Usage)> {
    let info = &message.user_sa_info;
    let name =
        (info.family == AF_INET && info.id.proto == IPPROTO_ESP).then(|| anchor_of(info.id.daddr.to_ipv4()));
    let held = name.flatten().map(|(slot, direction)| {
        let id = StateId { slot, direction, spi: Spi(info.id.spi) };
        (HeldState { id, content: read_content(id, &message) }, usage(info))
    });
    wipe(&mut message.nlas);
    held
}

fn usage(info: &UserSaInfo) -> Usage {
    Usage {
        packets: info.lifetime_cur.packets,
        bytes: info.lifetime_cur.bytes,
        integrity_failures: info.stats.integrity_failed,
    }
}

fn read_content(id: StateId, message: &ModifyMessage) -> Option<State> {
    let info = &message.user_sa_info;
    let usual = info.saddr.to_ipv4() == source_of(id)
        && info.reqid == id.slot.reqid()
        && info.mode == XFRM_MODE_TUNNEL
        && info.flags == flags_of(id.direction)
        && info.replay_window == 0;
    let seconds = info.lifetime_cfg.hard_add_expires_seconds;
    let hard_lifetime = (seconds != 0 && seconds != XFRM_INF).then(|| Duration::from_secs(seconds));
    let encryption = message.nlas.iter().find_map(read_encryption)?;
    let integrity = message.nlas.iter().find_map(read_integrity)?;
    usual.then_some(State { id, encryption, integrity, hard_lifetime })
}

fn read_encryption(attribute: &XfrmAttrs) -> Option<EncryptionKey> {
    let XfrmAttrs::EncryptionAlg(algorithm) = attribute else { return None };
    let key = match algorithm.alg_key.len() {
        16 => EncryptionKey::AesCbc128(key(&algorithm.alg_key)?),
        32 => EncryptionKey::AesCbc256(key(&algorithm.alg_key)?),
        _ => return None,
    };
    (algorithm.alg_name == padded(key.kernel_name())).then_some(key)
}

fn read_integrity(attribute: &XfrmAttrs) -> Option<IntegrityKey> {
    let XfrmAttrs::AuthenticationAlgTrunc(algorithm) = attribute else { return None };
    let key = match algorithm.alg_key.len() {
        32 => IntegrityKey::HmacSha256(key(&algorithm.alg_key)?),
        48 => IntegrityKey::HmacSha384(key(&algorithm.alg_key)?),
        64 => IntegrityKey::HmacSha512(key(&algorithm.alg_key)?),
        _ => return None,
    };
    let usual =
        algorithm.alg_name == padded(key.kernel_name()) && algorithm.alg_trunc_len == key.tag_length() * 8;
    usual.then_some(key)
}

fn key<const N: usize>(octets: &[u8]) -> Option<Key<N>> {
    octets.first_chunk().copied().map(Key::new)
}

impl EncryptionKey {
    fn kernel_name(&self) -> &'static str {
        "cbc(aes)"
    }
}

impl IntegrityKey {
    fn kernel_name(&self) -> &'static str {
        match self {
            Self::HmacSha256(_) => "hmac(sha256)",
            Self::HmacSha384(_) => "hmac(sha384)",
            Self::HmacSha512(_) => "hmac(sha512)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Slot;

    fn example(direction: Direction) -> State {
        State {
            id: StateId { slot: Slot::new(3).unwrap(), direction, spi: Spi(0x8480_0001) },
            encryption: EncryptionKey::AesCbc256(Key::new([7; 32])),
            integrity: IntegrityKey::HmacSha384(Key::new([9; 48])),
            hard_lifetime: Some(Duration::from_secs(3600)),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let state = example(direction);
            let (held, _) = read(write(&state)).unwrap();
            assert_eq!(held.content, Some(state.clone()));
            assert!(state.is_held_as(&held));
        }
    }

    #[test]
    fn a_state_changed_by_hand_is_not_mistaken_for_ours() {
        let state = example(Direction::Inbound);
        let changes: [fn(&mut UserSaInfo); 5] = [
            |info| info.mode = 0,
            |info| info.reqid = 1,
            |info| info.flags = 0,
            |info| info.replay_window = 32,
            |info| info.saddr = Address::from_ipv4(&Ipv4Addr::LOCALHOST),
        ];
        for change in changes {
            let mut message = write(&state);
            change(&mut message.user_sa_info);
            assert!(!state.is_held_as(&read(message).unwrap().0));
        }
    }

    #[test]
    fn keys_hidden_by_lockdown_count_as_unchanged_and_others_do_not() {
        let state = example(Direction::Outbound);
        let with_octet = |octet: u8| {
            let mut message = write(&state);
            for attribute in &mut message.nlas {
                if let XfrmAttrs::EncryptionAlg(algorithm) = attribute {
                    algorithm.alg_key.fill(octet);
                }
            }
            read(message).unwrap().0
        };
        assert!(state.is_held_as(&with_octet(0)));
        assert!(!state.is_held_as(&with_octet(1)));
    }

    #[test]
    fn states_elsewhere_are_not_ours() {
        let mut message = write(&example(Direction::Inbound));
        message.user_sa_info.id.daddr = Address::from_ipv4(&Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(read(message), None);
    }
}
