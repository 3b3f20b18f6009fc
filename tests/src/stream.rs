//! Numbered datagrams between all protected hosts: what is lost, doubled or overtaken on the way is counted.

mod line;

use crate::cell::Cell;
use crate::eventually::eventually_true;
use crate::machine;
use crate::outcome::{failed, Outcome};
use crate::site::{Site, HOSTS};
use crate::tally::{Tallies, Tally};
use crate::watch::Watch;
use line::Line;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What every datagram begins with, so that it is known wherever it can be read.
pub const MAGIC: [u8; 8] = *b"GDOI-lab";
/// Where it comes from and goes to.
pub const PORT: u16 = 7000;
/// Datagrams per second and pair.
const RATE: u32 = 200;
/// The same on an emulated processor.
const EMULATED_RATE: u32 = 50;
const WARMING: Duration = Duration::from_secs(60);
/// What has not arrived so long after the senders' end is lost.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Streams that run until they are stopped.
#[derive(Debug)]
pub struct Streams {
    ends: Arc<Ends>,
    senders: Vec<JoinHandle<Outcome<Sent>>>,
    receivers: Vec<JoinHandle<Outcome<Vec<Seen>>>>,
}

#[derive(Debug, Default)]
struct Ends {
    sending: AtomicBool,
    receiving: AtomicBool,
    /// Datagrams that have arrived, each counted once.
    arrived: AtomicU64,
    /// How many numbers each host has sent.
    sent: [AtomicU64; HOSTS.len()],
    /// One more than the last number that each host has heard of each other.
    heard: [[AtomicU64; HOSTS.len()]; HOSTS.len()],
}

/// A moment in the streams: the number that each host sends next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(pub [u64; HOSTS.len()]);

impl Mark {
    /// What this host sends next.
    pub fn of(&self, host: Ipv4Addr) -> u64 {
        self.0[index(host)]
    }
}

/// What one host has sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// How many numbers.
    number: u64,
    /// How long it was not let onto a processor when it was due.
    starved: Duration,
}

/// What one host has received of another.
#[derive(Debug)]
struct Seen {
    from: Ipv4Addr,
    to: Ipv4Addr,
    arrived: Vec<bool>,
    highest: u64,
    duplicated: u64,
    reordered: u64,
}

impl Streams {
    /// Starts a stream from each protected host to each other one, $LAB_RATE datagrams per second or what the machine can do.
    pub fn start(site: &Site) -> Outcome<Self> {
        Self::of(site, Cell::BASIC)
    }

    /// The same with the addresses of a cell of the matrix.
    pub fn of(site: &Site, cell: Cell) -> Outcome<Self> {
        let open = |number| Line::open(site, cell, number).map(Arc::new);
        let lines = (0..HOSTS.len()).map(open).collect::<Outcome<Vec<_>>>()?;
        let mut streams = Streams { ends: Arc::default(), senders: Vec::new(), receivers: Vec::new() };
        for line in lines {
            let (receiver, ends) = (line.clone(), streams.ends.clone());
            streams.receivers.push(thread::spawn(move || receiver.receive(&ends)));
            let ends = streams.ends.clone();
            streams.senders.push(thread::spawn(move || line.send(&ends)));
        }
        Ok(streams)
    }

    /// The same after all hosts have heard each other: what neighbour discovery and multicast routing lose at first is not
    /// the group's loss.
    pub fn warmed(site: &Site, cell: Cell) -> Outcome<Self> {
        let first = Self::of(site, cell)?;
        let mark = first.mark();
        eventually_true("every host hears every other one", WARMING, || Ok(first.all_heard_since(&mark)))?;
        first.stop()?;
        Self::of(site, cell)
    }

    /// The present.
    pub fn mark(&self) -> Mark {
        Mark(std::array::from_fn(|host| self.ends.sent[host].load(Ordering::Relaxed)))
    }

    /// Whether every host has heard something of every other that was sent after this mark.
    pub fn all_heard_since(&self, mark: &Mark) -> bool {
        let heard = |to: usize, from: usize| self.ends.heard[to][from].load(Ordering::Relaxed) > mark.0[from];
        let hosts = 0..HOSTS.len();
        hosts.clone().all(|to| hosts.clone().all(|from| from == to || heard(to, from)))
    }

    /// Ends the streams and the watch over them; nothing was clear, whatever was lost.
    pub fn end(self, mut watch: Watch) -> Outcome<Tallies> {
        let tallies = self.stop()?;
        watch.none_clear()?;
        watch.close()?;
        Ok(tallies)
    }

    /// Ends the streams, waits for what is under way and counts.
    pub fn stop(mut self) -> Outcome<Tallies> {
        self.ends.sending.store(true, Ordering::Relaxed);
        let senders = self.senders.drain(..).map(joined).collect::<Outcome<Vec<_>>>()?;
        self.await_last(senders.iter().map(|sent| sent.number).sum());
        self.ends.receiving.store(true, Ordering::Relaxed);
        let seen = self.receivers.drain(..).map(joined).collect::<Outcome<Vec<_>>>()?;
        let number = |address| Some(senders.get(index(address))?.number);
        let tally = |seen: Seen| Some(seen.count(number(seen.from)?));
        let starved = senders.iter().map(|sent| sent.starved).max().unwrap_or_default();
        Ok(Tallies { pairs: seen.into_iter().flatten().filter_map(tally).collect(), starved })
    }

    /// Waits until all has arrived that was sent to the others of each sender, or is lost: the count will tell.
    fn await_last(&self, sent: u64) {
        let expected = sent * (HOSTS.len() as u64 - 1);
        let arrived = || Ok(self.ends.arrived.load(Ordering::Relaxed) >= expected);
        let _ = eventually_true("all datagrams arrive", LAST_WAIT, arrived);
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.ends.sending.store(true, Ordering::Relaxed);
        self.ends.receiving.store(true, Ordering::Relaxed);
    }
}

/// Datagrams per second and pair.
pub fn rate() -> u32 {
    let chosen = std::env::var("LAB_RATE").ok().and_then(|text| text.parse().ok()).filter(|rate| *rate > 0);
    chosen.unwrap_or_else(|| if machine::emulated() { EMULATED_RATE } else { RATE })
}

fn index(host: Ipv4Addr) -> usize {
    HOSTS.iter().position(|(_, address)| *address == host).unwrap_or_default()
}

fn others(address: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    HOSTS.into_iter().map(|(_, other)| other).filter(move |other| *other != address)
}

impl Ends {
    fn note(&self, seen: &mut Seen, number: u64) {
        self.heard[index(seen.to)][index(seen.from)].store(number + 1, Ordering::Relaxed);
        if seen.note(number) {
            self.arrived.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn joined<T>(thread: JoinHandle<Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|_| failed("a stream panicked"))
}

impl Seen {
    fn nothing(from: Ipv4Addr, to: Ipv4Addr) -> Self {
        Seen { from, to, arrived: Vec::new(), highest: 0, duplicated: 0, reordered: 0 }
    }

    /// Whether it is the first with this number.
    fn note(&mut self, number: u64) -> bool {
        let index = number as usize;
        if self.arrived.len() <= index {
            self.arrived.resize(index + 1, false);
        }
        let fresh = !std::mem::replace(&mut self.arrived[index], true);
        self.duplicated += u64::from(!fresh);
        self.reordered += u64::from(fresh && number < self.highest);
        self.highest = self.highest.max(number);
        fresh
    }

    fn count(&self, sent: u64) -> Tally {
        let has = |number: &u64| self.arrived.get(*number as usize).copied().unwrap_or(false);
        Tally {
            pair: (self.from, self.to),
            sent,
            received: (0..sent).filter(has).count() as u64,
            duplicated: self.duplicated,
            reordered: self.reordered,
            missing: (0..sent).filter(|number| !has(number)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_lost_doubled_and_overtaken() {
        let mut seen = Seen::nothing(HOSTS[0].1, HOSTS[1].1);
        let fresh = [0, 2, 1, 1, 5].map(|number| seen.note(number));
        assert_eq!(fresh, [true, true, true, false, true]);
        let tally = seen.count(7);
        assert_eq!((tally.sent, tally.received, tally.duplicated, tally.reordered), (7, 4, 1, 1));
        assert_eq!(tally.missing, [3, 4, 6]);
    }

    #[test]
    fn a_mark_is_passed_when_all_have_heard_something_later() {
        let ends = Arc::new(Ends::default());
        let streams = Streams { ends: ends.clone(), senders: Vec::new(), receivers: Vec::new() };
        let mark = Mark([1, 0, 0]);
        for (_, to) in HOSTS {
            others(to).for_each(|from| ends.note(&mut Seen::nothing(from, to), 0));
        }
        assert!(streams.all_heard_since(&Mark([0, 0, 0])) && !streams.all_heard_since(&mark));
        for (_, to) in &HOSTS[1..] {
            ends.note(&mut Seen::nothing(HOSTS[0].1, *to), 1);
        }
        assert!(streams.all_heard_since(&mark) && streams.mark() == Mark([0, 0, 0]));
    }

    #[test]
    fn silence_is_loss() {
        let tally = Seen::nothing(HOSTS[0].1, HOSTS[1].1).count(2);
        assert_eq!((tally.received, tally.missing), (0, vec![0, 1]));
    }
}
