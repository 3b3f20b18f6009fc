//! Which credential goes with an address: that of the longest prefix, found without looking at all of them, since first
//! messages of strangers ask for it.

use super::config::CredentialEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the entry of each prefix is in a configuration's list.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    places: BTreeMap<(IpAddr, u8), usize>,
    /// All lengths of prefixes.
    lengths: BTreeSet<u8>,
}

impl Credentials {
    /// Of entries for the same prefix the last one counts.
    pub(super) fn of(entries: &[CredentialEntry]) -> Self {
        let prefixes = entries.iter().map(|entry| (entry.peers.address(), entry.peers.length()));
        Credentials {
            places: prefixes.clone().zip(0..).collect(),
            lengths: prefixes.map(|(_, length)| length).collect(),
        }
    }

    /// The place of the entry for an address.
    pub(super) fn place(&self, address: IpAddr) -> Option<usize> {
        let longest_first = self.lengths.iter().rev();
        longest_first
            .filter_map(|length| Some((network(address, *length)?, *length)))
            .find_map(|prefix| self.places.get(&prefix).copied())
    }
}

/// An address without its host bits; None if it is not so long.
pub(super) fn network(address: IpAddr, length: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let host = 32u32.checked_sub(length.into())?;
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(host).unwrap_or_default()).into()
        }
        IpAddr::V6(address) => {
            let host = 128u32.checked_sub(length.into())?;
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(host).unwrap_or_default()).into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;
    use crate::phase1::Credential;

    #[test]
    fn the_longest_prefix_decides_as_if_all_were_looked_at() {
        let prefixes = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3/32",
            "10.1.2.0/24",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
            "2001:db8:8000::/33",
        ];
        let credential = || Credential::PreSharedKey(Secret::from(&b"x"[..]));
        let entry = |text: &str| CredentialEntry {
            peers: text.parse().unwrap(),
            identity: None,
            credential: credential(),
        };
        for without in 0..=prefixes.len() {
            let chosen = prefixes.iter().enumerate().filter(|(index, _)| *index != without);
            let entries: Vec<_> = chosen.map(|(_, text)| entry(text)).collect();
            let index = Credentials::of(&entries);
            for address in [
                "10.1.2.3",
                "10.1.2.4",
                "10.1.3.4",
                "10.2.3.4",
                "192.0.2.1",
                "0.0.0.0",
                "255.255.255.255",
                "2001:db8::1",
                "2001:db8::2",
                "2001:db8:8000::1",
                "2001:db9::1",
                "::",
                "ff02::1",
            ] {
                let address = address.parse().unwrap();
                let candidates =
                    entries.iter().enumerate().filter(|(_, entry)| entry.peers.contains(address));
                let expected =
                    candidates.max_by_key(|(_, entry)| entry.peers.length()).map(|(place, _)| place);
                assert_eq!(index.place(address), expected, "{address}");
            }
        }
        assert_eq!(Credentials::default().place("10.1.2.3".parse().unwrap()), None);
    }
}
