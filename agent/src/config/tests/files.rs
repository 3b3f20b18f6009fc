//! Files and keys beside them.

use super::*;

#[test]
fn empty_and_foreign_files_are_refused() {
    for text in ["", "groups: []\n", "- a\n- b\n", "groups:\n  corp: {}\n"] {
        assert!(member(text).unwrap_err().starts_with("gm.yaml:1: ") || text.contains("corp"), "{text}");
        assert!(server(text).is_err());
    }
}

#[test]
fn key_files_are_read_beside_the_configuration() {
    let scratch = Scratch::new("keys");
    let text = MEMBER.replace("pre-shared-key: \"only for tests\"", "pre-shared-key-file: corp.psk");
    let path = scratch.write("gm.yaml", &text, 0o600);
    scratch.write("corp.psk", "only for tests\n", 0o644);
    let loaded = load::<MemberFile>(&path).unwrap();
    assert_eq!(loaded.settings.groups[0].1, pre_shared_key(b"only for tests"));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("corp.psk: everybody"), "{:?}", loaded.warnings);
    fs::remove_file(scratch.0.join("corp.psk")).unwrap();
    let missing = check(&path).unwrap_err().to_string();
    let place = format!("gm.yaml:6: the file that is named here (in {}, where relative", scratch.0.display());
    assert!(missing.contains(&place) && !missing.contains("corp.psk"), "{missing}");
    scratch.write("corp.psk", "\n", 0o600);
    let error = check(&path).unwrap_err().to_string();
    assert!(error.contains("gm.yaml:6: ") && error.contains("at least 8 octets"), "{error}");
}

#[test]
fn check_knows_whose_file_it_is() {
    let scratch = Scratch::new("kind");
    assert_eq!(check(&scratch.write("a.yaml", MEMBER, 0o600)).unwrap(), Vec::<String>::new());
    assert_eq!(check(&scratch.write("b.yaml", SERVER, 0o600)).unwrap(), Vec::<String>::new());
    let neither = check(&scratch.write("c.yaml", "groups: []\n", 0o600)).unwrap_err().to_string();
    assert!(neither.ends_with("nor a key server's (address)"), "{neither}");
    let missing = check(&scratch.0.join("d.yaml")).unwrap_err().to_string();
    assert!(missing.contains("d.yaml: cannot be read: No such file"), "{missing}");
}

#[test]
fn a_file_is_bounded() {
    let scratch = Scratch::new("bound");
    let path = scratch.write("gm.yaml", &"#".repeat((1 << 20) + 1), 0o600);
    assert!(check(&path).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let shown = format!("{:?} {:?}", member(MEMBER).unwrap(), server(SERVER).unwrap());
    assert!(!shown.contains("only for tests"), "{shown}");
}
