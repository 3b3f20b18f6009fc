//! Initialisation vectors: none may come twice under one SPI.

use crate::capture::Capture;
use crate::cell::Transform;
use crate::outcome::{ensure, Outcome};
use crate::packet::Packet;
use crate::site::Site;
use std::collections::HashSet;

/// Vectors that are remembered at most; about 200 MiB.
const MOST: usize = 4 << 20;

/// All vectors that come into the core.
#[derive(Debug)]
pub struct Vectors {
    capture: Capture,
    transform: Transform,
    seen: HashSet<(u32, u128)>,
}

impl Vectors {
    /// Begins to look.
    pub fn watch(site: &Site, transform: Transform) -> Outcome<Self> {
        let name = site.places.next_name("vectors");
        let capture =
            Capture::start_filtered(site.host("core")?, &site.places.out, &name, "esp or udp port 9")?;
        Ok(Vectors { capture, transform, seen: HashSet::new() })
    }

    /// Looks at what has come since the last time, which should not be long ago. Fails if something came twice.
    pub fn look(&mut self) -> Outcome {
        for packet in self.capture.fresh()? {
            note(&mut self.seen, &packet, self.transform.vector())?;
        }
        Ok(())
    }

    /// Looks a last time; how many there were.
    pub fn close(mut self) -> Outcome<usize> {
        self.look()?;
        self.capture.close()?;
        ensure!(!self.seen.is_empty(), "no ESP came into the core");
        Ok(self.seen.len())
    }
}

/// Fragments but the first show none, and what the core sends on was seen when it came in.
fn note(seen: &mut HashSet<(u32, u128)>, packet: &Packet, length: usize) -> Outcome {
    let vector = packet.initialisation_vector(length).filter(|_| !packet.outgoing);
    let (Some(spi), Some(vector)) = (packet.spi(), vector) else { return Ok(()) };
    let number = vector.iter().fold(0, |number, octet| number << 8 | u128::from(*octet));
    ensure!(seen.len() < MOST, "more than {MOST} vectors: this capture is too long");
    ensure!(seen.insert((spi, number)), "the vector {number:#x} came twice under SPI {spi:#010x}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(spi: u8, vector: u8) -> Packet {
        let mut octets = vec![0x45, 0, 0, 156, 0, 0, 0x40, 0, 64, 50, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10];
        octets.extend([0, 0, 1, spi, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, vector]);
        Packet::of_ipv4(&octets).unwrap()
    }

    #[test]
    fn a_vector_that_comes_twice_is_seen() {
        let mut seen = HashSet::new();
        assert!([(1, 1), (1, 2), (2, 1)]
            .iter()
            .all(|(spi, one)| note(&mut seen, &packet(*spi, *one), 8).is_ok()));
        let sent_on = Packet { outgoing: true, ..packet(1, 1) };
        assert!(note(&mut seen, &sent_on, 8).is_ok());
        assert!(note(&mut seen, &packet(1, 1), 8).is_err());
        assert_eq!(seen.len(), 3);
    }
}
