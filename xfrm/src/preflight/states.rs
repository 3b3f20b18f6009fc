//! The algorithms that this kernel has. States are tried out for an instant at an anchor address that is not in use.

use std::io;
use std::time::Duration;

use super::Problem;
use crate::model::{
    Aead, Cipher, EspKeys, Family, Integrity, Lane, Replay, Secret, SenderKey, SharedKeys, Slot, Spi,
};
use crate::object::{Direction, State, StateId};
use crate::Kernel;

/// What lacks with an algorithm.
const GROUPS: &str = "; the traffic of a group that uses it is blocked";
const EPROTONOSUPPORT: i32 = 93;
const ENOSYS: i32 = 38;
const ENOENT: i32 = 2;

/// Tries every algorithm: without any nothing works, without some the groups that use them are blocked. When ESP itself is
/// missing one line is enough.
pub fn problems() -> Vec<Problem> {
    let mut kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(error) => {
            return vec![Problem::Fatal(format!("the kernel has no XFRM (module xfrm_user): {error}"))]
        }
    };
    judged(shared().into_iter().chain(per_sender()), |state| kernel.try_state(state))
}

fn judged(
    all: impl Iterator<Item = (String, State)>,
    mut attempt: impl FnMut(&State) -> io::Result<()>,
) -> Vec<Problem> {
    let (mut lacking, mut works) = (Vec::new(), false);
    for (name, state) in all {
        match attempt(&state) {
            Ok(()) => works = true,
            Err(error) => lacking.push(explain(&name, &error)),
        }
    }
    lacking.dedup();
    match works {
        true => lacking.into_iter().map(|line| Problem::Warning(line + GROUPS)).collect(),
        false => lacking.into_iter().map(Problem::Fatal).collect(),
    }
}

fn explain(name: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(EPROTONOSUPPORT) => {
            "the kernel has no ESP (module esp4; some cloud and container kernels are built \
                                  without it, some systems blacklist it in modprobe.d)"
                .into()
        }
        Some(ENOSYS | ENOENT) => format!("the kernel lacks an algorithm of {name}"),
        _ => format!("the kernel refuses a state with {name}: {error}"),
    }
}

/// What every group may use.
fn shared() -> Vec<(String, State)> {
    let all = [
        ("AES-CBC-128 and HMAC-SHA-256", Cipher::AesCbc128, Integrity::HmacSha256),
        ("AES-CBC-256 and HMAC-SHA-384", Cipher::AesCbc256, Integrity::HmacSha384),
        ("AES-CBC-256 and HMAC-SHA-512", Cipher::AesCbc256, Integrity::HmacSha512),
    ];
    let keys = all.into_iter().filter_map(|(name, cipher, integrity)| {
        let keys = (cipher, secret(cipher.key_len()));
        let keys = SharedKeys::new(keys, (integrity, secret(integrity.key_len()))).ok()?;
        Some((name.into(), sample(EspKeys::Shared(keys), Replay::Off)))
    });
    keys.collect()
}

/// What only groups of this transform use.
fn per_sender() -> Vec<(String, State)> {
    let keys = Aead::ALL.into_iter().filter_map(|aead| {
        let key = SenderKey::new(aead, secret(aead.key_len() + Aead::SALT_LEN)).ok()?;
        let state = sample(EspKeys::Sender(key), Replay::Window { size: 1024, high: 0 });
        Some((format!("the transform {}", aead.name()), state))
    });
    keys.collect()
}

fn secret(len: usize) -> Secret {
    Secret::new(vec![1; len])
}

fn sample(keys: EspKeys, replay: Replay) -> State {
    let id = StateId {
        slot: Slot::LAST,
        direction: Direction::Inbound,
        family: Family::V4,
        lane: Lane::Unicast,
        spi: Spi(0xffff_fffe),
    };
    State { id, keys, replay, hard_lifetime: Some(Duration::from_secs(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Transform;

    #[test]
    fn only_a_kernel_without_any_algorithm_is_refused() {
        let lacks = |octets: usize| {
            let refuse = move |state: &State| match state.keys.transform() {
                Transform::Shared { integrity, .. } if integrity.key_len() >= octets => {
                    Err(io::Error::from_raw_os_error(ENOSYS))
                }
                Transform::PerSender(_) if octets == 0 => Err(io::Error::from_raw_os_error(ENOSYS)),
                _ => Ok(()),
            };
            judged(shared().into_iter().chain(per_sender()), refuse)
        };
        let one = lacks(64);
        assert!(
            matches!(&one[..], [Problem::Warning(line)] if line.contains("SHA-512") && line.contains("blocked"))
        );
        assert!(!lacks(0).is_empty() && lacks(0).iter().all(|one| matches!(one, Problem::Fatal(_))));
        let without_esp = |_: &State| Err(io::Error::from_raw_os_error(EPROTONOSUPPORT));
        assert_eq!(judged(shared().into_iter(), without_esp).len(), 1);
    }

    #[test]
    fn every_algorithm_is_tried() {
        let tried = |transform: &dyn Fn(Transform) -> bool| {
            shared().iter().chain(&per_sender()).any(|(_, state)| transform(state.keys.transform()))
        };
        for cipher in Cipher::ALL {
            assert!(tried(&|one| matches!(one, Transform::Shared { cipher: used, .. } if used == cipher)));
        }
        for integrity in Integrity::ALL {
            assert!(tried(
                &|one| matches!(one, Transform::Shared { integrity: used, .. } if used == integrity)
            ));
        }
        Aead::ALL.iter().for_each(|aead| assert!(tried(&|one| one == Transform::PerSender(*aead))));
    }
}
