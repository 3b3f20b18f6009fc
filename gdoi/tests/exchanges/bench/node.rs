//! One endpoint and what it has said.

use gdoi::crypto::Secret;
use gdoi::{Endpoint, Instant, Output, Transmit};

pub struct Node<E: Endpoint> {
    pub endpoint: E,
    pub events: Vec<(Instant, E::Event)>,
    /// What it last asked to be stored.
    pub stored: Option<Secret>,
    wake: Option<Instant>,
}

impl<E: Endpoint> Node<E> {
    pub fn new(endpoint: E, now: Instant) -> Self {
        Node { endpoint, events: Vec::new(), stored: None, wake: Some(now) }
    }

    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    pub fn datagram(&mut self, from: std::net::SocketAddr, bytes: &[u8], now: Instant) -> Vec<Transmit> {
        self.endpoint.handle_datagram(from, bytes, now);
        self.settle(now)
    }

    pub fn command(&mut self, command: E::Command, now: Instant) -> Vec<Transmit> {
        self.endpoint.handle_command(command, now);
        self.settle(now)
    }

    /// Time has come; an endpoint that then still waits for the past would spin its owner.
    pub fn timeout(&mut self, now: Instant) -> Vec<Transmit> {
        let mut sent = Vec::new();
        for _ in 0..8 {
            self.endpoint.handle_timeout(now);
            sent.extend(self.settle(now));
            if self.wake.is_none_or(|wake| wake > now) {
                return sent;
            }
        }
        panic!("spins at {now:?}")
    }

    fn settle(&mut self, now: Instant) -> Vec<Transmit> {
        let mut sent = Vec::new();
        loop {
            match self.endpoint.poll() {
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Store(state) => self.stored = Some(state),
                Output::Event(event) => self.events.push((now, event)),
                Output::Wait(wake) => {
                    self.wake = wake;
                    return sent;
                }
            }
        }
    }
}
