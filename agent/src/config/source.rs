//! A configuration file's text, and errors that point into it.

use super::access::{Entry, Remark};
use super::discretion::of_reader;
use super::distinct_keys::DistinctKeys;
use super::Kind;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use std::fmt;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest file that is read, in octets.
const MAX_FILE: u64 = 1 << 20;

/// Why a configuration is refused: `FILE:LINE: reason`, or `FILE: reason` for one that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration file that was read, and the warnings about it so far.
pub struct Source {
    path: PathBuf,
    text: Zeroizing<String>,
    warnings: Vec<String>,
    contents: DefaultHasher,
}

impl Source {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// It cannot be read, is no UTF-8, or is larger than 1 MiB.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (octets, metadata) = read_file(path).map_err(|reason| unreadable(path, reason))?;
        let text = std::str::from_utf8(&octets);
        let text = text.map_err(|error| unreadable(path, format!("cannot be read: {error}")))?;
        let mut source = Source::from_text(path, text);
        source.warn_if_exposed(path, &metadata);
        Ok(source)
    }

    /// A source with this text; `path` is for messages and to find the files that it names.
    pub fn from_text(path: &Path, text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        let mut contents = DefaultHasher::new();
        text.hash(&mut contents);
        Source { path: path.to_owned(), text, warnings: Vec::new(), contents }
    }

    /// The configuration that the text describes.
    ///
    /// # Errors
    /// Anything that is not understood or not possible, with its line.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_yaml::from_str::<DistinctKeys>(&self.text).map_err(|error| self.refusal(&error))?;
        serde_yaml::from_str(&self.text).map_err(|error| self.refusal(&error))
    }

    /// Whose configuration this is, judged by the keys that only one of the two knows.
    ///
    /// # Errors
    /// No YAML mapping, or one with keys of neither.
    pub fn kind(&self) -> Result<Kind, ConfigError> {
        let value: Value = self.parse()?;
        let group = value.get("groups").and_then(|groups| groups.get(0));
        let has = |key: &str| value.get(key).is_some() || group.is_some_and(|group| group.get(key).is_some());
        if ["address", "pre-shared-keys", "server-local"].into_iter().any(has) {
            Ok(Kind::KeyServer)
        } else if ["servers", "interfaces"].into_iter().any(has) {
            Ok(Kind::Member)
        } else {
            Err(self.error(
                1,
                "neither a member's configuration (groups with servers) nor a key server's (address)",
            ))
        }
    }

    /// What `parse` makes of the file `name`; relative names start at the configuration's directory.
    ///
    /// # Errors
    /// It cannot be read or parsed; the line is the one that names it.
    pub fn read_named<T>(
        &mut self,
        name: &Path,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        self.read_octets(name, |octets| {
            parse(std::str::from_utf8(octets).map_err(|error| format!("cannot be read: {error}"))?)
        })
    }

    /// As [`Source::read_named`] for a file that need not be text.
    ///
    /// # Errors
    /// As there.
    pub fn read_octets<T>(
        &mut self,
        name: &Path,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let path = self.beside(name);
        // What names no file may be the secret itself.
        let unread = |reason: String| {
            let directory = self.path.parent().filter(|directory| *directory != Path::new(""));
            let begin = directory.filter(|_| name.is_relative()).map_or(String::new(), |directory| {
                format!(" (in {}, where relative names begin)", directory.display())
            });
            self.error_at(name, format!("the file that is named here{begin} {reason}"))
        };
        let (octets, metadata) = read_file(&path).map_err(unread)?;
        let refuse = |reason: String| self.error_at(name, format!("{}: {reason}", path.display()));
        let value = parse(&octets).map_err(refuse)?;
        octets.hash(&mut self.contents);
        self.warn_if_exposed(&path, &metadata);
        Ok(value)
    }

    /// Where the file `name` is: relative names start at the configuration's directory.
    pub fn beside(&self, name: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// Something that deserves attention.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(format!("{}: {warning}", self.path.display()));
    }

    /// Something that deserves attention, placed as [`Source::error_behind`].
    pub fn warn_behind(&mut self, section: &str, text: &str, warning: String) {
        let warning = self.error_behind(section, text, warning).to_string();
        self.warnings.push(warning);
    }

    /// Remarks about a list whose entries stand in these lines.
    pub fn warn_at(&mut self, lines: &[usize], remarks: Vec<Remark>) {
        let path = self.path.display();
        self.warnings.extend(
            remarks.into_iter().map(|Remark { index, text }| format!("{path}:{}: {text}", lines[index])),
        );
    }

    /// The lines of entries, which stand in this order in the file.
    pub fn lines_of<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Vec<usize> {
        let (mut from, mut line) = (0, 1);
        let mut place = |entry: &Entry| {
            let end = self.find_behind(from, &entry.written).map_or(from, |at| at + entry.written.len());
            line += self.text[from..end].matches('\n').count();
            from = end;
            line
        };
        entries.map(&mut place).collect()
    }

    /// Where `text` stands behind `from`, but for comments.
    fn find_behind(&self, from: usize, text: &str) -> Option<usize> {
        let mut found = self.text[from..].match_indices(text).map(|(at, _)| from + at);
        let before = |at: usize| &self.text[self.text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        found.find(|at| !before(*at).contains('#'))
    }

    /// An error at the first line that gives `key` this number.
    pub fn error_at_number(&self, key: &str, number: u64, reason: impl Into<String>) -> ConfigError {
        let number = number.to_string();
        let names = |line: &str| {
            let line = before_comment(line);
            let mut words = line.split(|letter: char| !letter.is_alphanumeric());
            gives(line, key) && words.any(|word| word == number)
        };
        let line = self.text.lines().position(names);
        self.error(line.map_or(1, |index| index + 1), reason)
    }

    /// An error at the line where a list `key` has this element, or at that of the first such list.
    pub fn error_in_list(&self, key: &str, element: &str, reason: impl Into<String>) -> ConfigError {
        let mut inside = false;
        let has = |line: &str| {
            let line = before_comment(line);
            // A line that gives another key ends the list.
            inside = gives(line, key) || inside && !gives_key(line);
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && !".:".contains(letter));
            inside && words.any(|word| word == element)
        };
        let line = self.text.lines().position(has);
        let line = line.or_else(|| self.text.lines().position(|line| gives(line, key)));
        self.error(line.map_or(1, |index| index + 1), reason)
    }

    /// An error at the first line behind a key `section` that has this text, or at that of the first such key.
    pub fn error_behind(&self, section: &str, text: &str, reason: impl Into<String>) -> ConfigError {
        let begins = |line: &&str| line.trim_start().starts_with(section);
        let lines = || self.text.lines().map(|line| line.split('#').next().unwrap_or("")).enumerate();
        let behind = lines().skip_while(|(_, line)| !begins(line));
        let found = behind.clone().find(|(_, line)| line.contains(text)).or(behind.clone().next());
        self.error(found.map_or(1, |(index, _)| index + 1), reason)
    }

    /// An error at the first line that has a file of this name for a value, or that mentions it.
    fn error_at(&self, name: &Path, reason: impl Into<String>) -> ConfigError {
        let name = name.to_string_lossy();
        let lines = || self.text.lines();
        let line = lines().position(|line| has_value(line, &name));
        let line = line.or_else(|| lines().position(|line| line.contains(name.as_ref())));
        self.error(line.map_or(1, |index| index + 1), reason)
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Changes with the contents of all files read.
    pub fn fingerprint(&self) -> u64 {
        self.contents.finish()
    }

    /// What deserves attention although the file can be used.
    pub fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    fn error(&self, line: usize, reason: impl Into<String>) -> ConfigError {
        ConfigError { file: self.path.clone(), line: Some(line), reason: reason.into() }
    }

    fn refusal(&self, error: &serde_yaml::Error) -> ConfigError {
        let text = error.to_string();
        let Some(location) = error.location() else { return self.error(1, of_reader(&text)) };
        let place = format!(" at line {} column {}", location.line(), location.column());
        self.error(location.line(), of_reader(text.strip_suffix(&place).unwrap_or(&text)))
    }

    fn warn_if_exposed(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.mode() & 0o004 != 0 {
            self.warnings.push(format!(
                "{}: everybody on this host can read it; if it holds a secret, chmod o-r it",
                path.display()
            ));
        }
    }
}

/// Whether `key` is given in this line: with a colon behind it, and not in a comment.
fn gives(line: &str, key: &str) -> bool {
    let mut found = before_comment(line).match_indices(key);
    found.any(|(at, _)| {
        let behind = line[at + key.len()..].trim_start_matches(['"', '\'', ' ']);
        let begins = at == 0 || line[..at].ends_with([' ', '\t', '{', ',', '"', '\'']);
        begins && behind.starts_with(':')
    })
}

/// Whether the value of a key for files has this name.
fn has_value(line: &str, name: &str) -> bool {
    let line = before_comment(line);
    let is_value = |at: usize| {
        let before = line[..at].trim_end_matches(['"', '\'']);
        let key = before.trim_end().strip_suffix(':').map(|key| key.trim_end_matches(['"', '\'', ' ']));
        let for_files = |key: &str| key.ends_with("-file") || key.ends_with("authentication");
        let behind = line[at + name.len()..].trim_start_matches(['"', '\'']);
        key.is_some_and(for_files) && (behind.is_empty() || behind.starts_with([' ', '\t', ',', '}']))
    };
    line.match_indices(name).any(|(at, _)| is_value(at))
}

/// A comment begins with a sign that stands at the beginning or behind a blank.
fn before_comment(line: &str) -> &str {
    let begins = |at: &usize| line[..*at].is_empty() || line[..*at].ends_with([' ', '\t']);
    let comment = line.match_indices('#').map(|(at, _)| at).find(begins);
    &line[..comment.unwrap_or(line.len())]
}

/// An IPv6 address has colons, too.
fn gives_key(line: &str) -> bool {
    line.contains(": ") || line.trim_end().ends_with(':')
}

fn unreadable(path: &Path, reason: String) -> ConfigError {
    ConfigError { file: path.to_owned(), line: None, reason }
}

fn read_file(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    let mut octets = Zeroizing::new(Vec::new());
    let length = file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(cannot)?;
    if length as u64 > MAX_FILE {
        return Err(format!("is larger than {MAX_FILE} octets"));
    }
    Ok((octets, metadata))
}
