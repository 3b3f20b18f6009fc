//! What a key server answers while its disk does not take the state.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use scene::{Router, Scene};
use std::fs;

/// Nothing was sent, and a crash forgets it: that is no success.
#[test]
fn what_cannot_be_stored_is_not_said_to_be_done() {
    let scene = Scene::new("unstored").storing();
    let router = Router::register(scene.server);
    assert!(router.view().registered);
    scene.await_log("KS_REGS_COMPL");
    fs::remove_dir_all(scene.path("state")).unwrap();
    for words in [
        &["ks", "rekey"][..],
        &["ks", "rekey", "--replace-now"],
        &["ks", "remove", "127.0.0.1"],
        &["ks", "readmit", "127.0.0.1"],
        &["ks", "remove", "--all"],
        &["--json", "ks", "rekey"],
    ] {
        let said = scene.ctl(words);
        let reason = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{words:?}: {said:?}");
        assert!(
            reason.contains("NOT IN FORCE") && reason.contains("/state: No such file"),
            "{words:?}: {said:?}"
        );
    }
    fs::write(
        scene.path("ks.yaml"),
        fs::read_to_string(scene.path("ks.yaml")).unwrap().replace("ip 10.0.0.0/8", "ip 10.0.0.0/9"),
    )
    .unwrap();
    let said = scene.ctl(&["reload"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let (text, reason) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(text.contains("group corp: match-address"), "{said:?}");
    assert!(reason.contains("NOT IN FORCE"), "{said:?}");

    fs::create_dir(scene.path("state")).unwrap();
    scene.await_log("KS_STATE_STORED");
    scene.text(&["ks", "rekey"]);
    assert!(scene.text(&["reload"]).contains("nothing has changed"));
}
