//! What the programs say to operators.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use scene::{Router, Scene};
use std::fs;

/// Who asks for more gets more: what comes and goes, without any of its contents.
#[test]
fn at_debug_the_log_has_every_datagram() {
    let mut scene = Scene::new("debug");
    scene.start_at_debug();
    let router = Router::register(scene.server);
    assert!(router.view().registered);
    scene.await_log("KS_REGS_COMPL");
    let log = fs::read_to_string(scene.path("ks.log")).unwrap();
    let lines =
        |words: &str| log.lines().filter(|line| line.contains(" DEBUG ") && line.contains(words)).count();
    assert!(lines("received ") >= 5 && lines("sent ") >= 5, "{log}");
    assert!(lines("identity protection") >= 6, "{log}");
    assert!(lines("GROUPKEY-PULL") >= 4, "{log}");
}

/// All of 127.0.0.0/8 is this host's.
#[test]
fn an_address_of_the_loopback_is_not_missing() {
    let mut scene = Scene::at("loopback", "127.0.0.3");
    scene.start();
    let log = fs::read_to_string(scene.path("ks.log")).unwrap();
    assert!(!log.contains("KS_ADDRESS_MISSING"), "{log}");
}
