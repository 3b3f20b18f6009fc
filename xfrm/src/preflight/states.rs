//! The algorithms that this kernel has. States are tried out for an instant at an anchor address that is not in use.

use std::io;
use std::time::Duration;

use super::Problem;
use crate::model::{AeadKey, Algorithm, EncryptionKey, Family, IntegrityKey, Key, Lane, Replay, Slot, Spi};
use crate::object::{Direction, State, StateId};
use crate::Kernel;

const EPROTONOSUPPORT: i32 = 93;
const ENOSYS: i32 = 38;
const ENOENT: i32 = 2;

/// Tries every algorithm; when ESP itself is missing one line is enough.
pub fn problems() -> Vec<Problem> {
    let mut kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(error) => {
            return vec![Problem::Fatal(format!("the kernel has no XFRM (module xfrm_user): {error}"))]
        }
    };
    let mut lacking = |(name, state): (&'static str, State)| {
        kernel.try_state(&state).err().map(|error| explain(name, &error))
    };
    let mut fatal: Vec<_> = shared().into_iter().filter_map(&mut lacking).map(Problem::Fatal).collect();
    fatal.dedup();
    if fatal.is_empty() {
        return per_sender().into_iter().filter_map(lacking).map(Problem::Warning).collect();
    }
    fatal
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
fn shared() -> Vec<(&'static str, State)> {
    let aes_128 = || EncryptionKey::AesCbc128(Key::new([1; 16]));
    let aes_256 = || EncryptionKey::AesCbc256(Key::new([1; 32]));
    vec![
        ("AES-CBC-128 and HMAC-SHA-256", sample(aes_128(), IntegrityKey::HmacSha256(Key::new([1; 32])))),
        ("AES-CBC-256 and HMAC-SHA-384", sample(aes_256(), IntegrityKey::HmacSha384(Key::new([1; 48])))),
        ("AES-CBC-256 and HMAC-SHA-512", sample(aes_256(), IntegrityKey::HmacSha512(Key::new([1; 64])))),
    ]
}

/// What only groups of this transform use.
fn per_sender() -> Vec<(&'static str, State)> {
    let sample = |algorithm| State {
        algorithm: Algorithm::Aead(algorithm),
        replay: Replay::Window { size: 1024, high: 0 },
        ..sample(EncryptionKey::AesCbc128(Key::new([1; 16])), IntegrityKey::HmacSha256(Key::new([1; 32])))
    };
    vec![
        ("the transform aes-128-gcm", sample(AeadKey::AesGcm128(Key::new([1; 20])))),
        ("the transform aes-256-gcm", sample(AeadKey::AesGcm256(Key::new([1; 36])))),
        ("the transform chacha20-poly1305", sample(AeadKey::ChaCha20Poly1305(Key::new([1; 36])))),
    ]
}

fn sample(encryption: EncryptionKey, integrity: IntegrityKey) -> State {
    let id = StateId {
        slot: Slot::LAST,
        direction: Direction::Inbound,
        family: Family::V4,
        lane: Lane::Unicast,
        spi: Spi(0xffff_fffe),
    };
    State {
        id,
        algorithm: Algorithm::Cbc { encryption, integrity },
        replay: Replay::Off,
        hard_lifetime: Some(Duration::from_secs(1)),
    }
}
