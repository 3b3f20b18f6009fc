//! The words of a file that is no configuration: those that follow a key that begins like `interfaces`, up to the end of its
//! list or to the next key. A group is open only if `fail-close: false` stands with its interfaces in one entry of a list or
//! between two braces.
//!
//! What is taken for a name is logged, so that no more is taken than must be: what follows may be a secret.

use super::{plane, Sketch};
use crate::config::InterfacePattern;

/// What stands between words in YAML and JSON, and what other languages and word processors put there.
const BETWEEN: [char; 15] =
    [',', ';', '"', '\'', '`', '“', '”', '„', '‟', '‘', '’', '‚', '«', '»', '\u{feff}'];
const BRACKETS: [char; 6] = ['[', ']', '(', ')', '{', '}'];
/// What ends names that no bracket ends, though its colon is missing.
const KEYS: [&str; 10] = [
    "name",
    "identity-number",
    "identity",
    "servers",
    "local-address",
    "pre-shared-key",
    "pre-shared-key-file",
    "match-address",
    "fail-close",
    "phase1",
];

/// What they name.
pub fn sketch(text: &str) -> Sketch {
    let mut reader = Reader::default();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        reader.read(line.split(" #").next().unwrap_or_default());
    }
    reader.end_group();
    reader.sketch
}

#[derive(Debug, Default)]
struct Reader {
    sketch: Sketch,
    /// Of the group that is read.
    interfaces: Vec<InterfacePattern>,
    fails_open: bool,
    key: Key,
    /// Whether the word before was a key.
    is_value: bool,
    /// Braces of values, which are part of the group.
    nested: u32,
}

/// What the next words are the value of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    Interfaces(Extent),
    FailClose,
    ControlSocket,
}

/// How far names go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Nothing has come yet: to the end of the line, of a list, or of the lines that have one each.
    Open,
    Line,
    Bracket,
    Lines,
}

#[derive(Debug, PartialEq, Eq)]
struct Word {
    text: String,
    is_key: bool,
}

impl Reader {
    fn read(&mut self, line: &str) {
        let words = words(line);
        let Some(first) = words.first() else { return };
        let is_entry = first.text == "-";
        let is_list = ["[", "(", "{"].contains(&first.text.as_str());
        self.key = match self.key {
            Key::Interfaces(Extent::Bracket) => Key::Interfaces(Extent::Bracket),
            Key::Interfaces(Extent::Open | Extent::Lines) if is_entry || is_list || words.len() == 1 => {
                Key::Interfaces(Extent::Lines)
            }
            _ => Key::Other,
        };
        if is_entry && words.iter().any(|word| word.is_key) {
            self.end_group();
        }
        words.into_iter().for_each(|word| self.take(&word));
    }

    fn take(&mut self, word: &Word) {
        if word.is_key {
            self.is_value = true;
            return self.begin(&word.text.to_lowercase());
        }
        let is_value = std::mem::take(&mut self.is_value);
        match (word.text.as_str(), self.key) {
            ("[" | "(" | "{", Key::Interfaces(_)) => self.key = Key::Interfaces(Extent::Bracket),
            ("]" | ")" | "}", Key::Interfaces(Extent::Bracket)) => self.key = Key::Other,
            ("{", _) if is_value => self.nested += 1,
            ("}", _) if self.nested > 0 => self.nested -= 1,
            ("{" | "}", _) => self.end_group(),
            (text, Key::Interfaces(extent)) => self.name(text, extent),
            (text, Key::FailClose) => self.fails_open = text == "false",
            (text, Key::ControlSocket) => self.sketch.control_socket = Some(text.into()),
            (text, Key::Other) if text.to_lowercase() == "interfaces" => self.begin("interfaces"),
            (_, Key::Other) => {}
        }
    }

    fn begin(&mut self, key: &str) {
        self.key = match key {
            "fail-close" => Key::FailClose,
            "control-socket" => Key::ControlSocket,
            key if key.starts_with("interface") => Key::Interfaces(Extent::Open),
            _ => Key::Other,
        };
    }

    fn name(&mut self, word: &str, extent: Extent) {
        if extent == Extent::Line && KEYS.contains(&word.to_lowercase().as_str()) {
            self.key = Key::Other;
            return;
        }
        if extent == Extent::Open {
            self.key = Key::Interfaces(Extent::Line);
        }
        // There may be no blank behind the sign of an entry.
        let forms = [Some(word), word.strip_prefix('-')].into_iter().flatten();
        let names = forms.filter_map(|form| form.parse::<InterfacePattern>().ok());
        self.interfaces.extend(names.filter(|one| one.as_str() != "-"));
    }

    fn end_group(&mut self) {
        (self.key, self.nested) = (Key::Other, 0);
        let fail_close = !std::mem::take(&mut self.fails_open);
        let interfaces = std::mem::take(&mut self.interfaces);
        self.sketch.planes.extend(interfaces.into_iter().map(|one| plane(one, fail_close, Vec::new())));
    }
}

/// A word is a key if a colon or an equals sign ends it, and nothing of a word follows; behind `interfaces` and a quote
/// something may.
fn words(line: &str) -> Vec<Word> {
    let mut words = vec![Word { text: String::new(), is_key: false }];
    let mut signs = line.chars().peekable();
    let mut before = ' ';
    while let Some(sign) = signs.next() {
        let is_between =
            |sign: char| sign.is_whitespace() || BETWEEN.contains(&sign) || BRACKETS.contains(&sign);
        let ends = signs.peek().is_none_or(|next| is_between(*next));
        if [':', '='].contains(&sign) && (ends || before == '"' || is_interfaces(words.last())) {
            end_key(&mut words);
        } else if BRACKETS.contains(&sign) {
            words.push(Word { text: sign.into(), is_key: false });
            words.push(Word { text: String::new(), is_key: false });
        } else if is_between(sign) {
            words.push(Word { text: String::new(), is_key: false });
        } else if let Some(word) = words.last_mut() {
            word.text.push(sign);
        }
        before = sign;
    }
    words.retain(|word| !word.text.is_empty());
    words
}

fn is_interfaces(word: Option<&Word>) -> bool {
    word.is_some_and(|word| word.text.to_lowercase().starts_with("interface"))
}

/// There may be a quote or a blank before the colon.
fn end_key(words: &mut Vec<Word>) {
    if let Some(word) = words.iter_mut().rfind(|word| !word.text.is_empty()) {
        word.is_key = true;
    }
    words.push(Word { text: String::new(), is_key: false });
}
