//! How large TCP segments may be so that they fit, encrypted, through the WAN.

use crate::config::MssClamp;
use xfrm::{Gate, PathMtu, Sa};

/// A TCP header without options, in octets.
const TCP_HEADER: u32 = 20;
/// Every host takes so much (RFC 9293 section 3.7.1).
const LEAST: u32 = 536;

/// What TCP connections may agree on at most, in octets; none leaves them alone. One number holds for both versions of
/// IP, so it is the smaller one.
pub fn clamp(wanted: MssClamp, gate: &Gate, link_mtu: Option<u32>, path_mtu: PathMtu) -> Option<u16> {
    let outbound = match gate {
        Gate::Protect(protection) => &protection.outbound[..],
        Gate::Closed | Gate::Open => &[],
    };
    match wanted {
        MssClamp::Off => None,
        MssClamp::Fixed(octets) => Some(octets),
        MssClamp::Auto => outbound.iter().filter_map(|sa| segment(sa, link_mtu?, path_mtu)).min(),
    }
}

fn segment(sa: &Sa, link_mtu: u32, path_mtu: PathMtu) -> Option<u16> {
    let mtu = path_mtu.of(sa.family).unwrap_or(link_mtu).min(link_mtu);
    let headers = sa.family.header_octets() + TCP_HEADER;
    let room = sa.keys.transform().longest_inside(sa.family, mtu).saturating_sub(headers);
    u16::try_from(room.max(LEAST)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfrm::{Aead, EspKeys, Family, Lane, Protection, Replay, SenderKey, Spi};

    fn gate(families: &[Family]) -> Gate {
        let key = SenderKey::new(Aead::AesGcm256, vec![1; 36].into()).unwrap();
        let sa = |family: &Family| Sa {
            spi: Spi(1000),
            family: *family,
            lane: Lane::Unicast,
            keys: EspKeys::Sender(key.clone()),
            replay: Replay::Off,
            hard_lifetime: None,
        };
        Gate::Protect(Protection { outbound: families.iter().map(sa).collect(), ..Default::default() })
    }

    #[test]
    fn a_segment_with_its_headers_fits_the_narrowest_part() {
        let auto = |families: &[Family], path| clamp(MssClamp::Auto, &gate(families), Some(1500), path);
        let wide = PathMtu::default();
        assert_eq!(auto(&[Family::V4], wide), Some(1446 - 40));
        assert_eq!(auto(&[Family::V6], wide), Some(1426 - 60));
        assert_eq!(auto(&Family::ALL, wide), Some(1426 - 60));
        assert_eq!(auto(&[Family::V4], PathMtu { v4: Some(1400), v6: Some(1280) }), Some(1346 - 40));
        assert_eq!(auto(&[], wide), None);
    }

    #[test]
    fn a_number_holds_and_off_is_off() {
        let clamp = |wanted| clamp(wanted, &gate(&Family::ALL), Some(1500), PathMtu::default());
        assert_eq!((clamp(MssClamp::Fixed(1300)), clamp(MssClamp::Off)), (Some(1300), None));
    }
}
