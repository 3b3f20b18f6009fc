use gdoi::fragment::{Origin, Piece, Purpose, Reassembly, MAX_MESSAGES, MAX_OCTETS};
use gdoi::Instant;
use std::time::Duration;

/// Feeds datagrams, each of which begins with two octets more: whose it is, and how long after the one before it comes, in
/// units of 8 ms. The messages that come out; bounds are asserted on the way. Time passes for all
/// purposes before a datagram of one of them, so that no timeout that is left lies behind.
pub fn reassemble<'a>(datagrams: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut reassembly, mut now, mut whole) =
        (Reassembly::default(), Instant::from_millis(1_000_000), Vec::new());
    for datagram in datagrams {
        let Some(([peer, pause], datagram)) = datagram.split_first_chunk() else { continue };
        now = now + Duration::from_millis(u64::from(*pause) * 8);
        reassembly.expire(now);
        let Ok(piece) = Piece::parse(datagram) else { continue };
        let purposes = [
            Purpose::Registration,
            Purpose::Cooperation,
            Purpose::Rekey(Origin::Expected),
            Purpose::Rekey(Origin::Anybody),
        ];
        let purpose = purposes[usize::from(*peer) % purposes.len()];
        let result = reassembly.add(([192, 0, 2, *peer], 848).into(), purpose, &piece, now);
        whole.extend(result.into_iter().flatten());
        let (messages, octets) = reassembly.held();
        assert!(messages <= purposes.len() * MAX_MESSAGES && octets <= purposes.len() * MAX_OCTETS);
        assert!(reassembly.next_timeout().is_some_and(|timeout| timeout > now));
    }
    reassembly.expire(now + gdoi::fragment::LIFE);
    assert_eq!(reassembly.held(), (0, 0));
    whole
}
