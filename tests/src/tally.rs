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

/// One in so many is the most that a pair may lose, however starved the processors are.
const LARGEST_PART: u64 = 10;

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
    /// How many did not arrive.
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Whether all arrived, once.
    fn is_whole(&self) -> bool {
        self.is_whole_but_for(Duration::ZERO)
    }

    /// The same, but for what was due in so much time and for a tenth at most.
    fn is_whole_but_for(&self, time: Duration) -> bool {
        let due = time.as_millis() * u128::from(rate()) / 1000;
        let forgiven = u128::from(self.sent / LARGEST_PART).min(due);
        self.sent > 0 && u128::from(self.lost()) <= forgiven && self.duplicated == 0
    }

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
pub struct Tallies {
    /// Pair by pair.
    pub pairs: Vec<Tally>,
    /// How long the sender that waited longest was not let onto a processor when it was due to send.
    pub starved: Duration,
}

impl Tallies {
    /// Fails if anything is missing or came twice, or if a pair was silent.
    pub fn all_arrived(&self) -> Outcome {
        self.all_arrived_among(&HOSTS.map(|(_, address)| address))
    }

    /// The same for the streams among some of the hosts.
    pub fn all_arrived_among(&self, hosts: &[Ipv4Addr]) -> Outcome {
        self.judge(hosts, &Tally::is_whole)
    }

    /// The same where all members change keys at one moment, or three servers share the processors with them. If these are
    /// emulated and were so busy that senders were late, then routers were late, too, and the overlap of old and new keys
    /// can have been too short for them. Each pair may have lost what was due in that time, and no more than a tenth.
    pub fn nearly_all_arrived_among(&self, hosts: &[Ipv4Addr]) -> Outcome {
        match machine::emulated() {
            true => self.judge(hosts, &|tally| tally.is_whole_but_for(self.starved)),
            false => self.all_arrived_among(hosts),
        }
    }

    fn judge(&self, hosts: &[Ipv4Addr], is_good: &dyn Fn(&Tally) -> bool) -> Outcome {
        let among = |tally: &&Tally| hosts.contains(&tally.pair.0) && hosts.contains(&tally.pair.1);
        let counted: Vec<_> = self.pairs.iter().filter(among).collect();
        let wanted = hosts.len() * (hosts.len() - 1);
        ensure!(counted.len() == wanted, "{} of {wanted} streams were counted", counted.len());
        match counted.into_iter().all(is_good) {
            true => Ok(()),
            false => Err(Stop::Failed(self.to_string())),
        }
    }

    /// How many datagrams did not arrive.
    pub fn lost(&self) -> u64 {
        self.pairs.iter().map(Tally::lost).sum()
    }
}

impl fmt::Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |part: fn(&Tally) -> u64| self.pairs.iter().map(part).sum::<u64>();
        let (sent, received) = (sum(|tally| tally.sent), sum(|tally| tally.received));
        let (duplicated, reordered) = (sum(|tally| tally.duplicated), sum(|tally| tally.reordered));
        write!(f, "{sent} sent, {received} received, {} lost, ", self.lost())?;
        write!(f, "{duplicated} duplicated, {reordered} reordered at {}/s and pair", rate())?;
        if !self.starved.is_zero() {
            write!(f, ", a sender waited {} ms for a processor", self.starved.as_millis())?;
        }
        for tally in self.pairs.iter().filter(|tally| !tally.missing.is_empty()) {
            let first = &tally.missing[..tally.missing.len().min(TOLD)];
            let (from, to) = tally.pair;
            write!(f, "; {from} > {to} lost {} of {}, first {first:?}", tally.lost(), tally.sent)?;
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
        let pairs = [&whole[..], &[tally((ONE, THREE), 1, &[0])]].concat();
        let lossy = Tallies { pairs, starved: Duration::ZERO };
        assert!(lossy.all_arrived_among(&[ONE, TWO]).is_ok());
        assert!(lossy.all_arrived().is_err() && lossy.all_arrived_among(&[ONE, THREE]).is_err());
    }

    #[test]
    fn each_pair_is_forgiven_what_was_due_while_its_sender_starved() {
        let second = Duration::from_secs(1);
        let lossy = |lost: u64| tally((ONE, TWO), 100 * u64::from(rate()), &(0..lost).collect::<Vec<_>>());
        let due = u64::from(rate());
        assert!(lossy(due).is_whole_but_for(second) && !lossy(due + 1).is_whole_but_for(second));
        assert!(!lossy(1).is_whole() && lossy(0).is_whole());
        assert!(
            lossy(10 * due).is_whole_but_for(second * 60)
                && !lossy(10 * due + 1).is_whole_but_for(second * 60)
        );
        assert!(!tally((ONE, TWO), 0, &[]).is_whole());
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
