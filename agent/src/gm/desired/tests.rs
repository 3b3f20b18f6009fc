use super::*;
use crate::config::{MemberFile, Settings, Source};
use gdoi::crypto::Secret;
use gdoi::policy::{Acl, TekKeys};
use std::net::IpAddr;
use std::path::Path;
use xfrm::Protection as Protected;

const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

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
    assign_slots(file.settle(&mut source).unwrap().groups.into_iter().map(|(group, _)| group).collect())
}

fn sa(spi: u32, transform: &str) -> gdoi::Sa {
    let transform: gdoi::policy::Transform = transform.parse().unwrap();
    let keys = TekKeys {
        encryption: Secret::new(vec![1; transform.cipher.key_len()]),
        integrity: Secret::new(vec![2; transform.integrity.key_len()]),
    };
    gdoi::Sa { spi: gdoi::policy::Spi(spi), transform, keys, expires: Instant::from_millis(60_000) }
}

fn registered() -> View {
    let acl = Acl::new(vec!["permit udp 10.0.0.0/8 host 10.1.1.1 eq 53".parse().unwrap()]).unwrap();
    let sas = vec![sa(1000, "aes-256-cbc/hmac-sha-256"), sa(2000, "aes-128-cbc/hmac-sha-512")];
    let rekey_group = "239.1.1.1:848".parse().ok();
    View { registered: true, acl, outbound: sas.first().cloned(), inbound: sas, rekey_group }
}

fn planes(groups: &[Guarded], view: View, phase: Phase) -> Vec<Plane> {
    desired(groups, &[view], LOCAL, phase, Instant::from_millis(50_000)).unwrap().planes
}

#[test]
fn a_view_becomes_one_plane_for_each_interface() {
    let planes = planes(&groups(""), registered(), Phase::Running);
    assert_eq!(planes.iter().map(|plane| plane.interface.as_str()).collect::<Vec<_>>(), ["wan0", "wan1"]);
    assert_eq!(planes.iter().map(|plane| plane.slot.number()).collect::<Vec<_>>(), [0, 1]);
    let plane = &planes[0];
    assert_eq!(plane.local, IpAddr::from(LOCAL));
    assert_eq!(plane.servers, ["192.0.2.10:848".parse().unwrap(), "192.0.2.11:1848".parse().unwrap()]);
    assert_eq!(
        (plane.clear[0].protocol, plane.clear[0].destination_ports),
        (Some(6), Some(Ports::only(179)))
    );
    assert_eq!(plane.clear[0].source, Prefix::any(Family::V4));
    assert_eq!(plane.rekey_group, "239.1.1.1:848".parse().ok());
}

#[test]
fn keys_selectors_and_lives_arrive_as_they_are() {
    let planes = planes(&groups(""), registered(), Phase::Running);
    let Gate::Protect(Protected { acl, inbound, outbound, .. }) = &planes[0].gate else {
        panic!("{:?}", planes[0].gate)
    };
    let selector = acl[0].selector;
    assert_eq!(acl[0].action, Action::Permit);
    assert_eq!(selector.source, Prefix::new([10, 0, 0, 0].into(), 8).unwrap());
    assert_eq!(selector.destination, Prefix::host([10, 1, 1, 1].into()));
    assert_eq!((selector.protocol, selector.source_ports), (Some(17), None));
    assert_eq!(inbound.iter().map(|sa| sa.spi.0).collect::<Vec<_>>(), [1000, 2000]);
    assert_eq!(selector.destination_ports, Some(Ports::only(53)));
    let (Algorithm::Cbc { encryption: first, .. }, Algorithm::Cbc { encryption, integrity }) =
        (&inbound[0].algorithm, &inbound[1].algorithm)
    else {
        panic!("{inbound:?}")
    };
    assert!(matches!(first, EncryptionKey::AesCbc256(key) if key.octets() == [1; 32]));
    assert!(matches!(encryption, EncryptionKey::AesCbc128(key) if key.octets() == [1; 16]));
    assert!(matches!(integrity, IntegrityKey::HmacSha512(key) if key.octets() == [2; 64]));
    assert_eq!(outbound.iter().map(|sa| sa.spi.0).collect::<Vec<_>>(), [1000]);
    assert_eq!(inbound[0].hard_lifetime, Some(Duration::from_secs(12)));
}

#[test]
fn before_the_registration_the_fail_mode_decides() {
    let unregistered = |extra: &str| planes(&groups(extra), View::default(), Phase::Running)[0].gate.clone();
    assert_eq!(unregistered(""), Gate::Closed);
    assert_eq!(unregistered("    fail-close: false\n"), Gate::Open);
    let mut adopted = groups("    fail-close: false\n");
    adopted[0].adopted = true;
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
            for adopted in [false, true] {
                groups[0].adopted = adopted;
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
    groups[0].adopted = true;
    assert_eq!(seen(&groups, &View::default()), Protection::Adopted);
}

#[test]
fn a_key_of_the_wrong_length_is_an_error() {
    let mut view = registered();
    view.inbound[0].keys.encryption = Secret::new(vec![1; 16]);
    let error = desired(&groups(""), &[view], LOCAL, Phase::Running, Instant::default()).unwrap_err();
    assert_eq!(error, "a key has 16 octets, not 32");
}
