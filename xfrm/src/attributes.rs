//! Netlink's attributes as they come, for what the typed parsers of the crates refuse whole: an alias that is no UTF-8, a
//! kind that is newer than they are. Who reads takes what it needs and leaves the rest unread, so that nothing that others
//! write costs an object of ours, or a whole list.

use netlink_packet_core::NlasIterator;

/// The attributes in these octets, kinds and values, up to the first that is damaged.
pub fn attributes(octets: &[u8]) -> Vec<(u16, &[u8])> {
    NlasIterator::new(octets)
        .map_while(Result::ok)
        .map(|attribute| (attribute.kind(), value_of(attribute.into_inner())))
        .collect()
}

/// The first attribute of a kind.
pub fn find<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(one, _)| *one == kind).map(|(_, value)| *value)
}

/// A number of the machine's own order.
pub fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

/// A text up to its end, with a sign in the place of what is no UTF-8: no name of a configuration has that sign.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The iterator has checked the length.
fn value_of(attribute: &[u8]) -> &[u8] {
    let length = attribute.first_chunk().map_or(0, |octets| u16::from_ne_bytes(*octets));
    attribute.get(4..length.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_attributes_end_the_list() {
        assert_eq!(attributes(&[3, 0, 1, 0]), []);
        assert_eq!(attributes(&[200, 0, 1, 0, 9, 9]), []);
        let [low, high] = 5u16.to_ne_bytes();
        let [kind, other] = 9u16.to_ne_bytes();
        let one = [low, high, kind, other, b'x', 0, 0, 0];
        assert_eq!(attributes(&[&one[..], &[200, 0]].concat()), [(9, &b"x"[..])]);
        assert_eq!(find(&attributes(&one), 9), Some(&b"x"[..]));
    }

    #[test]
    fn a_text_need_not_be_utf_8() {
        assert_eq!(text(b"wan\0rest"), "wan");
        assert_eq!(text(b"Z\xfcrich\0"), "Z\u{fffd}rich");
        assert_eq!((number(&7u32.to_ne_bytes()), number(&[1, 2, 3])), (Some(7), None));
    }
}
