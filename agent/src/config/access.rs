//! Access lists as they are written: entries with their text, and what in a list can hardly be meant.

use super::located::{Clash, Parsed};
use gdoi::policy::{Ace, Acl, Action, Family, Selector};
use serde::{Deserialize, Deserializer};
use std::str::FromStr;

/// An entry, and the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says.
    pub ace: Ace,
    /// How the file says it.
    pub written: String,
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ace = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Entry { ace, written: text.to_owned() })
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|Parsed(entry)| entry)
    }
}

impl Clash for Entry {
    fn clash(&self, earlier: &Self) -> Option<String> {
        if self.ace.selector != earlier.ace.selector {
            return None;
        }
        let (one, other) = (&earlier.written, &self.written);
        Some(match self.ace.action == earlier.ace.action {
            true => format!("`{other}` stands here twice"),
            false => format!("`{one}` and `{other}` contradict each other"),
        })
    }
}

/// The list of these entries.
///
/// # Errors
/// There are too many.
pub fn acl(entries: &[Entry]) -> Result<Acl, String> {
    let list = Acl::new(entries.iter().map(|entry| entry.ace).collect());
    list.map_err(|error| format!("match-address: {error}"))
}

/// What deserves attention about one entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which entry.
    pub index: usize,
    /// What, for people.
    pub text: String,
}

/// Entries that can never match, and entries that only one direction has.
pub fn remarks(entries: &[Entry]) -> Vec<Remark> {
    let remark = |index| {
        let text = never_matches(entries, index).or_else(|| is_one_sided(entries, index))?;
        Some(Remark { index, text })
    };
    (0..entries.len()).filter_map(remark).collect()
}

/// A key server's list that encrypts nothing.
pub fn permits_nothing(name: &str, entries: &[Entry]) -> Option<Remark> {
    let permits = entries.iter().any(|entry| entry.ace.action == Action::Permit);
    let text = || format!("group `{name}` has `deny` entries only: nothing of it is encrypted");
    (!permits).then(|| Remark { index: 0, text: text() })
}

/// Entries of a member's own list that leave nothing of a family to its group.
pub fn takes_all(name: &str, entries: &[Entry]) -> Vec<Remark> {
    let is_all = |entry: &Entry| Selector::any(entry.ace.selector.family()) == entry.ace.selector;
    let remark = |(index, entry): (usize, &Entry)| {
        let family = match entry.ace.selector.family() {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        let text = format!(
            "`{}` takes all {family} out of group `{name}`: nothing of it is encrypted",
            entry.written
        );
        Remark { index, text }
    };
    entries.iter().enumerate().filter(|(_, entry)| is_all(entry)).map(remark).collect()
}

fn never_matches(entries: &[Entry], index: usize) -> Option<String> {
    let entry = &entries[index];
    let covering =
        entries[..index].iter().find(|earlier| earlier.ace.selector.covers(&entry.ace.selector))?;
    Some(format!(
        "`{}` can never match: `{}` before it has all that it names",
        entry.written, covering.written
    ))
}

/// Both directions are judged source to destination, so each needs an entry.
fn is_one_sided(entries: &[Entry], index: usize) -> Option<String> {
    let (entry, back) = (&entries[index], entries[index].ace.selector.mirror());
    let answers = |other: &Entry| other.ace.action == entry.ace.action && other.ace.selector.covers(&back);
    (!entries.iter().any(answers)).then(|| {
        format!(
            "`{}` is one-sided: no entry has the other direction, `{} {back}`",
            entry.written, entry.ace.action
        )
    })
}

/// The first permit entry of each group that overlaps one of a group before it: which of them encrypts is not said.
pub fn overlaps(name: &str, entries: &[Entry], (earlier_name, earlier): (&str, &[Entry])) -> Option<Remark> {
    let permits = |entry: &&Entry| entry.ace.action == Action::Permit;
    entries.iter().enumerate().filter(|(_, entry)| permits(entry)).find_map(|(index, entry)| {
        let overlaps = |other: &&Entry| other.ace.selector.overlaps(&entry.ace.selector);
        let other = earlier.iter().filter(permits).find(overlaps)?;
        let (one, two) = (&entry.written, &other.written);
        let text = format!("`{one}` of group `{name}` overlaps `{two}` of group `{earlier_name}`");
        Some(Remark { index, text })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(texts: &[&str]) -> Vec<Entry> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(texts: &[&str]) -> Vec<(usize, String)> {
        remarks(&entries(texts)).into_iter().map(|remark| (remark.index, remark.text)).collect()
    }

    #[test]
    fn sound_lists_pass() {
        assert_eq!(found(&["permit ip 10.0.0.0/8 10.0.0.0/8"]), []);
        let both = ["deny tcp any any eq 22", "deny tcp any eq 22 any", "permit ip any any"];
        assert_eq!(found(&both), []);
        let wider = ["permit ip 10.1.0.0/16 10.2.0.0/16", "permit ip 10.0.0.0/8 10.0.0.0/8"];
        assert_eq!(found(&wider), [], "the other direction is in the wider entry");
    }

    #[test]
    fn entries_that_cannot_be_meant_are_told() {
        let one_sided = found(&["permit ip 10.1.0.0/16 10.2.0.0/16"]);
        assert_eq!(one_sided[0].0, 0);
        assert!(one_sided[0]
            .1
            .contains("no entry has the other direction, `permit ip 10.2.0.0/16 10.1.0.0/16`"));
        let other_action = found(&["deny tcp any any eq 22", "permit ip any any"]);
        assert_eq!(other_action.len(), 1, "a permit entry does not answer a deny entry");
        let covered = found(&["deny ip any any", "permit tcp any any", "permit ipv6 any any"]);
        assert_eq!(covered.len(), 1);
        assert!(covered[0].1.contains("`permit tcp any any` can never match: `deny ip any any` before it"));
    }

    #[test]
    fn what_leaves_nothing_to_the_group_is_told() {
        let told = |texts: &[&str]| takes_all("corp", &entries(texts));
        let all = told(&["deny ospf any any", "deny ip any any", "deny ipv6 any any"]);
        assert_eq!(all.iter().map(|remark| remark.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(
            all[0].text,
            "`deny ip any any` takes all IPv4 out of group `corp`: nothing of it is encrypted"
        );
        assert_eq!(told(&["deny ip 10.0.0.0/8 any", "deny tcp any any", "deny ip any 10.0.0.0/8"]), []);
    }

    #[test]
    fn contradictions_and_repetitions_clash() {
        let clash = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|text| text.parse::<Entry>().unwrap());
            two.clash(&one)
        };
        assert_eq!(clash("permit ip any any", "permit tcp any any"), None);
        assert!(clash("permit ip any any", "permit ip  any any").unwrap().contains("stands here twice"));
        let reason = clash("permit ip any any", "deny ip any any").unwrap();
        assert_eq!(reason, "`permit ip any any` and `deny ip any any` contradict each other");
    }

    #[test]
    fn groups_overlap_by_what_they_encrypt() {
        let one = entries(&["deny ip 10.1.0.0/16 any", "permit ip 10.0.0.0/8 any"]);
        let two =
            entries(&["deny ip 10.0.0.0/8 any", "permit ip 172.16.0.0/12 any", "permit ip any 10.9.0.0/16"]);
        let remark = overlaps("b", &two, ("a", &one)).unwrap();
        assert_eq!(remark.index, 2);
        assert_eq!(
            remark.text,
            "`permit ip any 10.9.0.0/16` of group `b` overlaps `permit ip 10.0.0.0/8 any` of group `a`"
        );
        assert_eq!(overlaps("b", &two[..2], ("a", &one)), None);
    }
}
