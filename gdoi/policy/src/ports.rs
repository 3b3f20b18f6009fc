//! Port ranges of TCP and UDP.

use super::{refuse, PolicyError};
use std::fmt;

/// The ports from the first to the last, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// The ports from `first` to `last`; None where the last is below the first.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if last < first {
            return None;
        }
        Some(Ports { first, last })
    }

    /// One port.
    pub const fn one(port: u16) -> Self {
        Ports { first: port, last: port }
    }

    /// The first port.
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(&self) -> u16 {
        self.last
    }

    /// The port, if it is only one.
    pub fn single(&self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }

    /// Whether every port of `other` is among these.
    pub const fn cover(&self, other: &Ports) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether some port is in both.
    pub const fn overlap(&self, other: &Ports) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Takes `eq N`, `range A B`, `gt N` or `lt N` off the words, if they begin so.
    pub(super) fn parse<'a>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    ) -> Result<Option<Self>, PolicyError> {
        let Some(operator) = words.next_if(|word| ["eq", "range", "gt", "lt"].contains(word)) else {
            return Ok(None);
        };
        let port = parse_port(words.next().unwrap_or_default())?;
        let ports = match operator {
            "eq" if port != 0 => Some(Ports::one(port)),
            "range" => Ports::new(port, parse_port(words.next().unwrap_or_default())?),
            "gt" => port.checked_add(1).and_then(|first| Ports::new(first, u16::MAX)),
            "lt" => port.checked_sub(1).and_then(|last| Ports::new(0, last)),
            _ => None,
        };
        match ports {
            Some(ports) => Ok(Some(ports)),
            None => refuse(format!("there are no ports `{operator} {port}`")),
        }
    }
}

fn parse_port(word: &str) -> Result<u16, PolicyError> {
    word.parse().or_else(|_| refuse(format!("`{word}` is no port (0 to 65535)")))
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last && first != 0 => write!(f, "eq {first}"),
            (first @ 1.., u16::MAX) => write!(f, "gt {}", first - 1),
            (0, last) if last != u16::MAX => write!(f, "lt {}", last + 1),
            (first, last) => write!(f, "range {first} {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Ports>, PolicyError> {
        Ports::parse(&mut text.split(' ').peekable())
    }

    #[test]
    fn ranges_read_and_print_alike() {
        for text in
            ["eq 53", "eq 65535", "range 1000 2000", "range 0 65535", "gt 1023", "gt 0", "lt 1024", "lt 1"]
        {
            assert_eq!(parse(text).unwrap().unwrap().to_string(), text);
        }
        assert_eq!(parse("gt 1023").unwrap(), Ports::new(1024, 65_535));
        assert_eq!(parse("lt 1024").unwrap(), Ports::new(0, 1023));
        assert_eq!(parse("range 7 7").unwrap().unwrap().to_string(), "eq 7");
        assert_eq!(parse("any"), Ok(None));
    }

    #[test]
    fn impossible_ranges_say_why() {
        let reason = |text: &str| parse(text).unwrap_err().to_string();
        assert!(reason("eq 0").contains("no ports `eq 0`"));
        assert!(reason("gt 65535").contains("no ports"));
        assert!(reason("lt 0").contains("no ports"));
        assert!(reason("range 2000 1000").contains("no ports"));
        assert!(reason("eq 65536").contains("`65536` is no port"));
        assert!(reason("range 1").contains("`` is no port"));
    }

    #[test]
    fn ranges_cover_and_overlap() {
        let ports = |first, last| Ports::new(first, last).unwrap();
        assert!(ports(1, 9).cover(&ports(3, 9)) && !ports(3, 9).cover(&ports(1, 9)));
        assert!(ports(1, 5).overlap(&ports(5, 9)) && !ports(1, 5).overlap(&ports(6, 9)));
        assert_eq!((Ports::one(7).single(), ports(7, 8).single()), (Some(7), None));
    }
}
