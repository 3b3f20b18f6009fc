//! How links lie upon each other, as the kernel says it.

use crate::attributes::{attributes, find, number, text};
use crate::object::Stacked;

/// IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO and IFLA_LINK_NETNSID.
const BELOW: u16 = 5;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const BELOW_ELSEWHERE: u16 = 37;
/// IFLA_INFO_KIND.
const KIND: u16 = 1;

/// Of a link's attributes. The index of a link below that is in another network namespace says nothing here.
pub fn read(link: &[(u16, &[u8])]) -> Stacked {
    let info = find(link, LINK_INFO).map(attributes).unwrap_or_default();
    let below = find(link, BELOW).and_then(number).filter(|_| find(link, BELOW_ELSEWHERE).is_none());
    Stacked {
        kind: find(&info, KIND).map(text).unwrap_or_default(),
        master: find(link, MASTER).and_then(number),
        below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_another_namespace_is_not_below() {
        let (five, seven) = (5u32.to_ne_bytes(), 7u32.to_ne_bytes());
        let [low, high] = 12u16.to_ne_bytes();
        let [kind, rest] = KIND.to_ne_bytes();
        let info = [&[low, high, kind, rest][..], b"macvlan\0"].concat();
        let link = vec![(BELOW, &five[..]), (MASTER, &seven[..]), (LINK_INFO, &info[..])];
        let read = [read(&link), read(&[link, vec![(BELOW_ELSEWHERE, &seven[..])]].concat())];
        let expected = Stacked { kind: "macvlan".into(), master: Some(7), below: Some(5) };
        assert_eq!(read, [expected.clone(), Stacked { below: None, ..expected }]);
    }

    #[test]
    fn a_card_lies_upon_nothing() {
        assert_eq!(read(&[(LINK_INFO, &[1, 2][..]), (MASTER, &[1][..])]), Stacked::default());
    }
}
