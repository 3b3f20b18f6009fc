//! What the kernel tells the daemon by itself.

use super::dataplane::Word;
use super::path_mtu::{PathMtuReader, TooBig};
use super::strangers::Strangers;
use super::watch::Watch;
use crate::clock;
use crate::events::{Event, Journal, Severity};
use std::future::pending;
use xfrm::{Subject, Unknown};

/// All that is listened to.
pub struct Ears {
    watch: Watch,
    path_mtu: Option<PathMtuReader>,
    strangers: Option<Strangers>,
}

/// What becomes of packets of unknown senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// They are judged.
    Welcome,
    /// They wait in the kernel: the senders that are known are compared there.
    Later,
}

/// What was heard.
pub enum Heard {
    /// Something has changed in the kernel.
    Change(Subject),
    /// A router may have said that a packet was too big: [`Ears::too_big`] has it.
    TooBig,
    /// A packet waits to be judged.
    Stranger(Unknown),
}

impl Ears {
    /// Listens from now on; what cannot be listened to is logged. Must be called inside the runtime.
    pub fn open(journal: &mut Journal) -> Self {
        let watch = Watch::start(journal);
        Ears { watch, path_mtu: hear_path_mtus(journal), strangers: meet_strangers(journal) }
    }

    /// Waits for news, of strangers only if they can be let in. May be dropped at any time without loss.
    pub async fn next(&mut self, strangers: Strange) -> Heard {
        tokio::select! {
            subject = self.watch.next() => Heard::Change(subject),
            () = ready(self.path_mtu.as_ref()) => Heard::TooBig,
            packet = next(self.strangers.as_mut()), if strangers == Strange::Welcome => Heard::Stranger(packet),
        }
    }

    /// What a router has said.
    pub fn too_big(&self) -> Option<TooBig> {
        self.path_mtu.as_ref().and_then(PathMtuReader::next)
    }

    /// Judges this packet and others that wait; `judge` has a word for each.
    pub fn judge(&mut self, first: Unknown, judge: impl FnOnce(&[Unknown]) -> Vec<Word>) {
        if let Some(strangers) = &mut self.strangers {
            strangers.judge(first, judge);
        }
    }
}

async fn ready(reader: Option<&PathMtuReader>) {
    match reader {
        Some(reader) => reader.ready().await,
        None => pending().await,
    }
}

async fn next(strangers: Option<&mut Strangers>) -> Unknown {
    match strangers {
        Some(strangers) => strangers.next().await,
        None => pending().await,
    }
}

fn hear_path_mtus(journal: &mut Journal) -> Option<PathMtuReader> {
    let told = |error| {
        let message = format!(
            "What the core says of packets that are too big is not heard, packets that may not be fragmented can \
             disappear there: {error}; grant the capability CAP_NET_RAW"
        );
        journal.record(Event::new(Severity::Warning, "GM_MONITOR", message), clock::now());
    };
    PathMtuReader::open().map_err(told).ok()
}

fn meet_strangers(journal: &mut Journal) -> Option<Strangers> {
    let told = |error| {
        let message = format!(
            "Members of groups with a key for each sender cannot be received from: {error}; load the module \
             nfnetlink_queue, or end the program that has the queue"
        );
        journal.record(Event::new(Severity::Error, "GM_MONITOR", message), clock::now());
    };
    Strangers::open().map_err(told).ok()
}
