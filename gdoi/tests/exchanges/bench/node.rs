//! One endpoint and what it has said.

use super::whole::Joint;
use gdoi::crypto::Secret;
use gdoi::{Endpoint, Error, Instant, Output, Transmit};

/// Looks at each message when it is taken, or the last of its fragments, with what was stored before.
pub type Witness = Box<dyn FnMut(&Transmit, Option<&Secret>)>;

pub struct Node<E: Endpoint> {
    pub endpoint: E,
    pub events: Vec<(Instant, E::Event)>,
    /// What it last asked to be stored.
    pub stored: Option<Secret>,
    pub witness: Option<Witness>,
    joint: Joint,
    wake: Option<Instant>,
    /// So many outputs are taken before it is killed.
    fuse: Option<u64>,
}

impl<E: Endpoint> Node<E> {
    pub fn new(endpoint: E, now: Instant) -> Self {
        let (events, wake) = (Vec::new(), Some(now));
        Node { endpoint, events, stored: None, witness: None, joint: Joint::default(), wake, fuse: None }
    }

    pub fn wake(&self) -> Option<Instant> {
        self.wake.filter(|_| !self.is_dead())
    }

    /// Kills it after so many more outputs: those not yet taken are lost.
    pub fn kill_after(&mut self, outputs: u64) {
        self.fuse = Some(outputs);
    }

    pub fn is_dead(&self) -> bool {
        self.fuse == Some(0)
    }

    pub fn datagram(&mut self, from: std::net::SocketAddr, bytes: &[u8], now: Instant) -> Vec<Transmit> {
        self.endpoint.handle_datagram(from, bytes, now);
        self.settle(now)
    }

    pub fn command(&mut self, command: E::Command, now: Instant) -> (Result<E::Done, Error>, Vec<Transmit>) {
        let done = self.endpoint.handle_command(command, now);
        (done, self.settle(now))
    }

    /// Time has come; an endpoint that then still waits for the past would spin its owner.
    pub fn timeout(&mut self, now: Instant) -> Vec<Transmit> {
        let mut sent = Vec::new();
        for _ in 0..8 {
            self.endpoint.handle_timeout(now);
            sent.extend(self.settle(now));
            if self.wake().is_none_or(|wake| wake > now) {
                return sent;
            }
        }
        panic!("spins at {now:?}")
    }

    fn testify(&mut self, Transmit { to, payload }: &Transmit, now: Instant) {
        let Some(witness) = &mut self.witness else { return };
        if let Some(payload) = self.joint.message(*to, payload, now) {
            witness(&Transmit { to: *to, payload }, self.stored.as_ref());
        }
    }

    fn settle(&mut self, now: Instant) -> Vec<Transmit> {
        let mut sent = Vec::new();
        while !self.is_dead() {
            match self.endpoint.poll() {
                Output::Transmit(transmit) => {
                    self.testify(&transmit, now);
                    sent.push(transmit);
                }
                Output::Store(state) => self.stored = Some(state),
                Output::Event(event) => self.events.push((now, event)),
                Output::Wait(wake) => {
                    self.wake = wake;
                    break;
                }
            }
            self.fuse = self.fuse.map(|left| left - 1);
        }
        sent
    }
}
