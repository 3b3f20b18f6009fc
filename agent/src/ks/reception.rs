//! What has come when the key server looks: first messages of strangers wait until all others are taken in.

use gdoi::phase1::is_first;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The most datagrams that are read before the key server does what is due.
pub const MOST: usize = 256;
/// The longest time that this takes, as far as it depends on how many they are.
pub const LONGEST: Duration = Duration::from_millis(5);
/// The most first messages that are answered after each reading.
const MOST_ANSWERED: usize = 128;
/// The most octets of first messages that wait. Those who keep to the protocol send theirs again.
const MOST_WAITING: usize = 1024 * 1024;

/// First messages that wait.
#[derive(Debug, Default)]
pub struct Reception {
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    octets: usize,
    dropped: u64,
}

impl Reception {
    /// Whether a datagram is to be taken in at once; else it waits, or is dropped where too many do.
    pub fn admits(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        if !is_first(datagram) {
            return true;
        }
        match self.octets + datagram.len() <= MOST_WAITING {
            true => {
                self.octets += datagram.len();
                self.waiting.push_back((from, datagram.to_vec()));
            }
            false => self.dropped += 1,
        }
        false
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that have waited longest, as many as may be answered now.
    pub fn next(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let next: Vec<_> = self.waiting.drain(..self.waiting.len().min(MOST_ANSWERED)).collect();
        self.octets -= next.iter().map(|(_, datagram)| datagram.len()).sum::<usize>();
        next
    }

    /// How many were dropped since somebody asked.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_wait_in_order_and_too_many_are_dropped() {
        let (from, mut reception) = (([192, 0, 2, 1], 848).into(), Reception::default());
        let mut first = vec![7; 1024];
        first[8..16].fill(0);
        first[18] = 2;
        let mut later = first.clone();
        later[8] = 1;
        assert!(reception.admits(from, &later) && reception.admits(from, &[]) && reception.is_empty());
        for number in 0..1024 + 5u16 {
            first[..2].copy_from_slice(&number.to_be_bytes());
            assert!(!reception.admits(from, &first));
        }
        assert_eq!((reception.dropped(), reception.dropped()), (5, 0));
        let mut came = Vec::new();
        while !reception.is_empty() {
            let next = reception.next();
            assert_eq!(next.len(), MOST_ANSWERED);
            came.extend(next.iter().map(|(_, datagram)| u16::from_be_bytes([datagram[0], datagram[1]])));
        }
        assert!(came.into_iter().eq(0..1024) && reception.octets == 0);
    }
}
