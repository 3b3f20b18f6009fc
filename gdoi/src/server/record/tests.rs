use super::*;
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::Hash;
use crate::policy::{Acl, Identity, Transform, MAX_ACES};
use crate::wire::MAX_MESSAGE;

const AUTHOR: Author = Author([8; 8]);

fn at(seconds: u64) -> GroupTime {
    GroupTime::from_millis(seconds * 1000)
}

fn tek(spi: u32, transform: &str) -> GroupTek {
    let transform: Transform = transform.parse().unwrap();
    let (keys, senders) = match transform {
        Transform::Shared { cipher, integrity } => (shared(cipher.key_len(), integrity.key_len()), None),
        Transform::PerSender(_) => (seed(), Some(senders(1024))),
    };
    GroupTek { spi: Spi(spi), transform, keys, senders, expires: at(spi.into()) }
}

fn shared(encryption: usize, integrity: usize) -> TekKeys {
    TekKeys::Shared {
        encryption: Secret::new(vec![1; encryption]),
        integrity: Secret::new(vec![2; integrity]),
    }
}

fn seed() -> TekKeys {
    TekKeys::PerSender(Seed::new(Secret::new(vec![6; 32])).unwrap())
}

fn senders(replay_window: u16) -> SenderTerms {
    SenderTerms { generation: SidGeneration { lineage: [5; 8], number: 4 }, replay_window }
}

fn kek(name: u8, key_len: usize, succession: Succession) -> GroupKek {
    let (spi, key) = ([name; 16], Secret::new(vec![name; 16 + key_len]));
    GroupKek {
        spi,
        key,
        expires: at(name.into()),
        sequence: 77,
        succession,
        lineage: Some(Lineage([name; 8])),
        generation: SidGeneration { lineage: [6; 8], number: 2 },
        authors: (1..=name % 9).map(|author| Author([author; 8])).collect(),
        serves: at(u64::from(name) / 2),
    }
}

fn rekey_terms(transport: Transport) -> RekeyTerms {
    let key = SigningKey::from_pkcs8(&NewKey::EcdsaP256.generate().unwrap(), Hash::Sha256).unwrap();
    RekeyTerms { transport, signature: key.algorithm(), verification: key.public().clone() }
}

fn terms(rekey: Option<RekeyTerms>) -> Terms {
    let entries = ["deny ipv6 2001:db8::/32 any", "permit udp any range 5 9 host 10.2.2.2 eq 53"];
    Terms {
        acl: Acl::new(entries.map(|entry| entry.parse().unwrap()).to_vec()).unwrap(),
        mode: SendMode::ReceiveOnly,
        activation_delay: Duration::from_secs(15),
        deactivation_delay: Duration::from_millis(u64::MAX),
        rekey,
    }
}

fn division() -> Division {
    let mut division = Division::default();
    division.begin([3; 8], AUTHOR, &[AUTHOR], at(1));
    division.begin([4; 8], AUTHOR, &[AUTHOR, Author([7; 8])], at(2));
    division
}

/// One with something of everything.
fn full() -> GroupState {
    let mut versions = Versions::default();
    versions.raise(AUTHOR, 3);
    GroupState {
        division: division(),
        lineage: Some(Lineage([9; 8])),
        versions,
        keys: Keys {
            teks: vec![
                tek(256, "aes-128-cbc/hmac-sha-384"),
                tek(0xfff0_0000, "chacha20-poly1305"),
                tek(u32::MAX, "aes-256-cbc/hmac-sha-512"),
            ],
            ended: vec![(Spi(300), at(5))],
            kek: Some(kek(1, 32, Succession::Smooth)),
            previous_keks: vec![kek(2, 16, Succession::Abrupt), kek(3, 32, Succession::Ended)],
            spent: vec![SpentKek { spi: [4; 16], sequence: 99, expires: at(6) }],
        },
        revoked: [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from).into(),
        rekeys: 12,
        last_rekey: Some(at(11)),
        under_way: true,
        terms: Some(terms(Some(rekey_terms(Transport::Unicast)))),
        told: Some(AclDigest([6; 16])),
    }
}

/// A bare one, but for this.
fn with(change: impl FnOnce(&mut GroupState)) -> GroupState {
    let mut state = GroupState::default();
    change(&mut state);
    state
}

fn emit(state: &GroupState) -> Vec<u8> {
    Writer::plain(0, |out| write_state(out, state)).unwrap()
}

fn parse(octets: &[u8]) -> Result<GroupState, Error> {
    let mut reader = Reader::new(octets, "test");
    let state = parse_state(&mut reader)?;
    reader.finish()?;
    Ok(state)
}

fn refusal(octets: &[u8]) -> Error {
    parse(octets).err().unwrap()
}

/// Why a bare state with this in it is refused.
fn refused(change: impl FnOnce(&mut GroupState)) -> Error {
    refusal(&emit(&with(change)))
}

fn is_same(one: &GroupState, other: &GroupState) -> bool {
    (one.lineage, &one.versions, &one.revoked) == (other.lineage, &other.versions, &other.revoked)
        && (one.rekeys, one.last_rekey, one.under_way) == (other.rekeys, other.last_rekey, other.under_way)
        && one.keys == other.keys
        && (&one.terms, one.told, &one.division) == (&other.terms, other.told, &other.division)
}

#[test]
fn states_round_trip() {
    let multicast = Transport::Multicast("239.1.1.1:848".parse().unwrap());
    let told = |rekey| with(|state| state.terms = Some(terms(rekey)));
    for state in [full(), GroupState::default(), told(None), told(Some(rekey_terms(multicast)))] {
        assert!(is_same(&parse(&emit(&state)).unwrap(), &state));
    }
}

#[test]
fn a_bare_state_is_as_documented() {
    let bare = [
        &[0; 8][..],
        &[0],
        &[0; 8],
        &[0],
        &[0],
        &[0; 2],
        &[0; 2],
        &[0],
        &[0],
        &[0],
        &[0; 4],
        &[0; 12 + 8 + 1 + 4 + 8],
        &[0; 2],
    ];
    assert_eq!(emit(&GroupState::default()), bare.concat());
}

#[test]
fn states_cut_short_anywhere_are_refused() {
    let whole = emit(&full());
    for length in 0..whole.len() {
        assert_eq!(refusal(&whole[..length]), Malformed::Truncated("test").into(), "{length}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(refusal(&longer), Malformed::TrailingBytes("test").into());
}

#[test]
fn every_list_is_bounded() {
    let most = with(|state| {
        state.keys.teks =
            (256..256 + MAX_TEKS as u32).map(|spi| tek(spi, "aes-256-cbc/hmac-sha-256")).collect();
        state.keys.ended = (256..256 + MAX_ENDED as u32).map(|spi| (Spi(spi), at(1))).collect();
        state.keys.previous_keks =
            (1..=MAX_KEKS as u8).map(|name| kek(name, 32, Succession::Smooth)).collect();
        state.keys.spent =
            (1..=MAX_SPENT as u8).map(|name| kek(name, 32, Succession::Smooth).spent()).collect();
        state.revoked =
            (0..MAX_REVOKED as u128).map(|number| IpAddr::V6((1 << 96 | number).into())).collect();
        let entry = "permit tcp host 2001:db8::1 range 1 2 host 2001:db8::2 range 3 4".parse().unwrap();
        let rekey = Some(rekey_terms(Transport::Unicast));
        state.terms = Some(Terms { acl: Acl::new(vec![entry; MAX_ACES]).unwrap(), ..terms(rekey) });
    });
    assert!(emit(&most).len() + 1_000 < MAX_MESSAGE, "one message between servers has room for it");
    assert!(is_same(&parse(&emit(&most)).unwrap(), &most));
    let many = Error::from(Malformed::TooMany("state records"));
    let one_more = |change: fn(&mut Keys)| {
        refused(|state| {
            state.keys = most.keys.clone();
            change(&mut state.keys);
        })
    };
    assert_eq!(one_more(|keys| keys.teks.push(tek(9_999, "aes-256-cbc/hmac-sha-256"))), many);
    assert_eq!(one_more(|keys| keys.ended.push((Spi(9_999), at(1)))), many);
    assert_eq!(one_more(|keys| keys.previous_keks.push(kek(99, 32, Succession::Smooth))), many);
    assert_eq!(one_more(|keys| keys.spent.push(kek(99, 32, Succession::Smooth).spent())), many);
    let bare = emit(&GroupState::default());
    let revoked = [&bare[..bare.len() - 39], &(MAX_REVOKED as u32 + 1).to_be_bytes(), &[0; 35]].concat();
    assert_eq!(refusal(&revoked), many);
    let list = [&[0, 4, 1, 0][..], &(MAX_ACES as u16 + 1).to_be_bytes()].concat();
    let entries = [&bare[..bare.len() - 2], &[1], &list].concat();
    assert_eq!(refusal(&entries), Malformed::TooMany("ACL entries").into());
    assert_eq!(refusal(&[&[0; 8][..], &[33]].concat()), Malformed::TooMany("authors").into());
}

#[test]
fn what_does_not_fit_is_not_written() {
    let long = with(|state| {
        state.keys.teks = vec![GroupTek { keys: shared(65_536, 32), ..tek(256, "aes-256-cbc/hmac-sha-256") }]
    });
    let many = with(|state| state.keys.spent = vec![kek(1, 32, Succession::Smooth).spent(); 256]);
    for state in [long, many] {
        assert_eq!(Writer::plain(0, |out| write_state(out, &state)), Err(Malformed::Length(PART)));
    }
}

/// A longer list of those who may not come back could not be read again.
#[test]
fn no_more_revoked_members_are_written_than_are_read() {
    let state = with(|state| {
        state.revoked = (0..MAX_REVOKED as u32 + 5).map(|number| IpAddr::V4(number.into())).collect();
    });
    assert_eq!(parse(&emit(&state)).unwrap().revoked.len(), MAX_REVOKED);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let bad_tek = |change: fn(&mut GroupTek)| {
        refused(|state| {
            let mut tek = tek(256, "aes-256-cbc/hmac-sha-256");
            change(&mut tek);
            state.keys.teks = vec![tek];
        })
    };
    assert_eq!(bad_tek(|tek| tek.spi = Spi(255)), VALUE.into());
    assert_eq!(bad_tek(|tek| tek.keys = shared(16, 32)), VALUE.into());
    assert_eq!(bad_tek(|tek| tek.keys = shared(32, 33)), VALUE.into());
    assert_eq!(bad_tek(|tek| tek.keys = shared(0, 32)), VALUE.into());
    assert_eq!(bad_tek(|tek| tek.senders = Some(senders(0))), VALUE.into(), "one key for all of them");
    assert_eq!(bad_tek(|tek| tek.spi = Spi(1 << 20)), VALUE.into(), "the base of a block");
    let gcm: Transform = "aes-128-gcm".parse().unwrap();
    let bad_block = |change: fn(&mut GroupTek)| {
        refused(|state| {
            let mut tek = tek(0x1230_0000, "aes-128-gcm");
            change(&mut tek);
            state.keys.teks = vec![tek];
        })
    };
    assert_eq!(bad_block(|tek| tek.spi = Spi(0x1230_0001)), VALUE.into());
    assert_eq!(bad_block(|tek| tek.keys = shared(32, 1)), VALUE.into());
    assert_eq!(bad_block(|tek| tek.keys = shared(31, 0)), VALUE.into());
    assert_eq!(bad_block(|tek| tek.senders = None), VALUE.into());
    assert_eq!(bad_block(|tek| tek.senders = Some(senders(4097))), VALUE.into());
    assert!(parse(&emit(&with(|state| state.keys.teks = vec![tek(0x1230_0000, &gcm.to_string())]))).is_ok());
    let bad_kek = |change: fn(&mut GroupKek)| {
        refused(|state| {
            let mut kek = kek(1, 32, Succession::Smooth);
            change(&mut kek);
            state.keys.kek = Some(kek);
        })
    };
    assert_eq!(bad_kek(|kek| kek.key = Secret::new(vec![1; 47])), VALUE.into());
    assert_eq!(bad_kek(|kek| kek.key = Secret::new(vec![])), VALUE.into());
}

/// The whole state with these octets in place of those.
fn replaced(state: &GroupState, what: &[u8], by: &[u8]) -> Vec<u8> {
    let octets = emit(state);
    let found: Vec<_> = (0..octets.len()).filter(|at| octets[*at..].starts_with(what)).collect();
    let [at] = found[..] else { panic!("{} times", found.len()) };
    [&octets[..at], by, &octets[at + what.len()..]].concat()
}

#[test]
fn words_that_nobody_writes_are_refused() {
    let cipher = |by: &[u8]| refusal(&replaced(&full(), b"aes-128-cbc/", by));
    assert_eq!(cipher(b"aes-999-cbc/"), VALUE.into());
    assert_eq!(cipher(b"aes-128-cbc\xff"), VALUE.into());
    let entry = |by: &[u8]| refusal(&replaced(&full(), &[3, 0, 32, 0, 0x20], by));
    assert_eq!(entry(&[3, 0, 129, 0, 0x20]), Malformed::Value("ACL payload").into());
    assert_eq!(entry(&[0x43, 0, 32, 0, 0x20]), Malformed::Reserved("ACL payload").into());
    let name = [&[3; 48][..], &at(3).as_millis().to_be_bytes(), &77u32.to_be_bytes()].concat();
    let succession =
        |octet: u8| replaced(&full(), &[&name[..], &[2]].concat(), &[&name[..], &[octet]].concat());
    assert!(parse(&succession(0)).is_ok());
    assert_eq!(refusal(&succession(3)), VALUE.into());
}

#[test]
fn what_is_there_or_not_is_said_by_one_or_zero() {
    let bare = emit(&GroupState::default());
    // Last rekey, under way, KEK, grantor, the first and the last place, terms, digest.
    for position in [17, 18, 23, 50, 55, 62, 63, 64] {
        let mut changed = bare.clone();
        assert_eq!(changed[position], 0);
        changed[position] = 2;
        assert_eq!(refusal(&changed), VALUE.into(), "{position}");
    }
    let twice =
        [&bare[..8], &[2], &[[8; 8], [0, 0, 0, 0, 0, 0, 0, 1]].concat().repeat(2), &bare[9..]].concat();
    assert_eq!(refusal(&twice), Malformed::Value("versions").into());
}

#[test]
fn rekey_terms_that_contradict_themselves_are_refused() {
    let told = |rekey| with(|state| state.terms = Some(terms(Some(rekey))));
    let to = "239.1.1.1:848".parse().unwrap();
    let (unicast, multicast) = (rekey_terms(Transport::Unicast), rekey_terms(Transport::Multicast(to)));
    let way = |octet: u8, to: Option<&str>, algorithm: u8| {
        let port = if to.is_some() { 848_u16 } else { 0 };
        let to = address_octets(to.map(|to| to.parse().unwrap()));
        [&[octet][..], &to, &port.to_be_bytes(), &[0, algorithm]].concat()
    };
    let (nowhere, group) = (way(0, None, 4), way(1, Some("239.1.1.1"), 4));
    for sound in [way(0, None, 4), way(1, Some("ff15::1"), 4)] {
        assert!(parse(&replaced(&told(multicast.clone()), &group, &sound)).is_ok());
    }
    let refused = |state: &GroupState, what: &[u8], by: &[u8]| refusal(&replaced(state, what, by));
    let (unicast, multicast) = (told(unicast), told(multicast));
    assert_eq!(refused(&multicast, &group, &way(0, Some("239.1.1.1"), 4)), VALUE.into());
    assert_eq!(refused(&multicast, &group, &way(1, Some("192.1.1.1"), 4)), VALUE.into());
    assert_eq!(refused(&multicast, &group, &way(1, Some("2001:db8::1"), 4)), VALUE.into());
    assert_eq!(refused(&multicast, &group, &way(1, None, 4)), VALUE.into());
    assert_eq!(refused(&multicast, &group, &way(2, Some("239.1.1.1"), 4)), VALUE.into());
    assert_eq!(refused(&multicast, &group, &way(1, Some("239.1.1.1"), 9)), VALUE.into());
    assert!(emit(&unicast).windows(nowhere.len()).any(|window| window == nowhere));
    // The object identifier of the curve.
    assert_eq!(refused(&unicast, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], &[0x2a; 8]), VALUE.into());
}

fn member(identity: Identity) -> Listed {
    let record = Record {
        address: [10, 1, 2, 3].into(),
        port: 4500,
        identity,
        owner: Some([192, 0, 2, 1].into()),
        first_registered: at(3),
        last_registered: at(4),
        registrations: 5,
        ours: true,
        fragments: true,
        held: Held { kek: KekTag([7, 6, 5, 4]), tek: Spi(0x1234_5678) },
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    };
    Listed { record, author: AUTHOR, version: 6, presence: Presence::Gone }
}

fn emit_member(listed: &Listed) -> Vec<u8> {
    Writer::plain(0, |out| write_member(out, listed)).unwrap()
}

fn parse_one(octets: &[u8]) -> Result<Listed, Error> {
    let mut reader = Reader::new(octets, "test");
    let listed = parse_member(&mut reader)?;
    reader.finish()?;
    Ok(listed)
}

#[test]
fn members_round_trip() {
    let address = member(Identity::Address([10, 1, 2, 3].into()));
    let mut alone = member(Identity::Fqdn("gm1.example".into()));
    (alone.record.owner, alone.presence) = (None, Presence::Here);
    (alone.record.ours, alone.record.fragments) = (false, false);
    let mut far = member(Identity::Address("2001:db8::3".parse().unwrap()));
    (far.record.address, far.record.owner) = ("2001:db8::3".parse().unwrap(), "2001:db8::1".parse().ok());
    far.record.fragments = false;
    for listed in [address, alone, far, member(Identity::UserFqdn("gm@example".into()))] {
        assert_eq!(parse_one(&emit_member(&listed)), Ok(listed));
    }
}

/// They are another server's business.
#[test]
fn what_a_member_acknowledged_is_not_told() {
    let mut listed = member(Identity::Address([10, 1, 2, 3].into()));
    (listed.record.rekeys_acknowledged, listed.record.rekeys_missed) = (7, 1);
    listed.record.last_acknowledged = Some(at(9));
    assert_eq!(parse_one(&emit_member(&listed)), Ok(member(Identity::Address([10, 1, 2, 3].into()))));
}

#[test]
fn members_that_cannot_be_are_refused() {
    let whole = emit_member(&member(Identity::Address([10, 1, 2, 3].into())));
    for length in 0..whole.len() {
        assert_eq!(parse_one(&whole[..length]), Err(Malformed::Truncated("test").into()), "{length}");
    }
    let changed = |at: usize, octet: u8| {
        let mut changed = whole.clone();
        changed[at] = octet;
        parse_one(&changed)
    };
    // Gone, its software, the kind of the identity, its length.
    assert_eq!(changed(50, 3), Err(VALUE.into()));
    assert_eq!(changed(whole.len() - 9, 3), Err(VALUE.into()));
    assert!(matches!(changed(53, 200), Err(Error::Unacceptable(_) | Error::Malformed(_))));
    assert_eq!(changed(52, 7), Err(Malformed::Length("ID payload").into()));
    assert_eq!(changed(52, 4), Err(Malformed::Length("ID payload").into()));
    let nobody = [&[0; 16][..], &whole[16..]].concat();
    assert_eq!(parse_one(&nobody), Err(VALUE.into()));
}
