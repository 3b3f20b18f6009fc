//! Numbered datagrams between all protected hosts: what is lost, doubled or overtaken on the way is counted.

use crate::eventually::eventually_true;
use crate::outcome::{ensure, failed, Outcome, Stop};
use crate::site::{Site, HOSTS};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PORT: u16 = 7000;
/// Datagrams per second and pair; few enough for an emulated processor.
const RATE: u32 = 50;
/// Octets that a receiver may be late by; several seconds.
const BUFFER: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_millis(200);
/// What has not arrived so long after the senders' end is lost.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Sequence numbers of lost datagrams that are told.
const TOLD: usize = 5;

/// Streams that run until they are stopped.
#[derive(Debug)]
pub struct Streams {
    ends: Arc<Ends>,
    senders: Vec<JoinHandle<Outcome<u64>>>,
    receivers: Vec<JoinHandle<Outcome<Vec<Seen>>>>,
}

#[derive(Debug, Default)]
struct Ends {
    sending: AtomicBool,
    receiving: AtomicBool,
    /// Datagrams that have arrived, each counted once.
    arrived: AtomicU64,
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
    /// The first numbers that did not arrive.
    pub missing: Vec<u64>,
}

impl Streams {
    /// Starts a stream from each protected host to each other one, $LAB_RATE datagrams per second or [`RATE`].
    pub fn start(site: &Site) -> Outcome<Self> {
        let ends = Arc::new(Ends::default());
        let sockets = HOSTS.into_iter().map(|(name, address)| open(site, name, address));
        let sockets = sockets.collect::<Outcome<Vec<_>>>()?;
        let mut streams = Streams { ends, senders: Vec::new(), receivers: Vec::new() };
        for (socket, (_, address)) in sockets.into_iter().zip(HOSTS) {
            let (twin, ends) = (socket.try_clone()?, streams.ends.clone());
            streams.receivers.push(thread::spawn(move || receive(&twin, address, &ends)));
            let ends = streams.ends.clone();
            streams.senders.push(thread::spawn(move || send(&socket, address, &ends)));
        }
        Ok(streams)
    }

    /// Ends the streams, waits for what is under way and counts.
    pub fn stop(mut self) -> Outcome<Tallies> {
        self.ends.sending.store(true, Ordering::Relaxed);
        let senders = self.senders.drain(..).map(joined).collect::<Outcome<Vec<_>>>()?;
        self.await_last(senders.iter().sum());
        self.ends.receiving.store(true, Ordering::Relaxed);
        let seen = self.receivers.drain(..).map(joined).collect::<Outcome<Vec<_>>>()?;
        let sent =
            |address| HOSTS.iter().zip(&senders).find(|(host, _)| host.1 == address).map(|(_, sent)| *sent);
        let tally = |seen: Seen| Some(seen.count(sent(seen.from)?));
        Ok(Tallies(seen.into_iter().flatten().filter_map(tally).collect()))
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

fn rate() -> u32 {
    std::env::var("LAB_RATE").ok().and_then(|text| text.parse().ok()).filter(|rate| *rate > 0).unwrap_or(RATE)
}

fn open(site: &Site, name: &str, address: Ipv4Addr) -> Outcome<UdpSocket> {
    let socket = site.host(name)?.inside(|| Ok(UdpSocket::bind((address, PORT))?))?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn others(address: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    HOSTS.into_iter().map(|(_, other)| other).filter(move |other| *other != address)
}

/// Sends the same numbers to both others; how many.
fn send(socket: &UdpSocket, address: Ipv4Addr, ends: &Ends) -> Outcome<u64> {
    let begin = Instant::now();
    let mut number: u64 = 0;
    while !ends.sending.load(Ordering::Relaxed) {
        for other in others(address) {
            while let Err(error) = socket.send_to(&number.to_be_bytes(), (other, PORT)) {
                ensure!(error.kind() == ErrorKind::Interrupted, "a host cannot send: {error}");
            }
        }
        number += 1;
        let due = begin + Duration::from_micros(number * 1_000_000 / u64::from(rate()));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(number)
}

fn receive(socket: &UdpSocket, address: Ipv4Addr, ends: &Ends) -> Outcome<Vec<Seen>> {
    let mut seen: Vec<_> = others(address).map(|other| Seen::nothing(other, address)).collect();
    let mut octets = [0; 8];
    while !ends.receiving.load(Ordering::Relaxed) {
        match socket.recv_from(&mut octets) {
            Ok((8, from)) => {
                let number = u64::from_be_bytes(octets);
                let fresh = seen.iter_mut().find(|seen| from.ip() == IpAddr::V4(seen.from));
                if fresh.is_some_and(|seen| seen.note(number)) {
                    ends.arrived.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(_) => return failed("a datagram of another length arrived"),
            Err(error) if passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen)
}

/// Nothing has arrived within the patience, or a user-mode kernel has lost it.
fn passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
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
            missing: (0..sent).filter(|number| !has(number)).take(TOLD).collect(),
        }
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
                tally.pair.0, tally.pair.1, tally.sent, tally.missing
            )?;
        }
        Ok(())
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
    fn only_the_streams_asked_about_must_be_whole() {
        let [one, two, three] = HOSTS.map(|(_, address)| address);
        let whole = |from, to| {
            let mut seen = Seen::nothing(from, to);
            seen.note(0);
            seen.count(1)
        };
        let lossy = Tallies(vec![whole(one, two), whole(two, one), Seen::nothing(one, three).count(1)]);
        assert!(lossy.all_arrived_among(&[one, two]).is_ok());
        assert!(lossy.all_arrived().is_err() && lossy.all_arrived_among(&[one, three]).is_err());
    }

    #[test]
    fn silence_is_loss() {
        let tally = Seen::nothing(HOSTS[0].1, HOSTS[1].1).count(2);
        assert_eq!((tally.received, tally.missing), (0, vec![0, 1]));
    }
}
