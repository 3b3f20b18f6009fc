/// Fuzzer input as datagrams: each is preceded by its length in two octets; the last may be shorter.
pub fn datagrams(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (datagram, left) = rest.split_at(length);
        input = left;
        Some(datagram)
    })
}

/// The input that [`datagrams`] takes apart; each is shorter than 65536 octets.
pub fn sequence<'a>(datagrams: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for datagram in datagrams {
        out.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
        out.extend_from_slice(datagram);
    }
    out
}
