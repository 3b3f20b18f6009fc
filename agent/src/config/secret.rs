//! Pre-shared keys: written into the configuration or into a file of their own.

use super::located::Parsed;
use super::source::{ConfigError, Source};
use gdoi::crypto::Secret;
use std::path::PathBuf;
use std::str::FromStr;

/// The shortest pre-shared key, in octets.
const SHORTEST: usize = 8;

/// Where a pre-shared key is.
#[derive(Debug)]
pub(super) enum KeySource {
    /// In the configuration.
    Inline(Secret),
    /// In this file; one line end after it is not part of the key.
    File(PathBuf),
}

/// A key that stands in the configuration itself.
pub(super) struct InlineKey(Secret);

impl FromStr for InlineKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.len() {
            0..SHORTEST => Err(format!("a pre-shared key needs at least {SHORTEST} octets")),
            _ => Ok(InlineKey(Secret::from(text.as_bytes()))),
        }
    }
}

impl KeySource {
    /// The one that is given; `name` is what the configuration calls the key.
    ///
    /// # Errors
    /// Both or none are given.
    pub fn one_of(
        inline: Option<Parsed<InlineKey>>,
        file: Option<PathBuf>,
        name: &str,
    ) -> Result<Self, String> {
        match (inline, file) {
            (Some(Parsed(InlineKey(secret))), None) => Ok(KeySource::Inline(secret)),
            (None, Some(path)) => Ok(KeySource::File(path)),
            _ => Err(format!("exactly one of `{name}` and `{name}-file` is needed")),
        }
    }

    /// The key itself.
    ///
    /// # Errors
    /// Its file cannot be read, or holds no usable key.
    pub fn read(self, source: &mut Source) -> Result<Secret, ConfigError> {
        match self {
            KeySource::Inline(secret) => Ok(secret),
            KeySource::File(path) => source.read_named(&path, |text| {
                let InlineKey(secret) = text.strip_suffix('\n').unwrap_or(text).parse()?;
                Ok(secret)
            }),
        }
    }
}
