use crate::bench::alliance::{address, allied_config, allies, LIFE, SECONDARY, THIRD};
use crate::bench::coop_message::{at, patched, ANNOUNCEMENT, MEMBERS, STATE};
use crate::bench::fleet::{group, server_address};
use crate::bench::node::Node;
use crate::bench::random::Seeded;
use crate::bench::traitor::Traitor;
use gdoi::crypto::Secret;
use gdoi::{Instant, KeyServer, KeyServerCommand, RekeyKind, Removal};
use std::sync::OnceLock;
use std::time::Duration;

/// What the first octet of a message of the input says.
pub const RAW: u8 = 0;
pub const COMPLETED: u8 = 1;
pub const TIME: u8 = 2;
pub const COMMAND: u8 = 3;

/// A key server that has just started again, and a peer that it believes.
pub struct Court {
    pub now: Instant,
    pub node: Node<KeyServer>,
    traitor: Traitor,
    /// The last announcement to the peer.
    told: Vec<u8>,
}

/// What a secondary stored, octet by octet, and when.
fn stored() -> &'static (Vec<u8>, Instant) {
    static STORED: OnceLock<(Vec<u8>, Instant)> = OnceLock::new();
    STORED.get_or_init(|| {
        let world = allies();
        (world.stored(address(SECONDARY)).unwrap().expose().to_vec(), world.now)
    })
}

impl Court {
    pub fn open() -> Court {
        let (state, now) = stored();
        let server = start(&Secret::from(&state[..]), *now);
        let mut node = Node::new(server, *now);
        node.stored = Some(Secret::from(&state[..]));
        let own = server_address(THIRD);
        let traitor = Traitor::meet(own, |datagram| {
            let sent = node.datagram(own, datagram, *now);
            sent.into_iter().find(|transmit| transmit.to == own).unwrap().payload
        });
        let mut court = Court { now: *now, node, traitor, told: Vec::new() };
        court.wait(Duration::from_millis(250));
        assert!(!court.told.is_empty(), "it greets its peer");
        court
    }

    /// Time goes on; the peer shows that it is alive.
    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.say(&[]);
        let sent = self.node.timeout(self.now);
        self.listen(&sent);
    }

    /// The peer says something.
    pub fn say(&mut self, body: &[u8]) {
        let datagram = self.traitor.seal(body);
        let sent = self.node.datagram(self.traitor.address, &datagram, self.now);
        self.listen(&sent);
    }

    fn listen(&mut self, sent: &[gdoi::Transmit]) {
        let own = self.traitor.address;
        let to_peer = sent.iter().rev().filter(|transmit| transmit.to == own);
        let mut bodies = to_peer.filter_map(|transmit| self.traitor.open(&transmit.payload));
        if let Some(told) = bodies.find(|body| body[at::KIND] == ANNOUNCEMENT) {
            self.told = told;
        }
    }

    /// The message with the head, lineage and time that the server expects, so that the rest is looked at.
    pub fn completed(&self, message: &[u8]) -> Vec<u8> {
        let Some((kind, _)) = message.split_first().filter(|_| message.len() >= at::EPOCH + 8) else {
            return message.to_vec();
        };
        let kind = [ANNOUNCEMENT, STATE, MEMBERS][usize::from(kind % 3)];
        let message = patched(message, at::KIND, &self.told[..at::PSEUDOTIME]);
        let message = patched(&message, at::KIND, &[kind]);
        if kind == MEMBERS {
            return message;
        }
        let status = self.node.endpoint.status(self.now);
        let time = status.groups[0].coop.as_ref().unwrap().pseudotime.to_be_bytes();
        let message = patched(&message, at::PSEUDOTIME, &time);
        match kind {
            STATE => patched(&message, at::EPOCH, &self.told[at::LINEAGE..at::PSEUDOTIME]),
            _ => message,
        }
    }

    /// An operator does something.
    pub fn command(&mut self, number: u8) {
        let (id, member) = (group().id, Some([198, 51, 0, 1].into()));
        let command = match number % 7 {
            0 => KeyServerCommand::Rekey(id.into(), RekeyKind::Forced),
            1 => KeyServerCommand::Rekey(id.into(), RekeyKind::ReplaceNow),
            2 => KeyServerCommand::Rekey(id.into(), RekeyKind::Reminder),
            3 => KeyServerCommand::Remove(id.into(), member, Removal::Graceful),
            4 => KeyServerCommand::Remove(id.into(), None, Removal::Now),
            5 => KeyServerCommand::Readmit(id.into(), [198, 51, 0, 1].into()),
            _ => KeyServerCommand::Resign(id.into()),
        };
        let (_, sent) = self.node.command(command, self.now);
        self.listen(&sent);
    }

    /// What is stored can be read again.
    pub fn close(self) {
        start(&self.node.stored.unwrap(), self.now);
    }
}

fn start(stored: &Secret, now: Instant) -> KeyServer {
    let config = allied_config(SECONDARY, THIRD, LIFE);
    KeyServer::new(config, Some(stored), Box::new(Seeded::new(4)), now).unwrap()
}
