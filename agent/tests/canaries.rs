//! Whatever is wrong with a configuration, nothing that the programs say has a secret in it.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

mod scene;

use agent::config;
use scene::{Router, Scene};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Keys as people write them: one could be a name, one could not.
const PLAIN: &str = "c4n4ry0123456789";
const ODD: &str = "c4n4ry+Zm9v/YmFy=";
const MARK: &str = "c4n4ry";

const SERVER: &str = r#"address: 192.0.2.10
port: 848
control-socket: /run/gdoi/ks.sock
state-directory: state
state-key-file: state.key
pre-shared-keys:
  - {address: 198.51.100.0/24, key: "c4n4ry0123456789"}
  - address: 203.0.113.0/24
    identity: {fqdn: gm1.example}
    key: c4n4ry9876543210
  - {address: 192.0.2.11, key: 'c4n4ry+Zm9v/YmFy='}
  - {address: 203.0.113.7, key-file: site.psk}
phase1:
  - {encryption: aes-256-cbc, hash: sha-256, group: 19, lifetime: 86400}
groups:
  - name: corp
    identity-number: 100
    server-local:
      rekey:
        transport: unicast
        authentication: rekey.pem
        lifetime: 86400
        encryption: aes-256-cbc
        retransmit: {interval: 10, number: 2}
        signed-length: padded
        reminder: 7200
      redundancy:
        local-priority: 100
        peers: [192.0.2.11]
        preempt: true
        hold-down: 10
        announcement-interval: 1
        dead-after: 3
      sa-ipsec:
        transform: aes-256-gcm
        replay-window: 1024
        lifetime: 3600
        receive-only: false
        match-address:
          - permit ip 10.0.0.0/8 10.0.0.0/8
          - deny tcp any any eq 179
      authorization:
        address: [203.0.113.0/24]
        identity: [{fqdn: gm1.example}]
      activation-delay: 30
      deactivation-delay: 60
lab-timers: false
"#;

const MEMBER: &str = r#"groups:
  - name: corp
    identity-number: 100
    servers: [192.0.2.10, {address: 192.0.2.11, port: 1848}]
    interfaces: [wan0]
    local-address: 198.51.100.1
    pre-shared-key: "c4n4ry0123456789"
    identity: {fqdn: gm1.example}
    match-address:
      - deny tcp any any eq 179
      - deny ospf any any
    fail-close: true
    passive: false
    mss-clamp: auto
    phase1: {encryption: aes-256-cbc, hash: sha-256, group: 19, lifetime: 86400, doi: 2}
  - name: lab
    identity-number: 101
    servers: [192.0.2.10]
    interfaces: [wan1]
    local-address: 198.51.100.1
    pre-shared-key: c4n4ry9876543210
control-socket: /run/gdoi/gm.sock
port: 848
"#;

/// The places of values that are shown because they are no secrets: a name is a name, whatever stands there.
const SHOWN: [&str; 5] = ["name", "control-socket", "state-directory", "fqdn", "user-fqdn"];

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// The text with one line replaced.
fn with_line(text: &str, index: usize, line: &str) -> String {
    let mut all = lines(text);
    all[index] = line;
    all.join("\n") + "\n"
}

fn cut_anywhere(text: &str) -> Vec<String> {
    (0..text.len()).map(|end| text[..end].to_owned()).collect()
}

fn without_a_character(text: &str) -> Vec<String> {
    (0..text.len()).map(|at| format!("{}{}", &text[..at], &text[at + 1..])).collect()
}

/// Missing lines, doubled ones, exchanged ones, other indentation, tabs, colons without a blank, quotes that are open.
fn other_lines(text: &str) -> Vec<String> {
    let mut made = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut without = lines(text);
        without.remove(index);
        made.push(without.join("\n"));
        for changed in [
            format!("{line}\n{line}"),
            format!(" {line}"),
            format!("    {line}"),
            format!("\t{line}"),
            line.replacen("  ", "\t", 1),
            line.trim_start().to_owned(),
            line.strip_prefix("  ").unwrap_or(line).to_owned(),
            line.replace(": ", ":"),
            line.replace(": ", " : "),
            line.replace(": ", "="),
            line.replace(": ", " "),
            line.replace(": ", ":\t"),
            line.replace(", ", ","),
            line.replace('"', ""),
            line.replacen('"', "", 1),
            line.replace('"', "'"),
            line.replace(['{', '['], ""),
            line.replace(['}', ']'], ""),
            line.replace("- ", "-"),
            line.replace("- ", ""),
            format!("{line} trailing"),
            format!("{line} {PLAIN}"),
            format!("{line}: {ODD}"),
            format!("{line}, {PLAIN}"),
            format!("{line}\n{PLAIN}"),
            format!("{line}\n      {PLAIN}"),
            format!("{line}\n{PLAIN}: {ODD}"),
            format!("{line}\n    {PLAIN}: {ODD}"),
            format!("{line}\n        {PLAIN}: {ODD}"),
            format!("{line}\n    - {PLAIN}"),
            format!("{line}\nkey: {PLAIN}\nkey: {ODD}"),
            format!("? {line}"),
            format!("!{PLAIN} {line}"),
            format!("&{PLAIN} {line}"),
            format!("*{PLAIN} {line}"),
            format!("%{PLAIN} {line}"),
        ] {
            made.push(with_line(text, index, &changed));
        }
    }
    for (index, pair) in lines(text).windows(2).enumerate() {
        made.push(with_line(&with_line(text, index, pair[1]), index + 1, pair[0]));
        made.push(with_line(text, index, &format!("{}{}", pair[0], pair[1])));
        made.push(with_line(text, index, &format!("{} {}", pair[0], pair[1].trim())));
    }
    made
}

/// What is behind a key is something else: a secret, a number, a list, a mapping, nothing.
fn other_values(text: &str) -> Vec<String> {
    let mut made = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let values = [
            "",
            "~",
            "true",
            "4711",
            "-1",
            "1.5",
            "[]",
            "{}",
            "c4n4ry",
            "[c4n4ry0123456789]",
            "[{c4n4ry0123456789: 1}]",
            "{c4n4ry0123456789: c4n4ry0123456789}",
            "{key: c4n4ry0123456789}",
            "{key:c4n4ry0123456789}",
            "{key:\"c4n4ry0123456789\"}",
            "[[c4n4ry0123456789]]",
            "\"c4n4ry 0123 4567\"",
            "\"`c4n4ry` 0123\"",
            "\"c4n4ry, expected `x`\"",
            "|\n        c4n4ry0123456789",
            ">\n        c4n4ry0123456789\n        c4n4ry",
            "!c4n4ry0123456789 x",
            "*c4n4ry0123456789",
            "&c4n4ry0123456789",
            "aes-256-cbc/c4n4ry",
            "c4n4ry/24",
            "10.0.0.0/c4n4ry",
            "permit ip any any c4n4ry",
            "permit c4n4ry any any",
            "c4n4ry ip any any",
            "\"\\c4n4ry\"",
            "\"c4n4ry",
            "'c4n4ry",
            "[c4n4ry",
            "{c4n4ry",
            "@c4n4ry",
            "c4n4ry: c4n4ry",
            "1c4n4ry",
            "0xc4n4ry",
        ];
        let shown = SHOWN.iter().any(|key| line.trim_start().trim_start_matches("- ").starts_with(key));
        for new in values.iter().filter(|new| !shown || !new.contains(MARK)) {
            made.push(with_line(text, index, &format!("{key}: {new}")));
            made.push(with_line(text, index, &format!("{key}: {new}{value}")));
        }
        for secret in [PLAIN, ODD].iter().filter(|_| !shown) {
            made.push(with_line(text, index, &format!("{key}: {secret}")));
            made.push(with_line(text, index, &format!("{key}: [{secret}]")));
            made.push(with_line(text, index, &format!("{key}:{secret}")));
        }
        made.push(with_line(text, index, &format!("{PLAIN}{key}:{value}")));
        made.push(with_line(text, index, &format!("{key}{PLAIN}:{value}")));
        made.push(with_line(text, index, &format!("{key}-{PLAIN}:{value}")));
    }
    made
}

/// Each scalar inside of a flow mapping or list becomes a secret, as a value and as a key.
fn other_words(text: &str) -> Vec<String> {
    let mut made = Vec::new();
    let is_edge = |letter: char| " ,:{}[]\"'\n".contains(letter);
    let mut start = 0;
    for (end, _) in text.match_indices(is_edge) {
        let word = &text[start..end];
        let line = text[..start].rsplit('\n').next().unwrap();
        let shown = SHOWN.iter().any(|key| line.contains(&format!("{key}:")));
        if !word.is_empty() && !shown {
            for secret in [ODD, "\"c4n4ry\"x", "c4n4ry:x"] {
                made.push(format!("{}{secret}{}", &text[..start], &text[end..]));
            }
        }
        start = end + 1;
    }
    made
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gdoi-canaries-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let place = Place(path);
        let scene = Scene::new(&format!("canaries-key-{name}"));
        scene.text(&["ks", "key", "generate", place.0.join("rekey.pem").to_str().unwrap()]);
        fs::write(place.0.join("site.psk"), "c4n4ry of the site\n").unwrap();
        fs::write(place.0.join("state.key"), "c4".repeat(32)).unwrap();
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a check says to each of the texts.
fn checked(file: &Path, texts: &[String]) -> Vec<String> {
    let mut leaks = BTreeSet::new();
    let mut refused = 0;
    for text in texts {
        fs::write(file, text).unwrap();
        let said = match config::check(file) {
            Ok(warnings) => warnings.join("\n"),
            Err(error) => {
                refused += 1;
                format!("{error}\n{error:?}")
            }
        };
        if said.contains(MARK) {
            leaks.insert(said);
        }
    }
    assert!(refused > texts.len() / 4, "only {refused} of {} are refused: the changes are none", texts.len());
    leaks.into_iter().collect()
}

fn assert_silent(name: &str, text: &str) {
    let place = Place::new(name);
    let file = place.0.join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    assert_eq!(config::check(&file).map_err(|error| error.to_string()).map(|_| ()), Ok(()));
    let kinds = [cut_anywhere, without_a_character, other_lines, other_values, other_words];
    let leaks: Vec<_> = kinds.iter().flat_map(|kind| checked(&file, &kind(text))).collect();
    let shown: Vec<_> = leaks.iter().step_by(1 + leaks.len() / 20).collect();
    assert!(leaks.is_empty(), "{} messages have a secret in them: {shown:#?}", leaks.len());
    let mut latin = text.replace("gm1.example", "Zürich").into_bytes();
    latin.push(0xfc);
    fs::write(&file, latin).unwrap();
    assert!(!config::check(&file).unwrap_err().to_string().contains(MARK));
}

#[test]
fn no_refusal_of_a_key_servers_file_quotes_a_secret() {
    assert_silent("ks", SERVER);
}

#[test]
fn no_refusal_of_a_members_file_quotes_a_secret() {
    assert_silent("gm", MEMBER);
}

fn run(program: &str, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(words).env("RUST_LOG", "trace").stdin(Stdio::null()).output().unwrap()
}

fn all_of(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets).into_owned()).concat()
}

/// The mistakes that were seen.
fn mistakes(text: &str) -> Vec<String> {
    let secret = format!("\"{PLAIN}\"");
    vec![
        text.replace(&format!("key: {secret}"), &format!("key:{secret}")),
        text.replace(&format!("{{address: 198.51.100.0/24, key: {secret}}}"), PLAIN),
        text.replace("pre-shared-keys:\n", &format!("pre-shared-keys: {secret}\n")),
        text.replace("pre-shared-keys:\n", &format!("pre-shared-keys: {secret}\nold-keys:\n")),
        text.replace("name: corp", &format!("name: corp\n      pre-shared-key:{secret}")),
        text.replace("rekey.pem", "|\n          c4n4ry0123456789"),
        text.replace("pre-shared-key: \"", "pre-shared-key-file: \""),
        text[..text.len() / 3].to_owned(),
    ]
}

#[test]
fn no_program_says_a_secret_of_a_file_that_it_refuses() {
    let place = Place::new("programs");
    for (name, text, daemon) in [
        ("ks.yaml", SERVER, env!("CARGO_BIN_EXE_gdoi-ks")),
        ("gm.yaml", MEMBER, env!("CARGO_BIN_EXE_gdoi-gm")),
    ] {
        let file = place.0.join(name);
        let path = file.to_str().unwrap();
        for text in mistakes(text).iter().filter(|changed| *changed != text) {
            fs::write(&file, text).unwrap();
            for said in [
                run(env!("CARGO_BIN_EXE_gdoictl"), &["check", path]),
                run(daemon, &["--config", path, "--check"]),
                run(daemon, &["--config", path]),
            ] {
                assert!(!said.status.success(), "{text}");
                assert!(!all_of(&said).contains(MARK), "{}\n{text}", all_of(&said));
            }
        }
    }
}

/// A key server at TRACE that registers, rekeys, reloads good files and bad ones, reports, and is killed.
#[test]
fn a_running_key_server_says_no_secret_at_any_level() {
    let mut scene = Scene::new("canaries-running");
    let key = scene.path("rekey.pem");
    scene.text(&["ks", "key", "generate", key.to_str().unwrap()]);
    fs::write(scene.path("state.key"), "c4n4ry0123456789c4n4ry0123456789").unwrap();
    let rekey = "      rekey: {authentication: rekey.pem}\n";
    scene.configure_with("10.0.0.0/8", rekey, "state-directory: state\nstate-key-file: state.key\n");
    let good = fs::read_to_string(scene.path("ks.yaml")).unwrap();
    let good = good.replace(
        "pre-shared-keys: [",
        &format!("pre-shared-keys: [{{address: 10.9.9.9, key: \"{PLAIN}\"}}, "),
    );
    fs::write(scene.path("ks.yaml"), &good).unwrap();
    scene.start_at_trace();
    let mut router = Router::register(scene.server);
    let before = router.status().rekeys.received;
    scene.text(&["ks", "rekey"]);
    router.run_until("no rekey", |router| router.status().rekeys.received > before);
    let mut said = String::new();
    let changes = [
        good.replace(&format!("key: \"{PLAIN}\""), &format!("key:\"{PLAIN}\"")),
        good.replace(&format!("key: \"{PLAIN}\""), PLAIN),
        good.replace("groups:", &format!("{PLAIN}: {ODD}\ngroups:")),
        good.replace("rekey.pem", PLAIN),
        good.replace(PLAIN, "c4n4ry that changed"),
        good.replace("10.9.9.9", "10.9.9.8"),
    ];
    for text in &changes {
        fs::write(scene.path("ks.yaml"), text).unwrap();
        for words in [&["reload", "--dry-run"][..], &["--json", "reload"], &["reload"]] {
            said += &all_of(&scene.ctl(words));
        }
    }
    for words in [
        &["show", "events"][..],
        &["show", "ks"],
        &["show", "ks", "members"],
        &["show", "ks", "policy"],
        &["show", "ks", "acl"],
        &["show", "ks", "rekey"],
        &["show", "ks", "coop", "detail"],
        &["show", "gm"],
    ] {
        said += &all_of(&scene.ctl(words));
        said += &all_of(&scene.ctl(&[&["--json"], words].concat()));
    }
    let pem = fs::read_to_string(&key).unwrap();
    scene.kill();
    said += &fs::read_to_string(scene.path("ks.log")).unwrap();
    assert!(said.contains("TRACE") || said.contains("CONFIG_REFUSED"), "{said}");
    for secret in
        [MARK, "only for tests"].into_iter().chain(pem.lines().filter(|line| !line.starts_with('-')))
    {
        let leak = said.lines().find(|line| line.contains(secret));
        assert!(leak.is_none(), "{leak:?}");
    }
}
