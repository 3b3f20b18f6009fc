//! Security associations.

use std::time::Duration;

use super::{EspKeys, Family, Spi};

/// A security association: ESP tunnel mode under the packet's own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    /// Its name on the wire.
    pub spi: Spi,
    /// Which packets it carries; a shared key for both families is two SAs.
    pub family: Family,
    /// Which traffic it sends; what is received needs no lane and has `Unicast`.
    pub lane: Lane,
    /// Ciphers and keys.
    pub keys: EspKeys,
    /// Sequence numbers; the same at all members or nothing is understood.
    pub replay: Replay,
    /// The kernel forgets the state so long after this was wanted (whole seconds): a backstop for a dead agent. A state
    /// that ends sooner is given more time.
    pub hard_lifetime: Option<Duration>,
}

/// Which traffic an outbound SA sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// All that the plane's interface carries.
    #[default]
    Unicast,
    /// Forwarded IPv6 multicast, which the kernel encrypts only behind an XFRM interface. Its `if_id` is the plane's
    /// reqid.
    Multicast,
}

impl Lane {
    /// What there is to send with.
    pub const OF_FAMILIES: [(Family, Self); 3] =
        [(Family::V4, Self::Unicast), (Family::V6, Self::Unicast), (Family::V6, Self::Multicast)];
}

/// Protection from replay, and with it extended sequence numbers (RFC 4303 section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Neither: several senders share the SA.
    Off,
    /// Both.
    Window {
        /// Packets that may arrive late, 1 to 4096.
        size: u16,
        /// The high 32 bits of the sequence number that a state begins with: `under_way` for one that is added when its
        /// sender has sent already, otherwise 0. Not compared afterwards: the kernel counts on.
        high: u32,
    },
}

impl Replay {
    /// For the state of a sender that was first heard with this sequence number, all 64 bits of it.
    ///
    /// A new state's window ends at 0 of `high`. The last numbers before that belong to the `high` before it, so a packet
    /// with one of them needs the next.
    pub fn under_way(size: u16, sequence: u64) -> Self {
        let (high, low) = ((sequence >> 32) as u32, sequence as u32);
        let is_before = low > u32::MAX - u32::from(size.saturating_sub(1));
        Self::Window { size, high: high.saturating_add(is_before.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_begins_where_its_first_packet_is_understood() {
        let high = |sequence| match Replay::under_way(1024, sequence) {
            Replay::Window { high, .. } => high,
            Replay::Off => panic!("no window"),
        };
        assert_eq!([high(1), high(0x3_0000_0001), high(0x3_ffff_fc00), high(0x3_ffff_fc01)], [0, 3, 3, 4]);
    }
}
