//! Messages as they were before they were cut in fragments.

use super::Flight;
use gdoi::fragment::{is_fragment, Piece, Purpose, Reassembly};
use gdoi::Instant;
use std::net::SocketAddr;

/// Joins again what one endpoint sends.
#[derive(Default)]
pub struct Joint(Reassembly);

impl Joint {
    /// The message that ends with this datagram.
    pub fn message(&mut self, to: SocketAddr, datagram: &[u8], now: Instant) -> Option<Vec<u8>> {
        match is_fragment(datagram) {
            true => self.0.add(to, Purpose::Registration, &Piece::parse(datagram).ok()?, now).ok()?.pop(),
            false => Some(datagram.to_vec()),
        }
    }
}

/// All messages in the order of their last datagrams.
pub fn messages(flights: &[Flight]) -> Vec<Flight> {
    let mut joint = Joint::default();
    let whole = |flight: &Flight| {
        let payload = joint.message(flight.to, &flight.payload, flight.at)?;
        Some(Flight { payload, ..*flight })
    };
    flights.iter().filter_map(whole).collect()
}
