//! What a message may quote of a configuration file: words that the files are made of, numbers and addresses, and nothing
//! that could be a secret.
//!
//! A typing error moves a pre-shared key to any place: `key:"..."` without a blank is a key of the mapping, a line that is
//! indented too far belongs to the value before it. So it is not the place that decides what is quoted, but what it is.

use std::fmt::Display;
use std::net::IpAddr;
use strsim::levenshtein;

/// Begins what this crate says of a value, inside of what the YAML reader says. No key of a file has it unescaped.
const OWN: char = '\u{1}';

/// A reason that quotes nothing but what was parsed, on its way through the YAML reader.
pub fn own(reason: impl Display) -> String {
    format!("{OWN}{reason}")
}

/// The same for what could not be made of `value`: what the reason quotes in backticks is left out unless it is harmless.
pub fn of_value(value: &str, reason: &str) -> String {
    if value.trim().is_empty() {
        return own(reason.replace(&format!("`{value}`"), "nothing"));
    }
    if is_harmless(value) {
        return own(reason);
    }
    if value.contains('`') {
        return own("this is not understood");
    }
    let parts = reason.split('`').enumerate();
    let told = parts.map(|(index, part)| match index % 2 {
        1 if is_harmless(part) => format!("`{part}`"),
        1 => "this".to_owned(),
        _ => part.to_owned(),
    });
    let told: String = told.collect();
    own(told.strip_prefix("this: ").unwrap_or(&told))
}

/// What the YAML reader says, without the values in it.
pub fn of_reader(said: &str) -> String {
    if let Some((path, reason)) = said.split_once(OWN).filter(|(path, _)| is_path(path)) {
        return format!("{path}{reason}");
    }
    let begins = TEMPLATES.iter().filter_map(|template| Some((said.find(template)?, *template)));
    match begins.min() {
        Some((at, template)) => {
            let path = Some(&said[..at]).filter(|path| is_path(path)).unwrap_or_default();
            format!("{path}{}", retold(template, &said[at + template.len()..]))
        }
        None if is_of_syntax(said) => said.to_owned(),
        None => "is not understood".to_owned(),
    }
}

/// How serde begins to say what it does not take; a value or a name follows.
const TEMPLATES: [&str; 8] = [
    "invalid type: ",
    "invalid value: ",
    "invalid length ",
    "unknown field `",
    "unknown variant `",
    "missing field `",
    "duplicate field `",
    "duplicate entry ",
];

fn retold(template: &str, rest: &str) -> String {
    let expected = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
    match template {
        "unknown field `" => match rest.rfind("`, expected ") {
            Some(end) => unknown_field(&rest[..end], &rest[end + 1..]),
            None => "unknown field".to_owned(),
        },
        "missing field `" | "duplicate field `" => {
            format!("{template}{}`", rest.split('`').next().unwrap_or_default())
        }
        "invalid type: " | "invalid value: " => {
            let kind = KINDS.iter().find(|kind| rest.starts_with(**kind));
            format!("{template}{}{expected}", kind.unwrap_or(&"this"))
        }
        "duplicate entry " => "a key stands here twice".to_owned(),
        _ => format!("{}{expected}", template.trim_end_matches([' ', '`'])),
    }
}

/// The name is quoted if it is nearly one that is known. The reader names those in backticks.
fn unknown_field(name: &str, known: &str) -> String {
    let mut names = known.split('`').skip(1).step_by(2);
    match names.any(|known| is_nearly(name, known)) {
        true => format!("unknown field `{name}`{known}"),
        false => format!("unknown field{known}"),
    }
}

/// What serde calls values.
const KINDS: [&str; 10] = [
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "unit value",
    "null",
    "sequence",
    "map",
    "enum",
];

/// Where a value is: keys that are known, and numbers.
fn is_path(path: &str) -> bool {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-._[]".contains(letter);
    path.is_empty() || path.strip_suffix(": ").is_some_and(|path| path.chars().all(plain))
}

/// What the reader says of YAML itself never quotes.
fn is_of_syntax(said: &str) -> bool {
    const BEGINNINGS: [&str; 14] = [
        "did not find",
        "could not find",
        "found ",
        "mapping values",
        "block ",
        "while ",
        "control characters",
        "EOF ",
        "deserializing ",
        "recursion limit",
        "repetition limit",
        "unknown anchor",
        "invalid leading UTF-8",
        "a key stands",
    ];
    BEGINNINGS.iter().any(|beginning| said.starts_with(beginning)) && !said.contains(['`', '"'])
}

/// Whether all of it is words of configurations, small numbers and addresses.
fn is_harmless(text: &str) -> bool {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    words.all(|word| are_words(word) || is_number(word) || is_address(word))
}

/// Words, several of them with strokes between as a cipher and its integrity algorithm.
fn are_words(text: &str) -> bool {
    text.split('/').all(|word| word.is_empty() || WORDS.contains(&word))
}

fn is_number(word: &str) -> bool {
    (1..=5).contains(&word.len()) && word.bytes().all(|digit| digit.is_ascii_digit())
}

/// An address or a prefix, or what could be meant as one.
fn is_address(word: &str) -> bool {
    let address = word.split('/').next().unwrap_or_default();
    let length = word.strip_prefix(address).and_then(|rest| rest.strip_prefix('/'));
    let dotted = address.len() <= 15
        && address.contains('.')
        && address.bytes().all(|sign| sign == b'.' || sign.is_ascii_digit());
    (dotted || address.parse::<IpAddr>().is_ok()) && length.is_none_or(is_number)
}

/// What values are made of.
const WORDS: [&str; 44] = [
    "permit",
    "deny",
    "ip",
    "ipv6",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "ospf",
    "gre",
    "esp",
    "pim",
    "any",
    "any6",
    "host",
    "eq",
    "range",
    "gt",
    "lt",
    "aes-128-cbc",
    "aes-192-cbc",
    "aes-256-cbc",
    "aes-128-gcm",
    "aes-256-gcm",
    "chacha20-poly1305",
    "hmac-sha-256",
    "hmac-sha-384",
    "hmac-sha-512",
    "sha-1",
    "sha-256",
    "sha-384",
    "sha-512",
    "3des",
    "unicast",
    "multicast",
    "padded",
    "unpadded",
    "auto",
    "special-purpose",
    "as112",
    "true",
    "false",
    "yes",
    "no",
];

/// Whether a word is a known one but for two letters, or begins or ends it.
fn is_nearly(word: &str, known: &str) -> bool {
    let part = word.len() >= 4 && (known.starts_with(word) || known.ends_with(word));
    let alike = word.len().min(known.len()) >= 4 && word.len().abs_diff(known.len()) <= 2;
    part || alike && levenshtein(word, known) <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_if_they_are_harmless() {
        for (value, reason, told) in [
            ("192.0.2.300", "`192.0.2.300` is no IP address", "`192.0.2.300` is no IP address"),
            ("10.0.0.0/8x", "`10.0.0.0/8x` is not a prefix", "this is not a prefix"),
            ("permit any", "`permit any`: `any` is no protocol", "`permit any`: `any` is no protocol"),
            ("permit key", "`permit key`: `key` is no protocol", "this is no protocol"),
            ("a `b", "`a `b` is no name", "this is not understood"),
            ("12345678", "`12345678` is no whole number", "this is no whole number"),
            ("aes-256-ctr", "`aes-256-ctr` is no cipher (aes-256-gcm)", "this is no cipher (aes-256-gcm)"),
        ] {
            assert_eq!(of_reader(&of_value(value, reason)), told);
        }
    }

    #[test]
    fn what_the_reader_says_loses_its_values() {
        for (said, told) in [
            (
                "invalid type: string \"s, expected x\", expected a list",
                "invalid type: string, expected a list",
            ),
            (
                "a.b[0]: invalid value: integer `-1`, expected u32",
                "a.b[0]: invalid value: integer, expected u32",
            ),
            ("Key\"x: invalid type: map, expected text", "invalid type: map, expected text"),
            ("unknown field `adress`, expected `address`", "unknown field `adress`, expected `address`"),
            (
                "unknown field `s`, expected one of `key`, `name`",
                "unknown field, expected one of `key`, `name`",
            ),
            ("unknown field `a`, expected `key`, expected `key`", "unknown field, expected `key`"),
            ("x: duplicate entry with key \"s\"", "x: a key stands here twice"),
            ("missing field `name`", "missing field `name`"),
            ("something `s`", "is not understood"),
            ("did not find expected key", "did not find expected key"),
        ] {
            assert_eq!(of_reader(said), told, "{said}");
        }
    }

    #[test]
    fn words_are_near_or_not() {
        for (word, known, near) in [
            ("adress", "address", true),
            ("nome", "name", true),
            ("replay", "replay-window", true),
            ("priority", "local-priority", true),
            ("kez", "key", false),
            ("secret", "servers", false),
        ] {
            assert_eq!(is_nearly(word, known), near, "{word}");
        }
    }
}
