//! What a key server that knows the pre-shared key may say: any SA payload, any payloads instead of the keys. The member
//! takes only what its data plane can carry out.
#![no_main]

use gdoi::policy::{MAX_ACES, MAX_REPLAY_WINDOW};
use gdoi::wire::PayloadType;
use gdoi::MemberConfig;
use gdoi_fuzz::bench::duel::{Duel, NOW};
use gdoi_fuzz::bench::fleet::member_config;
use gdoi_fuzz::datagrams;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = datagrams(input);
    let (policy, keys) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (next, octets) = keys.split_first().unwrap_or((&0, &[]));
    let duel = Duel::with(MemberConfig { sender_ids: 2, ..member_config(1) });
    let duel = duel.offer_octets(policy, (PayloadType(*next), octets));
    let view = duel.member.endpoint.view(NOW);
    assert!(view.acl.entries().len() <= MAX_ACES && view.inbound.len() <= 8);
    assert_eq!(view.registered, view.outbound.is_some());
    for sa in view.outbound.iter().filter(|sa| sa.transform.is_per_sender()) {
        assert!(view.sids.len() == 2 && view.sids[0] != view.sids[1]);
        assert!(view.sids.iter().all(|sid| sa.sender(*sid).is_some()));
    }
    for sa in &view.inbound {
        assert!(sa.spi.is_usable() && sa.expires > NOW);
        assert!(sa.keys.fit(sa.transform) && sa.replay_window <= MAX_REPLAY_WINDOW);
        assert!(!sa.transform.is_per_sender() || sa.spi.is_block_base());
    }
});
