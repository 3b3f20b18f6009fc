//! The packets of senders that are not known yet, as they come.

use super::dataplane::Word;
use crate::readable::Readable;
use std::future::poll_fn;
use std::io;
use xfrm::{PacketId, Queue, Unknown};

/// What is looked at before anything else gets its turn again.
const AT_ONCE: usize = 64;

/// The door at which they wait.
pub struct Strangers {
    queue: Readable<Queue>,
}

impl Strangers {
    /// Opens it. Must be called inside the runtime.
    ///
    /// # Errors
    /// The kernel has no such queue, or another process has it.
    pub fn open() -> Result<Self, String> {
        let queue = Queue::open().map_err(|error| error.to_string())?;
        Readable::new(queue).map(|queue| Strangers { queue }).map_err(|error| error.to_string())
    }

    /// Waits for one. May be dropped at any time without loss.
    pub async fn next(&mut self) -> Unknown {
        loop {
            match poll_fn(|context| self.queue.poll_take(context, take)).await {
                Ok(packet) => return packet,
                Err(error) => tracing::debug!("the packet queue: {error}"),
            }
        }
    }

    /// Judges this one and others that wait, but not more than a few; `judge` has a word for each.
    pub fn judge(&mut self, first: Unknown, judge: impl FnOnce(&[Unknown]) -> Vec<Word>) {
        let mut packets = vec![first];
        while packets.len() < AT_ONCE {
            let Ok(Some(next)) = self.queue.get_mut().next_unknown() else { break };
            packets.push(next);
        }
        let words = judge(&packets);
        packets.iter().zip(words).for_each(|(packet, word)| self.tell(packet.id, word));
    }

    fn tell(&mut self, packet: PacketId, word: Word) {
        let queue = self.queue.get_mut();
        let told = match word {
            Word::Accept => queue.accept(packet),
            Word::Drop => queue.drop(packet),
        };
        if let Err(error) = told {
            tracing::debug!("the packet queue: {error}");
        }
    }
}

fn take(queue: &mut Queue) -> io::Result<Unknown> {
    queue.next_unknown()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}
