//! Names of files, as a configuration gives them.

use super::located::Parsed;
use std::path::PathBuf;
use std::str::FromStr;

/// The name of a file or directory, without blanks and quotes: a line that is indented too far belongs to the value before
/// it, and may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(pub PathBuf);

/// Linux takes no longer one (PATH_MAX).
const LONGEST: usize = 4_095;

impl FromStr for FileName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || "\"'`".contains(letter);
        match (1..=LONGEST).contains(&text.len()) && !text.contains(odd) {
            true => Ok(FileName(text.into())),
            false => {
                Err(format!("this is no name of a file: 1 to {LONGEST} octets without blanks and quotes"))
            }
        }
    }
}

/// The path of a file that a configuration names, or does not.
pub fn named(name: Option<Parsed<FileName>>) -> Option<PathBuf> {
    name.map(|Parsed(FileName(path))| path)
}
