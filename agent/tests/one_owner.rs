//! A state directory has one owner: two key servers that go on from one state would give two members the same keys.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use nix::sys::signal::Signal;
use scene::Scene;
use std::fs;

/// A key server beside the first, whose state is where this says.
fn beside(first: &Scene, name: &str, directory: &str) -> Scene {
    let scene = Scene::new(name);
    fs::copy(first.path("rekey.pem"), scene.path("rekey.pem")).unwrap();
    fs::copy(first.path("state.key"), scene.path("state.key")).unwrap();
    let state = format!(
        "state-directory: {}\nstate-key-file: {}\n",
        first.path(directory).display(),
        first.path("state.key").display()
    );
    scene.configure_with("10.0.0.0/8", scene::REKEY, &state);
    scene
}

#[test]
fn a_second_key_server_is_refused_as_long_as_the_first_one_lives() {
    let mut first = Scene::new("owner").storing();
    let mut second = beside(&first, "owner-second", "state");
    for flags in [&[][..], &["--discard-state"]] {
        let log = second.refused_with(flags);
        assert!(log.contains("another key server uses it"), "{log}");
        let id = first.daemon.as_ref().unwrap().id();
        assert!(log.contains(&format!("process {id}")) && !log.contains("start once with"), "{log}");
    }
    first.text(&["ks", "rekey"]);
    // Nothing of the first one is left behind that keeps the second one out.
    first.kill();
    second.start();
    assert!(fs::read_to_string(second.path("ks.log")).unwrap().contains("KS_STATE_LOADED"));
    let log = first.refused();
    assert!(log.contains("another key server uses it"), "{log}");
    second.signal(Signal::SIGTERM);
    second.daemon.take().unwrap().wait().unwrap();
    first.start();
}

/// A link to the directory is the directory.
#[test]
fn another_name_of_the_directory_is_no_other_directory() {
    let first = Scene::new("alias").storing();
    std::os::unix::fs::symlink(first.path("state"), first.path("link")).unwrap();
    let log = beside(&first, "alias-second", "link").refused();
    assert!(log.contains("another key server uses it"), "{log}");
}

/// Until it starts again a key server stays where it is.
#[test]
fn a_reload_that_moves_the_directory_keeps_the_old_one() {
    let first = Scene::new("moved").storing();
    let text = fs::read_to_string(first.path("ks.yaml")).unwrap();
    fs::write(first.path("ks.yaml"), text.replace("state-directory: state", "state-directory: elsewhere"))
        .unwrap();
    assert!(first.text(&["reload"]).contains("state-directory"));
    first.text(&["ks", "rekey"]);
    let log = beside(&first, "moved-old", "state").refused();
    assert!(log.contains("another key server uses it"), "{log}");
    beside(&first, "moved-new", "elsewhere").start();
}

/// Somebody moves the directory away, and a new one takes its name.
#[test]
fn who_has_lost_its_directory_to_another_server_sends_nothing() {
    let first = Scene::new("lost").storing();
    fs::rename(first.path("state"), first.path("away")).unwrap();
    let mut second = beside(&first, "lost-second", "state");
    second.start();
    let said = first.ctl(&["ks", "rekey"]);
    let reason = String::from_utf8_lossy(&said.stderr);
    assert!(reason.contains("NOT IN FORCE") && reason.contains("another key server uses it"), "{said:?}");
    second.kill();
    first.await_log("KS_STATE_STORED");
    first.text(&["ks", "rekey"]);
}
