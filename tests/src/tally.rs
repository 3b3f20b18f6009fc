//! What became of streams, pair by pair.

use crate::machine;
use crate::outcome::{ensure, Outcome, Stop};
use crate::site::HOSTS;
use crate::stream::{rate, Mark};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Sequence numbers of lost datagrams that are told.
const TOLD: usize = 5;

/// The sums of one directed pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Source and destination.
    pub pair: (Ipv4Addr, Ipv4Addr),
    /// Datagrams sent.
    pub sent: u64,
    /// Different ones that arrived.
    pub received: u64,
    /// Arrivals of a datagram that had arrived before.
    pub duplicated: u64,
    /// Arrivals after one with a higher number.
    pub reordered: u64,
    /// The numbers that did not arrive.
    pub missing: Vec<u64>,
}

impl Tally {
    /// How many of the numbers between two marks did not arrive.
    pub fn lost_between(&self, from: &Mark, to: &Mark) -> usize {
        let (from, to) = (from.of(self.pair.0), to.of(self.pair.0));
        self.missing.iter().filter(|number| (from..to).contains(*number)).count()
    }

    /// How many of the numbers since a mark did not arrive.
    pub fn lost_since(&self, mark: &Mark) -> usize {
        self.missing.iter().filter(|number| **number >= mark.of(self.pair.0)).count()
    }

    /// How long after a mark the last one was sent that did not arrive; zero if all arrived that were sent since.
    pub fn gap_after(&self, mark: &Mark) -> Duration {
        let (begin, last) = (mark.of(self.pair.0), self.missing.last());
        let numbers = last.map_or(0, |last| (last + 1).saturating_sub(begin));
        Duration::from_secs(numbers) / rate()
    }
}

/// The sums of all pairs.
#[derive(Debug)]
pub struct Tallies(pub Vec<Tally>);

impl Tallies {
    /// Fails if anything is missing or came twice, or if a pair was silent.
    pub fn all_arrived(&self) -> Outcome {
        self.all_arrived_among(&HOSTS.map(|(_, address)| address))
    }

    /// The same where all members change keys at one moment, or three servers share the processors with them. If these are
    /// emulated, a router needs seconds to change its keys and the shortest lives are too short for it: a tenth may be
    /// lost then.
    pub fn nearly_all_arrived_among(&self, hosts: &[Ipv4Addr]) -> Outcome {
        let sent = self.0.iter().map(|tally| tally.sent).sum::<u64>();
        let among = |tally: &&Tally| hosts.contains(&tally.pair.0) && hosts.contains(&tally.pair.1);
        let lost = self.0.iter().filter(among).map(|tally| tally.sent - tally.received).sum::<u64>();
        match machine::emulated() && lost < sent / 10 {
            true => Ok(()),
            false => self.all_arrived_among(hosts),
        }
    }

    /// The same for the streams among some of the hosts.
    pub fn all_arrived_among(&self, hosts: &[Ipv4Addr]) -> Outcome {
        let among = |tally: &&Tally| hosts.contains(&tally.pair.0) && hosts.contains(&tally.pair.1);
        let counted: Vec<_> = self.0.iter().filter(among).collect();
        let wanted = hosts.len() * (hosts.len() - 1);
        ensure!(counted.len() == wanted, "{} of {wanted} streams were counted", counted.len());
        let whole = |tally: &&Tally| tally.sent > 0 && tally.received == tally.sent && tally.duplicated == 0;
        match counted.iter().all(whole) {
            true => Ok(()),
            false => Err(Stop::Failed(self.to_string())),
        }
    }

    /// How many datagrams did not arrive.
    pub fn lost(&self) -> u64 {
        self.0.iter().map(|tally| tally.sent - tally.received).sum()
    }
}

impl fmt::Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |part: fn(&Tally) -> u64| self.0.iter().map(part).sum::<u64>();
        let (sent, received) = (sum(|tally| tally.sent), sum(|tally| tally.received));
        let (duplicated, reordered) = (sum(|tally| tally.duplicated), sum(|tally| tally.reordered));
        write!(f, "{sent} sent, {received} received, {} lost, ", self.lost())?;
        write!(f, "{duplicated} duplicated, {reordered} reordered at {}/s and pair", rate())?;
        for tally in self.0.iter().filter(|tally| !tally.missing.is_empty()) {
            let lost = tally.sent - tally.received;
            write!(
                f,
                "; {} > {} lost {lost} of {}, first {:?}",
                tally.pair.0,
                tally.pair.1,
                tally.sent,
                &tally.missing[..tally.missing.len().min(TOLD)]
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ipv4Addr = HOSTS[0].1;
    const TWO: Ipv4Addr = HOSTS[1].1;
    const THREE: Ipv4Addr = HOSTS[2].1;

    fn tally(pair: (Ipv4Addr, Ipv4Addr), sent: u64, missing: &[u64]) -> Tally {
        let (missing, received) = (missing.to_vec(), sent - missing.len() as u64);
        Tally { pair, sent, received, duplicated: 0, reordered: 0, missing }
    }

    #[test]
    fn only_the_streams_asked_about_must_be_whole() {
        let whole = [tally((ONE, TWO), 1, &[]), tally((TWO, ONE), 1, &[])];
        let lossy = Tallies([&whole[..], &[tally((ONE, THREE), 1, &[0])]].concat());
        assert!(lossy.all_arrived_among(&[ONE, TWO]).is_ok());
        assert!(lossy.all_arrived().is_err() && lossy.all_arrived_among(&[ONE, THREE]).is_err());
    }

    #[test]
    fn loss_is_told_by_when_it_was() {
        let tally = tally((TWO, ONE), 100, &[3, 10, 11, 19, 20]);
        let mark = |number| Mark([0, number, 0]);
        assert_eq!(tally.lost_between(&mark(10), &mark(20)), 3);
        assert_eq!((tally.lost_since(&mark(20)), tally.lost_since(&mark(21))), (1, 0));
        assert_eq!(tally.gap_after(&mark(21)), Duration::ZERO);
        assert_eq!(tally.gap_after(&mark(11)), Duration::from_secs(10) / rate());
    }
}
