//! What has come when the key server looks: first messages of strangers wait until all others are taken in.

use gdoi::phase1::is_first;
use std::net::SocketAddr;
use std::time::Duration;

/// The most datagrams that are read before the key server does what is due.
pub const MOST: usize = 256;
/// The longest time that this takes, as far as it depends on how many they are.
pub const LONGEST: Duration = Duration::from_millis(5);
/// The most first messages among them that are answered. Those who keep to the protocol send theirs again.
const MOST_FIRST: usize = 128;

/// First messages that wait for the end of one reading.
#[derive(Debug, Default)]
pub struct Reception {
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    dropped: u64,
}

impl Reception {
    /// Whether a datagram is to be taken in at once; else it waits, or is dropped where too many do.
    pub fn admits(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        if !is_first(datagram) {
            return true;
        }
        match self.waiting.len() < MOST_FIRST {
            true => self.waiting.push((from, datagram.to_vec())),
            false => self.dropped += 1,
        }
        false
    }

    /// Those that waited.
    pub fn waiting(&mut self) -> impl Iterator<Item = (SocketAddr, Vec<u8>)> + '_ {
        self.waiting.drain(..)
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
    fn strangers_wait_and_too_many_are_dropped() {
        let (from, mut reception) = (([192, 0, 2, 1], 848).into(), Reception::default());
        let mut first = vec![7; 28];
        first[8..16].fill(0);
        first[18] = 2;
        let mut later = first.clone();
        later[8] = 1;
        assert!(reception.admits(from, &later) && reception.admits(from, &[]));
        (0..MOST_FIRST + 5).for_each(|_| assert!(!reception.admits(from, &first)));
        assert_eq!(reception.waiting().count(), MOST_FIRST);
        assert_eq!((reception.waiting().count(), reception.dropped(), reception.dropped()), (0, 5, 0));
    }
}
