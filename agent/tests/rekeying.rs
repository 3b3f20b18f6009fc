//! Keys change, the key server restarts, members are removed: with the real key server and programs.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use scene::{Router, Scene, REKEY, STATE};
use std::fs;

/// A key server that rekeys and stores its state.
fn rekeying(name: &str) -> Scene {
    Scene::new(name).storing()
}

/// Rekeys and waits until the member has the new key.
fn rekey(scene: &Scene, router: &mut Router, words: &[&str]) -> String {
    let before = router.status().rekeys.received;
    let said = scene.text(words);
    router.run_until("no rekey", |router| router.status().rekeys.received > before);
    said
}

fn sending(router: &Router) -> String {
    router.view().outbound.unwrap().spi.to_string()
}

#[test]
fn an_operator_changes_the_keys() {
    let scene = rekeying("rekey");
    let mut router = Router::register(scene.server);
    let first = sending(&router);
    let said = rekey(&scene, &mut router, &["ks", "rekey"]);
    assert!(
        said.starts_with("Group corp (100): new key 0x") && said.contains(" to 1 member by unicast; "),
        "{said}"
    );
    assert_eq!((router.view().inbound.len(), sending(&router)), (2, first.clone()), "not before the ATD");
    let said = rekey(&scene, &mut router, &["ks", "rekey", "--group", "corp", "--replace-now"]);
    assert!(said.ends_with("the old keys end now\n"), "{said}");
    assert_eq!(router.view().inbound.len(), 1);
    assert_ne!(sending(&router), first);

    scene.await_log("KS_SEND_UNICAST_REKEY: Sending unicast rekey for group corp (100) to 1 member with sequence number 1");
    let members = &scene.json(&["show", "ks", "members"])["groups"][0]["members"];
    assert_eq!((&members[0]["rekeys_acknowledged"], &members[0]["rekeys_missed"]), (&2.into(), &0.into()));
    let rekeys = &scene.json(&["show", "ks", "rekey"])["groups"][0]["rekey"];
    assert_eq!((&rekeys["transport"], &rekeys["rekeys"]), (&"unicast".into(), &2.into()));
    assert_eq!((&rekeys["acks"]["received"], &rekeys["waiting_for"]), (&2.into(), &0.into()));
    let other = scene.ctl(&["ks", "rekey", "--group", "nobody"]);
    assert!(!other.status.success(), "{other:?}");
}

#[test]
fn the_keys_change_over_ipv6_as_well() {
    let scene = Scene::at("ipv6", "::1").storing();
    let mut router = Router::register(scene.server);
    let first = sending(&router);
    rekey(&scene, &mut router, &["ks", "rekey", "--replace-now"]);
    assert_ne!(sending(&router), first);
    scene.await_log("[::1]:");
    let members = &scene.json(&["show", "ks", "members"])["groups"][0]["members"];
    assert_eq!((&members[0]["address"], &members[0]["rekeys_acknowledged"]), (&"::1".into(), &1.into()));
    assert!(scene.text(&["show", "ks", "members"]).contains("::1"));
}

#[test]
fn a_killed_key_server_goes_on_without_a_registration() {
    let mut scene = rekeying("killed");
    let mut router = Router::register(scene.server);
    rekey(&scene, &mut router, &["ks", "rekey"]);
    for _ in 0..3 {
        scene.kill();
        scene.start();
        scene.await_log("KS_STATE_LOADED");
        let (spi, received) = (sending(&router), router.status().rekeys.received);
        router.run_until("no reminder", |router| router.status().rekeys.received > received);
        assert_eq!(sending(&router), spi);
        // The reminder comes under each KEK that it may have: the first message after the command may be one of them.
        rekey(&scene, &mut router, &["ks", "rekey", "--replace-now"]);
        router.run_until("no new key", |router| sending(router) != spi);
    }
    let status = router.status();
    assert_eq!(
        (status.registrations, status.rekeys.replayed, status.rekeys.malformed),
        (1, 0, 0),
        "{status:?}"
    );
    assert_eq!(scene.json(&["show", "ks", "members"])["groups"][0]["members"][0]["registrations"], 1);
}

#[test]
fn a_damaged_state_is_refused_and_can_be_discarded() {
    let mut scene = rekeying("damaged");
    let before = sending(&Router::register(scene.server));
    scene.kill();
    let state = scene.path("state/state");
    let mut octets = fs::read(&state).unwrap();
    *octets.last_mut().unwrap() ^= 1;
    fs::write(&state, &octets).unwrap();
    let log = scene.refused();
    let expected = format!("START_FAILED: {}: sealed with another key, or damaged; ", state.display());
    assert!(log.contains(&expected) && log.contains("--discard-state"), "{log}");
    assert_eq!(fs::read(&state).unwrap(), octets, "left as it was");
    scene.start_with(&["--discard-state"]);
    scene.await_log("KS_STATE_NEW");
    assert_ne!(sending(&Router::register(scene.server)), before);
    scene.kill();
    scene.start();
    scene.await_log("KS_STATE_LOADED");
}

#[test]
fn nothing_is_sent_that_is_not_stored() {
    let scene = rekeying("full");
    let mut router = Router::register(scene.server);
    fs::remove_dir_all(scene.path("state")).unwrap();
    let said = scene.ctl(&["ks", "rekey"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8(said.stderr).unwrap().contains("NOT IN FORCE"));
    scene.await_log("KS_STATE_FAILED");
    assert!(scene.text(&["show", "ks"]).contains("cannot be written: nothing is sent"));
    let received = router.status().rekeys.received;
    let begun = std::time::Instant::now();
    router.run_until("time does not pass", |_| begun.elapsed().as_secs() >= 2);
    assert_eq!(router.status().rekeys.received, received);
    fs::create_dir(scene.path("state")).unwrap();
    scene.await_log("KS_STATE_STORED");
    router.run_until("no repetition", |router| router.status().rekeys.received > received);
}

#[test]
fn a_removed_member_stays_out_until_it_is_readmitted() {
    let scene = rekeying("remove");
    let mut router = Router::register(scene.server);
    let said = scene.text(&["ks", "remove", "127.0.0.1", "--now"]);
    assert_eq!(
        said,
        "Group corp (100): 127.0.0.1 is removed and may not register again; 0 members are told to register again; their \
         keys end now\n"
    );
    router.run_until("no failure", |router| router.status().failures > 0);
    assert!(router.view().inbound.is_empty());
    scene.await_log("KS_GM_REVOKED");
    assert!(scene.text(&["show", "ks", "members"]).contains("Removed, may not register: 127.0.0.1"));
    assert!(!scene.ctl(&["ks", "remove", "127.0.0.1"]).status.success());
    assert_eq!(
        scene.text(&["ks", "readmit", "127.0.0.1"]),
        "Group corp (100): 127.0.0.1 may register again\n"
    );
    router.run_until("no registration", |router| !router.view().inbound.is_empty());
    let said = scene.text(&["ks", "remove", "--all"]);
    assert!(said.contains("1 member is told to register again; its keys live on"), "{said}");
}

#[test]
fn a_changed_policy_is_told_before_it_holds() {
    let scene = rekeying("policy");
    let mut router = Router::register(scene.server);
    scene.configure_with("10.0.0.0/16", REKEY, &format!("{STATE}phase1: [{{group: 19}}]\n"));
    let path = scene.path("ks.yaml").display().to_string();
    let changes =
        "  phase1: applied at once\n  group corp: match-address: reaches registered members with the next \
                   rekey (`ks rekey` does it now)\n";
    let warning = scene.text(&["reload", "--dry-run"]);
    assert!(warning.ends_with(&format!("{path}: would change, nothing is applied\n{changes}")), "{warning}");
    let policy = || scene.text(&["show", "ks", "policy"]);
    assert!(policy().contains("permit ip 10.0.0.0/8 10.0.0.0/8"));
    assert!(scene.text(&["reload"]).ends_with(&format!("{path}: applied\n{changes}")));
    assert!(policy().contains("permit ip 10.0.0.0/16 10.0.0.0/8"));
    assert!(scene.text(&["reload"]).ends_with(&format!("{path}: nothing has changed\n")));
    let acl = |router: &Router| router.view().acl.entries()[0].to_string();
    assert_eq!(acl(&router), "permit ip 10.0.0.0/8 10.0.0.0/8");
    rekey(&scene, &mut router, &["ks", "rekey"]);
    assert_eq!(acl(&router), "permit ip 10.0.0.0/16 10.0.0.0/8");

    scene.configure_with("10.0.0.0/16", REKEY, "state-directory: elsewhere\nstate-key-file: state.key\n");
    let restart = "  state-directory or state key: needs a restart of the daemon\n";
    (0..2).for_each(|_| assert!(scene.text(&["reload"]).contains(restart)));
    scene.await_log("CONFIG_RESTART_NEEDED");
}

#[test]
fn a_signing_key_is_known_by_its_fingerprint() {
    let scene = rekeying("fingerprint");
    let generate = |name: &str| {
        let path = scene.path(name);
        let said = scene.text(&["ks", "key", "generate", path.to_str().unwrap()]);
        said.split_once("Fingerprint  ").unwrap().1.trim_end().to_owned()
    };
    let shown = || scene.json(&["show", "ks", "policy"])["groups"][0]["signing_key"].clone();
    let (before, other) = (shown(), generate("other.pem"));
    assert_ne!(before, *other);
    fs::rename(scene.path("other.pem"), scene.path("rekey.pem")).unwrap();
    assert_eq!(shown(), before, "not before it is in use");
    assert!(scene.text(&["reload"]).contains("rekey authentication: all members are told to register again"));
    assert_eq!(shown(), *other);
    assert!(scene.text(&["show", "ks", "policy"]).contains(&format!("  Signing key   {other}\n")));
}

#[test]
fn a_key_server_alone_has_nobody_to_resign_for() {
    let scene = rekeying("alone");
    let none = "Group corp (100)\n  Redundancy  none: no other key server shares this group\n";
    assert_eq!(scene.text(&["show", "ks", "coop"]), none);
    assert_eq!(
        scene.json(&["show", "ks", "coop", "detail"])["groups"][0]["redundancy"],
        serde_json::Value::Null
    );
    for words in [&["ks", "coop", "resign"][..], &["ks", "coop", "resign", "--group", "corp"]] {
        let refused = scene.ctl(words);
        let reason = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && reason.contains("no `redundancy` is configured"), "{reason}");
    }
    let unknown = scene.ctl(&["ks", "coop", "resign", "--group", "nobody"]);
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("there is no group `nobody`"));
}
