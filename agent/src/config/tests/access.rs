use super::*;
use gdoi::policy::SendMode;

const LIST: &str = "          - permit ip 10.0.0.0/8 10.0.0.0/8\n";

fn with(entries: &[&str]) -> String {
    let list: String = entries.iter().map(|entry| format!("          - {entry}\n")).collect();
    SERVER.replace(LIST, &list)
}

fn warnings<F: Settings>(name: &str, text: &str) -> Vec<String> {
    let mut source = Source::from_text(Path::new(name), text);
    source.parse::<F>().unwrap().settle(&mut source).unwrap();
    source.into_warnings()
}

#[test]
fn every_kind_of_entry_is_understood() {
    let entries = [
        "deny tcp any any eq 179",
        "deny tcp any eq 179 any",
        "deny udp any gt 32767 any range 5000 6000",
        "deny icmpv6 any any",
        "permit ipv6 2001:db8::/32 any",
        "permit ip host 10.1.1.1 172.16.0.0/12",
    ];
    let settings = server(&with(&entries)).unwrap();
    let acl: Vec<_> = settings.server.groups[0].acl.entries().iter().map(ToString::to_string).collect();
    assert_eq!(acl, entries);
    assert_eq!(settings.server.groups[0].mode, SendMode::Both);
    let text = SERVER.replace("lifetime: 3600", "receive-only: true");
    assert_eq!(server(&text).unwrap().server.groups[0].mode, SendMode::ReceiveOnly);
}

#[test]
fn impossible_lists_name_line_and_reason() {
    let second = |entry: &str| server(&with(&["permit ip any any", entry])).unwrap_err();
    for (entry, reason) in [
        ("deny ip any any", "`permit ip any any` and `deny ip any any` contradict each other"),
        ("permit ip any any", "`permit ip any any` stands here twice"),
        ("permit ip 2001:db8::/32 any", "`ip` is of IPv4, the addresses are of IPv6"),
        ("permit tcp 10.0.0.0/8 2001:db8::/32", "different IP versions"),
        ("permit tcp any range 9 5 any", "there are no ports `range 9`"),
        ("permit gre any eq 5 any", "ports go with tcp or udp only"),
    ] {
        let error = second(entry);
        assert!(error.starts_with("ks.yaml:12: ") && error.contains(reason), "{entry}: {error}");
    }
}

#[test]
fn lists_are_bounded() {
    let entries: Vec<_> =
        (0..1_001).map(|number| format!("permit ip 10.{}.{}.0/24 any", number / 256, number % 256)).collect();
    let entries: Vec<_> = entries.iter().map(String::as_str).collect();
    assert_eq!(server(&with(&entries[..1_000])).unwrap().server.groups[0].acl.entries().len(), 1_000);
    let error = server(&with(&entries)).unwrap_err();
    assert!(error.contains("match-address: 1001 entries, at most 1000"), "{error}");
    let local: String =
        (0..1_001).map(|number| format!("\n      - deny {} any any", number % 150 + 60)).collect();
    let error = member(&format!("{MEMBER}    match-address:{local}\n")).unwrap_err();
    assert!(error.starts_with("gm.yaml:2: ") && error.contains("at most 1000"), "{error}");
}

#[test]
fn entries_that_can_hardly_be_meant_are_told_with_their_line() {
    let text = with(&[
        "deny tcp any any eq 22    # permit ip 10.1.0.0/16 10.2.0.0/16",
        "permit ip 10.1.0.0/16 10.2.0.0/16",
        "permit ip any any",
        "permit udp any any",
    ]);
    let found = warnings::<KeyServerFile>("ks.yaml", &text);
    assert_eq!(
        found,
        [
            "ks.yaml:11: `deny tcp any any eq 22` is one-sided: no entry has the other direction, `deny tcp any eq \
             22 any`",
            "ks.yaml:14: `permit udp any any` can never match: `permit ip any any` before it has all that it names",
        ]
    );
    assert_eq!(warnings::<KeyServerFile>("ks.yaml", SERVER), [""; 0]);
}

#[test]
fn groups_that_encrypt_the_same_are_told() {
    let group = &SERVER[SERVER.find("  - name").unwrap()..];
    let second = group.replace("corp", "lab").replace("100", "200");
    let third = second.replace("lab", "dc").replace("200", "300").replace("10.0.0.0/8", "172.16.0.0/12");
    let found = warnings::<KeyServerFile>("ks.yaml", &format!("{SERVER}{second}{third}"));
    assert_eq!(
        found,
        ["ks.yaml:18: `permit ip 10.0.0.0/8 10.0.0.0/8` of group `lab` overlaps `permit ip 10.0.0.0/8 10.0.0.0/8` of \
          group `corp`"]
    );
}

#[test]
fn local_lists_are_reviewed_as_well() {
    let list = "    match-address: [deny icmpv6 any any, deny ospf any any, deny tcp any any eq 179]\n";
    let found = warnings::<MemberFile>("gm.yaml", &format!("{MEMBER}{list}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("gm.yaml:7: `deny tcp any any eq 179` is one-sided"), "{found:?}");
}

#[test]
fn a_list_that_encrypts_nothing_is_told() {
    let scratch = Scratch::new("deny-only");
    let text = SERVER.replace("permit ip 10.0.0.0/8 10.0.0.0/8", "deny ip 10.0.0.0/8 10.0.0.0/8");
    let warnings = check(&scratch.write("ks.yaml", &text, 0o600)).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(
        warning.ends_with("ks.yaml:11: group `corp` has `deny` entries only: nothing of it is encrypted"),
        "{warning}"
    );
}
