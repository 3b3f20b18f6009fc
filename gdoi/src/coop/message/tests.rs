use super::*;

fn announcement() -> Announcement {
    let mut keys = Versions::default();
    keys.bump(Author([7; 8]));
    let reign = Reign { primary: [192, 0, 2, 1].into(), priority: 9, epoch: 3, heartbeat: 77 };
    Announcement {
        lineage: Some(Lineage([1; 8])),
        pseudotime: 123_456,
        word: Word {
            role: Role::Yielding,
            priority: 100,
            epoch: 3,
            reign: Some(reign),
            claims: Claim::Laid,
            successor: Some([192, 0, 2, 2].into()),
        },
        commitment: Commitment::Done,
        members: 4,
        configuration: [5; 16],
        author: Author([5; 8]),
        sids: Sids::default(),
        keys: keys.clone(),
        held: keys,
        listed: Versions::default(),
    }
}

fn parse(message: &[u8]) -> Result<Announcement, Malformed> {
    let (kind, group, reader) = split(message)?;
    assert_eq!((kind, group), (Kind::Announcement, GroupId(100)));
    Announcement::parse(reader)
}

#[test]
fn round_trip() {
    assert_eq!(parse(&announcement().emit(GroupId(100)).unwrap()), Ok(announcement()));
    let word = Word { reign: None, successor: None, claims: Claim::None, ..announcement().word };
    let bare = Announcement { lineage: None, commitment: Commitment::Pending, word, ..announcement() };
    assert_eq!(parse(&bare.emit(GroupId(100)).unwrap()), Ok(bare));
}

#[test]
fn addresses_of_both_families_are_16_octets() {
    for text in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::1"] {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(parse_address(address_octets(Some(address))), Some(address));
    }
    assert_eq!(address_octets(Some([192, 0, 2, 1].into()))[10..], [255, 255, 192, 0, 2, 1]);
    assert_eq!((address_octets(None), parse_address([0; 16])), ([0; 16], None));
}

#[test]
fn what_nobody_sends_is_refused() {
    let sound = announcement().emit(GroupId(100)).unwrap();
    for length in 0..sound.len() {
        assert_eq!(parse(&sound[..length]), Err(Malformed::Truncated("COOP payload")), "{length}");
    }
    let longer = [&sound[..], &[0]].concat();
    assert_eq!(parse(&longer), Err(Malformed::TrailingBytes("COOP payload")));
    let refused = |position: usize, octet: u8| {
        let mut changed = sound.clone();
        changed[position] = octet;
        parse(&changed).unwrap_err()
    };
    assert_eq!(refused(0, 4), Malformed::Value("COOP payload"));
    assert_eq!(refused(1, 3), Malformed::Value("COOP payload"));
    assert_eq!(refused(1, 5), Malformed::Value("COOP payload"));
    assert_eq!(refused(2, 1), Malformed::Reserved("COOP payload"));
    assert_eq!(refused(32, 0), Malformed::Value("COOP payload"));
    assert_eq!(refused(32, 6), Malformed::Value("COOP payload"));
    assert_eq!(refused(34, 4), Malformed::Reserved("COOP payload"));
    assert_eq!(refused(35, 1), Malformed::Reserved("COOP payload"));
}

#[test]
fn slices_go_forward() {
    let emit = |slice: Slice| {
        let message = Writer::plain(0, |out| {
            write_head(out, Kind::Members, GroupId(1));
            slice.write(out);
        });
        message.unwrap()
    };
    let slice = Slice { lineage: None, author: Author([3; 8]), from: 5, to: 9, last: true };
    let message = emit(slice);
    let (kind, group, mut reader) = split(&message).unwrap();
    assert_eq!((kind, group), (Kind::Members, GroupId(1)));
    assert_eq!(Slice::parse(&mut reader), Ok(slice));
    let message = emit(Slice { from: 10, ..slice });
    let (.., mut reader) = split(&message).unwrap();
    assert_eq!(Slice::parse(&mut reader), Err(Malformed::Value("COOP payload")));
}
