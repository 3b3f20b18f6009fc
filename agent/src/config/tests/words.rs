//! What is refused is called by what is wrong with it, not by the words of another mistake.

use super::*;

/// What is said when `from` is written so.
#[track_caller]
fn said<T>(read: fn(&str) -> Result<T, String>, text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    match read(&text.replace(from, to)) {
        Ok(_) => panic!("{to} is taken"),
        Err(reason) => reason.split_once(": ").unwrap().1.to_owned(),
    }
}

#[test]
fn what_is_left_out_of_a_message_is_no_word_of_ours() {
    let reason = said(member, MEMBER, "[wan0]", "[\"wan 0\"]");
    assert!(reason.contains("no interface name, nor the beginning of one and an asterisk"), "{reason}");
    let reason = said(server, SERVER, "lifetime: 3600", "transform: aes-256-gcm/hmac-sha-256");
    assert!(reason.contains("without `/hmac-sha-256`"), "{reason}");
}

#[test]
fn all_interfaces_are_not_the_loopback() {
    let reason = said(member, MEMBER, "[wan0]", "[\"*\"]");
    assert!(reason.contains("names every interface") && !reason.contains("is this router's"), "{reason}");
    let reason = said(member, MEMBER, "[wan0]", "[l*]");
    assert!(reason.contains("names this router's loopback, too"), "{reason}");
}

#[test]
fn what_is_missing_is_not_quoted() {
    let reason = said(server, SERVER, "lifetime: 3600", "transform: aes-256-cbc");
    assert!(reason.contains("`aes-256-cbc` needs an integrity algorithm"), "{reason}");
    for reason in [
        said(member, MEMBER, "name: corp", "name: \"\""),
        said(member, MEMBER, "[wan0]", "[\"\"]"),
        said(member, MEMBER, "192.0.2.10,", "\"\","),
        said(server, SERVER, "lifetime: 3600", "transform: \"\""),
        said(server, SERVER, "lifetime: 3600", "lifetime: \"\""),
        said(server, SERVER, "permit ip 10.0.0.0/8 10.0.0.0/8", "\"\""),
    ] {
        assert!(!reason.contains("``"), "{reason}");
    }
}

#[test]
fn the_shortest_life_is_that_of_this_file() {
    for life in ["5", "x", "2592001"] {
        let reason = said(server, SERVER, "lifetime: 3600", &format!("lifetime: {life}"));
        assert!(reason.contains("from 60 to 2592000 (from 20 with lab-timers)"), "{reason}");
    }
}

/// The names of files are found where they are values, whatever else has their letters.
#[test]
fn a_file_that_cannot_be_read_is_told_at_its_line() {
    let text = SERVER.replace(
        "key: \"only for tests\"}",
        "key: \"only for tests\"}\n  - {address: 203.0.113.0/24, key-file: dd}",
    );
    for (name, line) in [("dd", 4), ("pre", 4), ("groups", 4), ("s", 4), ("8", 4), ("10", 4)] {
        let text = text.replace("key-file: dd", &format!("key-file: {name}"));
        let reason = server(&text).unwrap_err();
        assert!(reason.starts_with(&format!("ks.yaml:{line}: the file")), "{name}: {reason}");
    }
    let quoted = text.replace("key-file: dd}", "\"key-file\" : 'dd'} # not dd");
    assert!(server(&format!("# dd\n{quoted}")).unwrap_err().starts_with("ks.yaml:5: "));
}

/// The other places that are found by what stands there.
#[test]
fn numbers_and_texts_are_found_where_they_are_values() {
    let text = SERVER.replace("identity-number: 100", "identity-number: 30 # lifetime 30");
    let reason = server(&text.replace("lifetime: 3600", "lifetime: 30")).unwrap_err();
    assert!(reason.starts_with("ks.yaml:9: lifetime 30"), "{reason}");
}

/// A state with more could not be read again.
#[test]
fn a_server_has_no_more_groups_than_its_state_can_hold() {
    let (head, group) = SERVER.split_once("  - name: corp").unwrap();
    let groups = |count| {
        let named = |number: usize| {
            format!("  - name: corp{group}")
                .replace("corp", &format!("g{number}"))
                .replace("number: 100", &format!("number: {number}"))
        };
        head.to_owned() + &(1..=count).map(named).collect::<String>()
    };
    assert_eq!(server(&groups(960)).unwrap().server.groups.len(), 960);
    let reason = server(&groups(961)).unwrap_err();
    assert!(reason.contains("961 elements, at most 960 are possible"), "{reason}");
}
