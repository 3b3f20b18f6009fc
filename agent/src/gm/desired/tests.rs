use super::*;
use crate::config::{MemberFile, Settings, Source};
use gdoi::crypto::Secret;
use gdoi::policy::{Acl, Aead, GroupId, Seed, Sid, TekKeys, Transform};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use xfrm::{
    Action, Anchors, Cipher, EspKeys, Family, Integrity, Interface, Kept, Lane, Ports, Prefix,
    Protection as Protected, Replay, Spi, SpiBlock,
};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

fn groups(extra: &str) -> Vec<Guarded> {
    let text = format!(
        r#"groups:
  - name: corp
    identity-number: 100
    servers: [192.0.2.10, {{address: 192.0.2.11, port: 1848}}]
    interfaces: [wan0, wan1]
    pre-shared-key: "only for tests"
    match-address: [deny tcp any any eq 179]
{extra}"#
    );
    let mut source = Source::from_text(Path::new("gm.yaml"), text);
    let file: MemberFile = source.parse().unwrap();
    assign_slots(
        file.settle(&mut source).unwrap().groups.into_iter().map(|(group, _)| group).collect(),
        &[],
        Anchors::default(),
    )
}

/// A key of each kind has octets of its own.
fn sa(spi: u32, transform: &str) -> gdoi::Sa {
    let transform: Transform = transform.parse().unwrap();
    let (keys, replay_window) = match transform {
        Transform::Shared { cipher, integrity } => {
            let (encryption, integrity) = (vec![1; cipher.key_len()], vec![2; integrity.key_len()]);
            (TekKeys::Shared { encryption: Secret::new(encryption), integrity: Secret::new(integrity) }, 0)
        }
        Transform::PerSender(_) => {
            (TekKeys::PerSender(Seed::new(Secret::new(vec![3; Seed::LEN])).unwrap()), 1024)
        }
    };
    let (spi, expires) = (Spi(spi), Instant::from_millis(60_000));
    gdoi::Sa { spi, transform, keys, expires, replay_window, group: GroupId(100) }
}

fn registered() -> View {
    let acl = Acl::new(vec!["permit udp 10.0.0.0/8 host 10.1.1.1 eq 53".parse().unwrap()]).unwrap();
    let sas = vec![sa(1000, "aes-256-cbc/hmac-sha-256"), sa(2000, "aes-128-cbc/hmac-sha-512")];
    let rekey_group = "239.1.1.1:848".parse().ok();
    View {
        registered: true,
        acl,
        outbound: sas.first().cloned(),
        inbound: sas,
        rekey_group,
        sids: Vec::new(),
        mode: SendMode::Both,
        apart: Vec::new(),
    }
}

/// Each entry of the list has states of its own, and one without a key sends nothing.
#[test]
fn entries_with_keys_of_their_own_are_sent_with_them() {
    let list =
        ["permit ip 10.1.0.0/16 10.2.0.0/16", "permit ip 10.2.0.0/16 10.1.0.0/16", "permit ip any any"];
    let acl = Acl::new(list.map(|entry| entry.parse().unwrap()).to_vec()).unwrap();
    let sas = [sa(1000, "aes-256-cbc/hmac-sha-256"), sa(2000, "aes-256-cbc/hmac-sha-256")];
    let selectors: Vec<_> = acl.permits().copied().collect();
    let outbound = [Some(sas[0].clone()), Some(sas[1].clone()), None];
    let apart = selectors.iter().zip(outbound);
    let apart = apart.map(|(selector, outbound)| gdoi::Traffic { selector: *selector, outbound }).collect();
    let view = View { acl, apart, inbound: sas.to_vec(), outbound: Some(sas[0].clone()), ..registered() };
    let planes = planes(&groups(""), view, Phase::Running);
    let protection = protected(&planes[0]);
    assert_eq!(protection.outbound.iter().map(|sa| sa.spi).collect::<Vec<_>>(), [Spi(1000), Spi(2000)]);
    let named: Vec<_> = selectors.into_iter().zip([Some(Spi(1000)), Some(Spi(2000)), None]).collect();
    assert_eq!(protection.apart, named);
}

fn wanted(groups: &[Guarded], view: View, senders: &Senders, phase: Phase) -> Result<Vec<Plane>, String> {
    let link = Interface { index: 4, name: "wan0".into(), up: true, mtu: 1500, vrf: None };
    let links = Links::new(vec![link], Kept::default());
    let (locals, path_mtus) = (vec![LOCAL; groups.len()], &PathMtus::default());
    let around = Surroundings { locals: &locals, senders, path_mtus, links: &links };
    desired(groups, &[view], around, phase, Instant::from_millis(50_000)).map(|desired| desired.planes)
}

fn planes(groups: &[Guarded], view: View, phase: Phase) -> Vec<Plane> {
    wanted(groups, view, &Senders::default(), phase).unwrap()
}

fn protected(plane: &Plane) -> &Protected {
    match &plane.gate {
        Gate::Protect(protection) => protection,
        gate => panic!("{gate:?}"),
    }
}

#[test]
fn a_view_becomes_one_plane_for_each_interface() {
    let planes = planes(&groups(""), registered(), Phase::Running);
    assert_eq!(planes.iter().map(|plane| plane.interface.as_str()).collect::<Vec<_>>(), ["wan0", "wan1"]);
    assert_eq!(planes.iter().map(|plane| plane.slot.number()).collect::<Vec<_>>(), [0, 1]);
    let plane = &planes[0];
    assert_eq!(plane.local, LOCAL);
    assert_eq!(plane.servers, ["192.0.2.10:848".parse().unwrap(), "192.0.2.11:1848".parse().unwrap()]);
    assert_eq!(plane.clear, ["tcp any any eq 179".parse().unwrap()]);
    assert_eq!(plane.rekey_group, "239.1.1.1:848".parse().ok());
}

#[test]
fn keys_selectors_and_lives_arrive_as_they_are() {
    let planes = planes(&groups(""), registered(), Phase::Running);
    let Gate::Protect(Protected { acl, inbound, outbound, .. }) = &planes[0].gate else {
        panic!("{:?}", planes[0].gate)
    };
    let selector = acl[0].selector;
    assert_eq!((acl.len(), acl[0].action), (1, Action::Permit));
    assert_eq!(selector.source(), Prefix::new([10, 0, 0, 0].into(), 8).unwrap().into());
    assert_eq!(selector.destination().prefix, Prefix::host([10, 1, 1, 1].into()));
    assert_eq!((selector.protocol(), selector.destination().ports), (Some(17), Some(Ports::one(53))));
    assert_eq!(inbound.iter().map(|sa| sa.spi.0).collect::<Vec<_>>(), [1000, 2000]);
    let (EspKeys::Shared(first), EspKeys::Shared(second)) = (&inbound[0].keys, &inbound[1].keys) else {
        panic!("{inbound:?}")
    };
    assert!(first.cipher() == Cipher::AesCbc256 && first.encryption().matches(&[1; 32]));
    assert!(first.integrity() == Integrity::HmacSha256 && first.authentication().matches(&[2; 32]));
    assert!(second.cipher() == Cipher::AesCbc128 && second.encryption().matches(&[1; 16]));
    assert!(second.integrity() == Integrity::HmacSha512 && second.authentication().matches(&[2; 64]));
    assert_eq!(outbound.iter().map(|sa| sa.spi.0).collect::<Vec<_>>(), [1000]);
    assert_eq!(inbound[0].hard_lifetime, Some(Duration::from_secs(12)));
}

#[test]
fn before_the_registration_the_fail_mode_decides() {
    let unregistered = |extra: &str| planes(&groups(extra), View::default(), Phase::Running)[0].gate.clone();
    assert_eq!(unregistered(""), Gate::Closed);
    assert_eq!(unregistered("    fail-close: false\n"), Gate::Open);
    let mut adopted = groups("    fail-close: false\n");
    adopted[0].adoption = Adoption::Ended;
    assert_eq!(
        planes(&adopted, View::default(), Phase::Running)[0].gate,
        Gate::Closed,
        "once protected, never clear"
    );
}

#[test]
fn without_keys_the_traffic_is_blocked_in_either_mode() {
    for extra in ["", "    fail-close: false\n"] {
        let view = View { inbound: Vec::new(), outbound: None, ..registered() };
        let planes = planes(&groups(extra), view, Phase::Running);
        assert!(
            matches!(&planes[0].gate, Gate::Protect(Protected { acl, outbound, .. }) if acl.len() == 1 && outbound.is_empty())
        );
    }
}

#[test]
fn a_stop_blocks_what_was_protected_or_opens() {
    let closed = planes(&groups(""), registered(), Phase::Stopping);
    let Gate::Protect(Protected { acl, inbound, outbound, .. }) = &closed[0].gate else {
        panic!("{:?}", closed[0].gate)
    };
    assert_eq!((acl.len(), inbound.len(), outbound.len()), (1, 0, 0));
    assert_eq!(planes(&groups(""), View::default(), Phase::Stopping)[0].gate, Gate::Closed);
    assert_eq!(planes(&groups("    fail-close: false\n"), registered(), Phase::Stopping), []);
}

#[test]
fn only_detaching_opens_a_fail_close_group() {
    let views = [registered(), View { outbound: None, ..registered() }, View::default()];
    for phase in [Phase::Running, Phase::Stopping] {
        for view in &views {
            let mut groups = groups("");
            for adoption in [Adoption::None, Adoption::Whole(Vec::new()), Adoption::Ended] {
                groups[0].adoption = adoption;
                let planes = planes(&groups, view.clone(), phase);
                assert!(
                    planes.len() == 2 && planes.iter().all(|plane| plane.gate != Gate::Open),
                    "{phase:?}"
                );
            }
            groups[0].detached = Some(Detachment { since: crate::clock::Timestamp(0), by: "root".into() });
            assert_eq!(planes(&groups, view.clone(), phase), []);
            assert_eq!(protection(&groups[0], view), Protection::Detached);
        }
    }
}

#[test]
fn what_operators_see_is_what_holds() {
    let mut groups = groups("");
    let seen = |groups: &[Guarded], view: &View| protection(&groups[0], view);
    let keyless = View { outbound: None, ..registered() };
    assert_eq!(seen(&groups, &registered()), Protection::Encrypting);
    assert_eq!(seen(&groups, &keyless), Protection::Blocked);
    assert_eq!(seen(&groups, &View::default()), Protection::Closed);
    groups[0].adoption = Adoption::Whole(Vec::new());
    assert_eq!(seen(&groups, &View::default()), Protection::Adopted);
    groups[0].adoption = Adoption::Ended;
    groups[0].settings.fail = FailMode::Open;
    assert_eq!(seen(&groups, &View::default()), Protection::Closed);
}

#[test]
fn a_key_of_the_wrong_length_is_an_error() {
    let mut view = registered();
    view.inbound[0].keys = view.inbound[1].keys.clone();
    let error = wanted(&groups(""), view, &Senders::default(), Phase::Running).unwrap_err();
    assert_eq!(error, "a key has 16 octets, not 32");
}

#[test]
fn deny_entries_families_and_ranges_arrive_in_their_order() {
    let entries = ["deny tcp any any eq 22", "permit ipv6 2001:db8::/32 any", "permit udp any gt 1023 any"];
    let acl = Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap();
    let planes = planes(&groups(""), View { acl, ..registered() }, Phase::Running);
    let acl = &protected(&planes[0]).acl;
    assert_eq!(
        acl.iter().map(|ace| ace.action).collect::<Vec<_>>(),
        [Action::Deny, Action::Permit, Action::Permit]
    );
    assert_eq!(acl[1].selector.family(), Family::V6);
    assert_eq!(acl[2].selector.source().ports, Ports::new(1024, 65_535));
    let families: Vec<_> = protected(&planes[0]).inbound.iter().map(|sa| (sa.spi.0, sa.family)).collect();
    let both = |spi| [(spi, Family::V4), (spi, Family::V6)];
    assert_eq!(families, [both(1000), both(2000)].concat(), "one key serves both");
}

#[test]
fn a_group_that_is_brought_in_and_a_passive_member_are_less_strict() {
    let mode = |extra: &str, mode| {
        let planes = planes(&groups(extra), View { mode, ..registered() }, Phase::Running);
        protected(&planes[0]).mode
    };
    assert_eq!(mode("", SendMode::Both), Mode::Strict);
    assert_eq!(mode("    passive: true\n", SendMode::Both), Mode::AcceptClear);
    assert_eq!(mode("    passive: true\n", SendMode::ReceiveOnly), Mode::ReceiveOnly);
}

fn per_sender(sids: u32) -> View {
    let acl = ["permit ip 10.0.0.0/8 10.0.0.0/8", "permit ipv6 2001:db8::/32 2001:db8::/32"];
    let sa = sa(0x0010_0000, "aes-256-gcm");
    View {
        acl: Acl::new(acl.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap(),
        outbound: Some(sa.clone()),
        inbound: vec![sa],
        sids: (0..sids).map(Sid).collect(),
        ..registered()
    }
}

#[test]
fn every_sending_state_has_a_sender_identifier_of_its_own() {
    let planes = planes(&groups(""), per_sender(8), Phase::Running);
    let sent = |plane: &Plane| {
        let lanes = protected(plane).outbound.iter();
        lanes.map(|sa| (sa.spi.0 & 0xf_ffff, sa.family, sa.lane)).collect::<Vec<_>>()
    };
    let lanes = |first: u32| {
        [
            (first, Family::V4, Lane::Unicast),
            (first + 1, Family::V6, Lane::Unicast),
            (first + 3, Family::V6, Lane::Multicast),
        ]
    };
    assert_eq!((sent(&planes[0]), sent(&planes[1])), (lanes(0).to_vec(), lanes(4).to_vec()));
    let protection = protected(&planes[0]);
    assert_eq!(protection.outbound[0].replay, Replay::Window { size: 1024, high: 0 });
    assert_eq!(protection.blocks, [SpiBlock::new(Spi(0x0010_0000), 20).unwrap()]);
    assert_eq!(protection.inbound, [], "nobody was heard");
}

#[test]
fn without_a_sender_identifier_nothing_is_sent() {
    let planes = planes(&groups(""), per_sender(4), Phase::Running);
    assert_eq!((protected(&planes[0]).outbound.len(), protected(&planes[1]).outbound.len()), (3, 0));
}

#[test]
fn who_was_heard_is_received_where_it_was_heard() {
    let (groups, view, mut senders) = (groups(""), per_sender(8), Senders::default());
    let (base, slot) = (view.inbound[0].spi, groups[0].slots[1]);
    let sender = view.inbound[0].sender(Sid(77)).unwrap();
    senders.admit(slot, Family::V6, base, sender.clone()).unwrap();
    let planes = wanted(&groups, view, &senders, Phase::Running).unwrap();
    assert_eq!(protected(&planes[0]).inbound, []);
    let [received] = &protected(&planes[1]).inbound[..] else { panic!("one") };
    assert_eq!((received.spi.0, received.family), (0x0010_004d, Family::V6));
    assert_eq!(received.keys, EspKeys::Sender(sender.key));
    assert_eq!(received.keys.transform(), Transform::PerSender(Aead::AesGcm256));
}

/// What an earlier run protected keeps its place, whatever the configuration's order has become.
#[test]
fn slots_are_those_of_the_run_before() {
    let first = groups("").remove(0);
    let stored = |slot: fn(Slot) -> u8| -> Vec<StoredPlane> {
        let plane = |(place, interface): (Slot, &InterfacePattern)| StoredPlane {
            group: "corp".into(),
            interface: interface.clone(),
            clear: Vec::new(),
            fail_close: true,
            slot: Some(slot(place)),
            links: Vec::new(),
        };
        first.places().map(plane).collect()
    };
    let slots = |interfaces: &[&str], stored: &[StoredPlane]| -> Vec<u8> {
        let mut settings = first.settings.clone();
        settings.interfaces = interfaces.iter().map(|name| name.parse().unwrap()).collect();
        assign_slots(vec![settings], stored, Anchors::default())[0]
            .slots
            .iter()
            .map(|slot| slot.number())
            .collect()
    };
    assert_eq!(slots(&["wan0", "wan1"], &[]), [0, 1]);
    assert_eq!(slots(&["new0", "wan1", "wan0"], &stored(Slot::number)), [2, 1, 0]);
    assert_eq!(slots(&["new0"], &stored(Slot::number)), [2], "what is left there is none of its own");
    assert_eq!(slots(&["wan0", "wan1"], &stored(|_| 0)), [0, 1], "a damaged file gives no place twice");
    let all = |slot: Slot| slot.number() + 40;
    assert_eq!(slots(&["wan1", "wan0"], &stored(all)), [41, 40]);
}
