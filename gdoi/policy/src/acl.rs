//! Access control lists: which traffic a group protects, as the field writes it.

use super::{refuse, Family, PolicyError, Selector};
use std::fmt;
use std::str::FromStr;

/// The most entries that one list may have.
pub const MAX_ACES: usize = 1_000;

/// What happens to traffic that an entry matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Encrypt.
    Permit,
    /// Send in clear.
    Deny,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Permit => "permit",
            Action::Deny => "deny",
        })
    }
}

/// One access control entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ace {
    /// What happens to the matching traffic.
    pub action: Action,
    /// What matches.
    pub selector: Selector,
}

/// An ordered list of entries, the first match decides; at most [`MAX_ACES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl(Vec<Ace>);

impl Acl {
    /// A list of these entries.
    ///
    /// # Errors
    /// More than [`MAX_ACES`] entries.
    pub fn new(entries: Vec<Ace>) -> Result<Self, PolicyError> {
        if entries.len() > MAX_ACES {
            return refuse(format!("{} entries, at most {MAX_ACES} are possible", entries.len()));
        }
        Ok(Acl(entries))
    }

    /// The entries in order.
    pub fn entries(&self) -> &[Ace] {
        &self.0
    }

    /// The permit entries in order.
    pub fn permits(&self) -> impl Iterator<Item = &Selector> + Clone {
        self.0.iter().filter(|ace| ace.action == Action::Permit).map(|ace| &ace.selector)
    }

    /// The IP versions of which it permits anything.
    pub fn families(&self) -> Vec<Family> {
        let permits = |family: &Family| self.permits().any(|selector| selector.family() == *family);
        Family::ALL.into_iter().filter(permits).collect()
    }
}

impl FromStr for Ace {
    type Err = PolicyError;

    /// `permit|deny PROTOCOL SOURCE [PORTS] DESTINATION [PORTS]`
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let action = match word {
            "permit" => Action::Permit,
            "deny" => Action::Deny,
            other => return refuse(format!("`{other}` is neither permit nor deny")),
        };
        Ok(Ace { action, selector: rest.parse()? })
    }
}

impl fmt::Display for Ace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_and_print_alike() {
        for text in ["permit ip 10.0.0.0/8 10.0.0.0/8", "deny tcp any any eq 179", "permit ipv6 any any"] {
            assert_eq!(text.parse::<Ace>().unwrap().to_string(), text);
        }
        let reason = |text: &str| text.parse::<Ace>().unwrap_err().to_string();
        assert!(reason("allow ip any any").contains("`allow` is neither permit nor deny"));
        assert!(reason("").contains("neither permit nor deny"));
        assert!(reason("permit").contains("no protocol"));
    }

    #[test]
    fn lists_are_bounded() {
        let ace: Ace = "permit ip any any".parse().unwrap();
        assert!(Acl::new(vec![ace; MAX_ACES]).is_ok());
        assert!(Acl::new(vec![ace; MAX_ACES + 1]).is_err());
    }

    #[test]
    fn permits_keep_their_order() {
        let entries = ["permit ip 10.0.0.0/8 any", "deny ip any any", "permit ipv6 any any"];
        let acl = Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap();
        let permits: Vec<_> = acl.permits().map(ToString::to_string).collect();
        assert_eq!(permits, ["ip 10.0.0.0/8 any", "ipv6 any any"]);
        assert_eq!(acl.families(), Family::ALL);
        let denied = Acl::new(vec!["deny ipv6 any any".parse().unwrap()]).unwrap();
        assert_eq!(denied.families(), []);
    }
}
