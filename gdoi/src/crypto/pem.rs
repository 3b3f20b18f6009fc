//! Just enough of PEM (RFC 7468) to read and write one PKCS#8 private key.

use zeroize::Zeroizing;

use super::{Error, Secret};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// So many octets fill a line of 64 symbols.
const LINE: usize = 48;

/// The DER octets of the first `PRIVATE KEY` block of the text; what surrounds it is ignored.
///
/// # Errors
/// [`Error::BadKey`] if there is no such block or it is not base64 in its only canonical form.
pub(super) fn private_key(text: &str) -> Result<Secret, Error> {
    let (_, rest) = text.split_once(BEGIN).ok_or(Error::BadKey)?;
    let (body, _) = rest.split_once(END).ok_or(Error::BadKey)?;
    let symbols: Zeroizing<Vec<u8>> =
        Zeroizing::new(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    base64(&symbols)
}

/// The octets as a `PRIVATE KEY` block.
pub(super) fn private_key_block(der: &Secret) -> Secret {
    let mut text = Zeroizing::new(Vec::with_capacity(der.len() / 3 * 4 + der.len() / 48 + 80));
    text.extend_from_slice(BEGIN.as_bytes());
    for line in der.expose().chunks(LINE) {
        text.push(b'\n');
        line.chunks(3).for_each(|group| text.extend_from_slice(&encoded(group)));
    }
    text.extend_from_slice(b"\n");
    text.extend_from_slice(END.as_bytes());
    text.push(b'\n');
    Secret::from(text.as_slice())
}

/// The four symbols of one to three octets.
fn encoded(group: &[u8]) -> [u8; 4] {
    let octet = |position: usize| group.get(position).copied().unwrap_or(0);
    let bits = u32::from_be_bytes([0, octet(0), octet(1), octet(2)]);
    let symbol = |position: usize| match position <= group.len() {
        true => symbol((bits >> (18 - 6 * position) & 63) as u8),
        false => b'=',
    };
    [symbol(0), symbol(1), symbol(2), symbol(3)]
}

const fn symbol(value: u8) -> u8 {
    match value {
        0..26 => b'A' + value,
        26..52 => b'a' + value - 26,
        52..62 => b'0' + value - 52,
        62 => b'+',
        _ => b'/',
    }
}

fn base64(symbols: &[u8]) -> Result<Secret, Error> {
    let padding = symbols.iter().rev().take(2).take_while(|symbol| **symbol == b'=').count();
    if symbols.is_empty() || symbols.len() % 4 != 0 {
        return Err(Error::BadKey);
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(symbols.len() / 4 * 3));
    for group in symbols[..symbols.len() - padding].chunks(4) {
        octets.extend_from_slice(&decoded(group)?[..group.len() - 1]);
    }
    Ok(Secret::from(octets.as_slice()))
}

/// The three octets of up to four symbols; those that the symbols do not reach must be zero.
fn decoded(group: &[u8]) -> Result<[u8; 3], Error> {
    let mut bits = 0;
    for position in 0..4 {
        bits = bits << 6 | group.get(position).map_or(Ok(0), |symbol| value(*symbol))?;
    }
    let [_, octets @ ..] = u32::to_be_bytes(bits);
    if octets[group.len() - 1..].iter().any(|octet| *octet != 0) {
        return Err(Error::BadKey);
    }
    Ok(octets)
}

fn value(symbol: u8) -> Result<u32, Error> {
    match symbol {
        b'A'..=b'Z' => Ok(u32::from(symbol - b'A')),
        b'a'..=b'z' => Ok(u32::from(symbol - b'a') + 26),
        b'0'..=b'9' => Ok(u32::from(symbol - b'0') + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => Err(Error::BadKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(body: &str) -> Result<Secret, Error> {
        private_key(&format!("some text\n{BEGIN}\n{body}\n{END}\nmore\n"))
    }

    #[test]
    fn rfc_4648_section_10() {
        let expected = ["f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = ["Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9v\r\nYmFy"];
        for (expected, encoded) in expected.into_iter().zip(encoded) {
            assert_eq!(block(encoded).unwrap().expose(), expected.as_bytes());
        }
        assert_eq!(block("+/+/").unwrap().expose(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn what_is_written_is_read() {
        for length in 1..200u8 {
            let der = Secret::new((0..length).map(|octet| octet.wrapping_mul(83)).collect());
            let text = String::from_utf8(private_key_block(&der).expose().to_vec()).unwrap();
            assert!(text.lines().all(|line| line.len() <= 64) && text.ends_with("KEY-----\n"), "{text}");
            assert_eq!(private_key(&text), Ok(der));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for wrong in
            ["", "Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9v=Zg=", "Zm-v", "Zg==Zg=="]
        {
            assert_eq!(block(wrong), Err(Error::BadKey), "{wrong}");
        }
    }

    #[test]
    fn other_blocks_are_refused() {
        let ends = [
            "",
            BEGIN,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nZm9v\n-----END ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nZm9v\n-----END EC PRIVATE KEY-----",
            "-----END PRIVATE KEY-----\nZm9v\n-----BEGIN PRIVATE KEY-----",
        ];
        for text in ends {
            assert_eq!(private_key(text), Err(Error::BadKey), "{text}");
        }
    }
}
