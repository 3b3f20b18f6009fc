//! What operators read names what the programs say.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FAMILIES: [&str; 8] = ["GM_", "KS_", "COOP_", "GDOI_", "CONFIG_", "PSEUDO_", "UNAUTHORIZED_", "START_"];
const OTHERS: [&str; 2] = ["PEER_UNREACHABLE", "POLICY_CHANGE"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn is_event(word: &str) -> bool {
    let shape = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let family = FAMILIES.iter().any(|family| word.len() > family.len() && word.starts_with(family));
    word.chars().all(shape) && (family || OTHERS.contains(&word))
}

/// What stands in quotes in the code.
fn said(code: &str) -> BTreeSet<&str> {
    code.split('"').filter(|text| is_event(text)).collect()
}

fn read(manual: &str) -> BTreeSet<&str> {
    let words = manual.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| is_event(word)).collect()
}

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(path).unwrap();
            found.push(text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned());
        }
    }
}

/// Every event that the code can record stands in README, and README names no other.
#[test]
fn the_manual_has_every_event_and_no_other() {
    let mut code = Vec::new();
    sources(&top().join("gdoi/src"), &mut code);
    sources(&top().join("agent/src"), &mut code);
    let code = code.concat();
    let mut said = said(&code);
    // The log's own word for a daemon that does not start.
    said.insert("START_FAILED");
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let read = read(&readme);
    let missing: Vec<_> = said.difference(&read).collect();
    let unknown: Vec<_> = read.difference(&said).collect();
    assert!(missing.is_empty(), "README lacks {missing:?}");
    assert!(unknown.is_empty(), "no code says {unknown:?}");
    assert!(said.len() > 60, "{}", said.len());
}
