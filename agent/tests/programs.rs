//! The programs as operators run them, as far as that needs no privilege.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use nix::sys::signal::Signal;
use scene::{Router, Scene};
use serde_json::Value;
use std::fs;
use std::process::Command;

#[test]
fn a_key_server_serves_reports_reloads_and_stops() {
    let mut scene = Scene::new("serve");
    scene.start();
    let member = Router::register(scene.server);
    assert_eq!(member.view().acl.entries().len(), 1);
    scene.await_log("KS_REGS_COMPL");

    let members: Value = serde_json::from_str(&scene.text(&["show", "ks", "members", "--json"])).unwrap();
    assert_eq!(members["groups"][0]["members"][0]["identity"], "gm1.example");
    assert_eq!(members["groups"][0]["members"][0]["same_software"], true);
    assert!(scene.text(&["show", "ks"]).contains("1 registered, 0 registrations refused"));
    assert!(scene.text(&["show", "ks", "policy"]).contains("permit ip 10.0.0.0/8 10.0.0.0/8"));
    assert!(scene.text(&["show", "events"]).contains("KS_REGS_COMPL"));
    let wrong = scene.ctl(&["show", "gm"]);
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("not the group member's"));

    scene.signal(Signal::SIGHUP);
    scene.await_log("CONFIG_UNCHANGED");
    scene.configure("10.0.0.0/16");
    scene.signal(Signal::SIGHUP);
    scene.await_log("POLICY_CHANGE: group corp (100): match-address: ");
    assert!(scene.text(&["show", "ks", "policy"]).contains("permit ip 10.0.0.0/16 10.0.0.0/8"));
    scene.configure("10.0.0.1/8");
    scene.signal(Signal::SIGHUP);
    scene.await_log("ks.yaml:9: groups[0].server-local.sa-ipsec.match-address[0]: ");
    assert!(
        scene.text(&["show", "ks", "policy"]).contains("permit ip 10.0.0.0/16 10.0.0.0/8"),
        "nothing has changed"
    );

    scene.signal(Signal::SIGTERM);
    let status = scene.daemon.take().unwrap().wait().unwrap();
    assert!(status.success(), "{status:?}");
    assert!(!scene.path("ks.sock").exists());
    let log = fs::read_to_string(scene.path("ks.log")).unwrap();
    assert!(!log.contains("only for tests"), "{log}");
}

#[test]
fn an_absent_daemon_is_one_line_and_a_failure() {
    let scene = Scene::new("absent");
    let finished = scene.ctl(&["show", "ks", "--json"]);
    assert_eq!(finished.status.code(), Some(1));
    let socket = scene.path("ks.sock");
    assert_eq!(
        String::from_utf8(finished.stderr).unwrap(),
        format!("gdoictl: {}: the daemon is not running\n", socket.display())
    );
}

#[test]
fn checks_answer_with_their_status() {
    let scene = Scene::new("check");
    let file = scene.path("ks.yaml");
    let ok = format!("{}: ok\n", file.display());
    let daemon =
        |program: &str| Command::new(program).arg("--check").arg("--config").arg(&file).output().unwrap();
    let (server, member) = (env!("CARGO_BIN_EXE_gdoi-ks"), env!("CARGO_BIN_EXE_gdoi-gm"));
    let good = daemon(server);
    assert_eq!((good.status.code(), String::from_utf8(good.stdout).unwrap()), (Some(0), ok.clone()));
    assert_eq!(scene.text(&["check", file.to_str().unwrap()]), ok);

    let foreign = daemon(member);
    assert_eq!((foreign.status.code(), foreign.stdout.is_empty()), (Some(1), true));
    fs::write(&file, "address: 127.0.0.1\nadress: 127.0.0.1\n").unwrap();
    let refused = scene.ctl(&["check", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.starts_with(&format!("{}:2: unknown field `adress`", file.display())), "{reason}");
}

#[test]
fn a_bad_configuration_stops_the_start() {
    let scene = Scene::new("bad");
    scene.configure("10.0.0.1/8");
    let finished = Command::new(env!("CARGO_BIN_EXE_gdoi-ks"))
        .arg("--config")
        .arg(scene.path("ks.yaml"))
        .output()
        .unwrap();
    assert_eq!(finished.status.code(), Some(78), "the unit does not try that again");
    let log = String::from_utf8(finished.stderr).unwrap();
    assert!(log.contains("ERROR START_FAILED: ") && log.contains("did you mean 10.0.0.0/8?"), "{log}");
}

#[test]
fn helps_tell_the_defaults() {
    for (program, default) in [
        (env!("CARGO_BIN_EXE_gdoi-gm"), "[default: /etc/gdoi/gm.yaml]"),
        (env!("CARGO_BIN_EXE_gdoi-ks"), "[default: /etc/gdoi/ks.yaml]"),
        (env!("CARGO_BIN_EXE_gdoictl"), "[default: /run/gdoi/gm.sock or /run/gdoi/ks.sock"),
    ] {
        let finished = Command::new(program).arg("--help").output().unwrap();
        let text = String::from_utf8(finished.stdout).unwrap();
        assert!(finished.status.success() && text.contains(default), "{text}");
    }
}

#[test]
fn sending_in_clear_must_be_meant() {
    let scene = Scene::new("detach");
    let refused = scene.ctl(&["gm", "detach", "corp"]);
    assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(1), true));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.starts_with("Nothing is done.") && reason.contains("IN CLEAR"), "{reason}");
    let meant = scene.ctl(&["gm", "detach", "corp", "--yes-send-in-clear"]);
    assert!(String::from_utf8(meant.stderr).unwrap().contains("the daemon is not running"));

    let file = scene.path("gm.yaml");
    let text = "groups: [{name: corp, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: \"only for tests\"}]\n";
    fs::write(&file, text).unwrap();
    let member = |flag: &str| {
        let program = env!("CARGO_BIN_EXE_gdoi-gm");
        Command::new(program).arg("--config").arg(&file).arg(flag).output().unwrap()
    };
    let refused = member("--remove");
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.starts_with("Nothing is removed."), "{reason}");
    assert!(reason.contains("ALL TRAFFIC PASSES IN CLEAR on wan0."), "{reason}");
    let alone = String::from_utf8(member("--yes-send-in-clear").stderr).unwrap();
    assert!(alone.contains("--remove"), "{alone}");
}

#[test]
fn the_help_says_what_detaching_is() {
    let scene = Scene::new("help");
    let help = scene.text(&["gm", "detach", "--help"]);
    for words in
        ["IN CLEAR", "gm register", "a restart protects", "refuse what comes in clear", "--yes-send-in-clear"]
    {
        assert!(help.contains(words), "{words}: {help}");
    }
}
