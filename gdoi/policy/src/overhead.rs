//! By how much ESP makes packets longer (RFC 4303 section 2), all in octets.

use super::{Family, Transform};

/// SPI and sequence number.
const ESP_HEADER: u32 = 8;
/// Pad length and next header.
const TRAILER: u32 = 2;

impl Transform {
    /// By how much a packet grows at most, in octets.
    pub const fn overhead(self, family: Family) -> u32 {
        self.fixed(family) + TRAILER + self.block_octets() - 1
    }

    /// The longest packet, in octets, that is not longer than `mtu` when it is encrypted (the kernel's
    /// `xfrm_state_mtu`).
    pub const fn longest_inside(self, family: Family, mtu: u32) -> u32 {
        let room = mtu.saturating_sub(self.fixed(family));
        (room - room % self.block_octets()).saturating_sub(TRAILER)
    }

    /// The smallest MTU that leaves room for packets of so many octets inside.
    pub const fn shortest_outside(self, family: Family, inside: u32) -> u32 {
        self.fixed(family) + (inside + TRAILER).next_multiple_of(self.block_octets())
    }

    const fn fixed(self, family: Family) -> u32 {
        family.header_octets() + ESP_HEADER + self.iv_octets() + self.icv_octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transform(name: &str) -> Transform {
        name.parse().unwrap()
    }

    /// 1446 over 1500 is what the kernel tells hosts for GCM over IPv4.
    #[test]
    fn the_longest_packet_inside_is_the_kernels() {
        let (cbc, gcm) = (transform("aes-256-cbc/hmac-sha-256"), transform("aes-256-gcm"));
        assert_eq!(gcm.longest_inside(Family::V4, 1500), 1446);
        assert_eq!(gcm.longest_inside(Family::V6, 1500), 1426);
        assert_eq!(cbc.longest_inside(Family::V4, 1500), 1438);
        assert_eq!(cbc.longest_inside(Family::V4, 40), 0);
        for transform in [cbc, gcm] {
            let least = transform.shortest_outside(Family::V6, 1280);
            assert!(transform.longest_inside(Family::V6, least) >= 1280);
            assert!(transform.longest_inside(Family::V6, least - 1) < 1280);
        }
    }

    #[test]
    fn no_packet_grows_by_more_than_the_overhead() {
        for name in ["aes-256-cbc/hmac-sha-256", "aes-128-cbc/hmac-sha-512", "aes-256-gcm"] {
            for family in Family::ALL {
                for mtu in 1280..1400 {
                    let transform = transform(name);
                    let grown = transform.longest_inside(family, mtu) + transform.overhead(family);
                    assert!((mtu..mtu + 16).contains(&grown), "{mtu} {grown}");
                }
            }
        }
    }
}
