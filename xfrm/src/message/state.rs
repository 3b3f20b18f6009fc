//! One state as a netlink message and back.

mod keys;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netlink_packet_xfrm::constants::{
    IPPROTO_ESP, XFRM_INF, XFRM_MODE_TUNNEL, XFRM_STATE_ESN, XFRM_STATE_ICMP,
};
use netlink_packet_xfrm::state::ModifyMessage;
use netlink_packet_xfrm::{Address, Id, ReplayEsn, UserSaInfo, XfrmAttrs};

use super::{address, family_number, family_with_number, Usage};
use crate::model::{Family, Lane, Replay, Spi};
use crate::object::{anchor_of, Direction, HeldState, Life, State, StateId};

pub use keys::wipe;

/// Bits of a word of the kernel's replay bitmap.
const WORD: u16 = 32;

pub fn write(state: &State) -> ModifyMessage {
    let mut user_sa_info = UserSaInfo {
        id: Id { daddr: Address::from_ip(&state.id.anchor()), spi: state.id.spi.0, proto: IPPROTO_ESP },
        saddr: Address::from_ip(&source_of(state.id)),
        reqid: state.id.slot.reqid(),
        family: family_number(state.id.family),
        mode: XFRM_MODE_TUNNEL,
        flags: flags_of(state.id.direction, state.replay),
        ..Default::default()
    };
    user_sa_info.lifetime_cfg.hard_add_expires_seconds =
        state.hard_lifetime.map_or(0, |span| span.as_secs().max(1));
    let mut nlas = keys::write(&state.keys);
    nlas.extend(write_replay(state));
    nlas.extend(if_id(state).map(XfrmAttrs::IfId));
    ModifyMessage { user_sa_info, nlas }
}

/// Lets the state end when this says.
pub fn set_life(message: &mut ModifyMessage, life: Life) {
    let lifetime = &mut message.user_sa_info.lifetime_cfg;
    lifetime.hard_add_expires_seconds = life.hard.unwrap_or(0);
    lifetime.soft_add_expires_seconds = life.before.unwrap_or(0);
}

/// Whom an encrypted packet seems to come from before its own header is restored. The inbound anchor is a local
/// address that never changes, so a new WAN address does not disturb the data plane.
fn source_of(id: StateId) -> IpAddr {
    match (id.direction, id.family) {
        (Direction::Inbound, Family::V4) => Ipv4Addr::UNSPECIFIED.into(),
        (Direction::Inbound, Family::V6) => Ipv6Addr::UNSPECIFIED.into(),
        (Direction::Outbound, family) => id.slot.inbound_anchor(family),
    }
}

/// With XFRM_STATE_ICMP on inbound states and on policies the kernel lets ICMP errors about protected traffic pass
/// through the tunnel although their own addresses match no policy (RFC 4301 section 6; forwarded ones since Linux 6.9).
fn flags_of(direction: Direction, replay: Replay) -> u8 {
    let errors = match direction {
        Direction::Inbound => XFRM_STATE_ICMP,
        Direction::Outbound => 0,
    };
    let sequence = match replay {
        Replay::Off => 0,
        Replay::Window { .. } => XFRM_STATE_ESN,
    };
    errors | sequence
}

/// The kernel begins with an empty bitmap when none is sent along.
fn write_replay(state: &State) -> Option<XfrmAttrs> {
    let Replay::Window { size, high } = state.replay else { return None };
    let (seq_hi, oseq_hi) = match state.id.direction {
        Direction::Inbound => (high, 0),
        Direction::Outbound => (0, high),
    };
    let bmp_len = size.div_ceil(WORD).into();
    Some(XfrmAttrs::ReplayStateEsn(ReplayEsn {
        bmp_len,
        seq_hi,
        oseq_hi,
        replay_window: size.into(),
        ..Default::default()
    }))
}

fn if_id(state: &State) -> Option<u32> {
    match state.id.lane {
        Lane::Unicast => None,
        Lane::Multicast => Some(state.id.slot.reqid()),
    }
}

pub fn read(mut message: ModifyMessage) -> Option<(HeldState, Usage)> {
    let held =
        read_id(&message.user_sa_info).map(|id| (held_state(id, &message), usage(&message.user_sa_info)));
    wipe(&mut message.nlas);
    held
}

fn held_state(id: StateId, message: &ModifyMessage) -> HeldState {
    HeldState { id, content: read_content(id, message), life: read_life(&message.user_sa_info) }
}

/// A lifetime of zero seconds is none, as is the longest.
fn read_life(info: &UserSaInfo) -> Life {
    let span = |seconds: u64| Some(seconds).filter(|seconds| *seconds != 0 && *seconds != XFRM_INF);
    Life {
        added: info.lifetime_cur.add_time,
        hard: span(info.lifetime_cfg.hard_add_expires_seconds),
        before: span(info.lifetime_cfg.soft_add_expires_seconds),
    }
}

/// Whether it is at one of our anchors.
pub fn is_ours(info: &UserSaInfo) -> bool {
    read_id(info).is_some()
}

fn read_id(info: &UserSaInfo) -> Option<StateId> {
    let family = family_with_number(info.family).filter(|_| info.id.proto == IPPROTO_ESP)?;
    let (slot, direction, lane) = anchor_of(address(family, &info.id.daddr))?;
    Some(StateId { slot, direction, family, lane, spi: Spi(info.id.spi) })
}

fn usage(info: &UserSaInfo) -> Usage {
    Usage {
        packets: info.lifetime_cur.packets,
        bytes: info.lifetime_cur.bytes,
        integrity_failures: info.stats.integrity_failed,
        replayed: info.stats.replay,
    }
}

fn read_content(id: StateId, message: &ModifyMessage) -> Option<State> {
    let info = &message.user_sa_info;
    let state = State {
        id,
        keys: keys::read(&message.nlas)?,
        replay: read_replay(id.direction, &message.nlas)?,
        hard_lifetime: read_life(info).hard.map(Duration::from_secs),
    };
    let usual = info.saddr == Address::from_ip(&source_of(id))
        && info.reqid == id.slot.reqid()
        && info.mode == XFRM_MODE_TUNNEL
        && info.flags == flags_of(id.direction, state.replay)
        && info.replay_window == 0
        && if_id(&state) == read_if_id(&message.nlas);
    usual.then_some(state)
}

fn read_if_id(attributes: &[XfrmAttrs]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        XfrmAttrs::IfId(number) => Some(*number),
        _ => None,
    })
}

/// Without extended sequence numbers the kernel lists another attribute.
fn read_replay(direction: Direction, attributes: &[XfrmAttrs]) -> Option<Replay> {
    let extended = attributes.iter().find_map(|attribute| match attribute {
        XfrmAttrs::ReplayStateEsn(extended) => Some(extended),
        _ => None,
    });
    let Some(extended) = extended else { return Some(Replay::Off) };
    let size = u16::try_from(extended.replay_window).ok()?;
    let high = match direction {
        Direction::Inbound => extended.seq_hi,
        Direction::Outbound => extended.oseq_hi,
    };
    (extended.bmp_len == u32::from(size.div_ceil(WORD))).then_some(Replay::Window { size, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Aead, Cipher, EspKeys, Integrity, Secret, SenderKey, SharedKeys, Slot};

    fn example(direction: Direction) -> State {
        let (slot, spi) = (Slot::new(3).unwrap(), Spi(0x8480_0001));
        let id = StateId { slot, direction, family: Family::V4, lane: Lane::Unicast, spi };
        let keys = EspKeys::Shared(shared(Cipher::AesCbc256, Integrity::HmacSha384));
        let hard_lifetime = Some(Duration::from_secs(3600));
        State { id, keys, replay: Replay::Off, hard_lifetime }
    }

    fn shared(cipher: Cipher, integrity: Integrity) -> SharedKeys {
        let (encryption, authentication) = (vec![7; cipher.key_len()], vec![9; integrity.key_len()]);
        SharedKeys::new((cipher, encryption.into()), (integrity, authentication.into())).unwrap()
    }

    /// A state of one sender, with everything that the other example has not.
    fn sender(direction: Direction, aead: Aead) -> State {
        let lane = if direction == Direction::Outbound { Lane::Multicast } else { Lane::Unicast };
        let id = StateId { family: Family::V6, lane, ..example(direction).id };
        let replay = Replay::Window { size: 1000, high: 3 };
        let key = SenderKey::new(aead, Secret::new(vec![2; aead.key_len() + Aead::SALT_LEN])).unwrap();
        State { id, keys: EspKeys::Sender(key), replay, hard_lifetime: None }
    }

    fn examples() -> Vec<State> {
        let ciphers = Cipher::ALL.into_iter().flat_map(|one| Integrity::ALL.map(|other| (one, other)));
        let keys: Vec<_> = ciphers.map(|(one, other)| EspKeys::Shared(shared(one, other))).collect();
        let each = [Direction::Inbound, Direction::Outbound].into_iter().flat_map(|direction| {
            let shared = keys.iter().map(move |keys| State { keys: keys.clone(), ..example(direction) });
            shared.chain(Aead::ALL.map(|aead| sender(direction, aead)))
        });
        each.collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for state in examples() {
            let (held, _) = read(write(&state)).unwrap();
            assert_eq!(held.content, Some(state.clone()));
            assert!(state.is_held_as(&held));
        }
    }

    #[test]
    fn another_life_is_read_again_with_what_it_was_before() {
        let mut message = write(&example(Direction::Inbound));
        message.user_sa_info.lifetime_cur.add_time = 5;
        let life = Life { added: 5, hard: Some(60), before: Some(3600) };
        set_life(&mut message, life);
        assert_eq!(read(message).map(|(held, _)| held.life), Some(life));
        let (held, _) = read(write(&sender(Direction::Outbound, Aead::AesGcm256))).unwrap();
        assert_eq!(held.life, Life::default());
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
    fn moving_counters_are_ignored_and_another_window_is_noticed() {
        let state = sender(Direction::Inbound, Aead::AesGcm256);
        let changed = |change: fn(&mut ReplayEsn)| {
            let mut message = write(&state);
            for attribute in &mut message.nlas {
                if let XfrmAttrs::ReplayStateEsn(extended) = attribute {
                    change(extended);
                }
            }
            state.is_held_as(&read(message).unwrap().0)
        };
        assert!(changed(|extended| (extended.seq, extended.seq_hi, extended.bmp) = (9, 8, vec![7; 32])));
        assert!(!changed(|extended| extended.replay_window = 999));
        assert!(!changed(|extended| extended.bmp_len = 31));
    }

    #[test]
    fn a_state_without_its_window_or_interface_is_not_mistaken_for_ours() {
        for (direction, kept) in [(Direction::Inbound, 1), (Direction::Outbound, 2)] {
            let state = sender(direction, Aead::AesGcm256);
            let mut message = write(&state);
            message.nlas.truncate(kept);
            assert!(!state.is_held_as(&read(message).unwrap().0));
        }
    }

    #[test]
    fn keys_hidden_by_lockdown_count_as_unchanged_and_others_do_not() {
        for state in examples() {
            let with_octet = |octet: u8| {
                let mut message = write(&state);
                for attribute in &mut message.nlas {
                    match attribute {
                        XfrmAttrs::EncryptionAlg(algorithm) => algorithm.alg_key.fill(octet),
                        XfrmAttrs::EncryptionAlgAead(algorithm) => algorithm.alg_key.fill(octet),
                        _ => {}
                    }
                }
                read(message).unwrap().0
            };
            assert!(state.is_held_as(&with_octet(0)));
            assert!(!state.is_held_as(&with_octet(3)));
        }
    }

    #[test]
    fn states_elsewhere_are_not_ours() {
        let mut message = write(&example(Direction::Inbound));
        message.user_sa_info.id.daddr = Address::from_ipv4(&Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(read(message), None);
    }
}
