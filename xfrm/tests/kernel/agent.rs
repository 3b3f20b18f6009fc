//! A stand-in for the agent: it is asked about senders that are not known, and in place of cryptography it has a list.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{setns, CloneFlags};
use xfrm::{Kernel, Queue, Sa, Slot, Spi, Unknown};

use crate::bench::Lab;

pub struct Agent {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Judged>,
}

/// What it was asked, packet by packet.
#[derive(Debug, Default)]
pub struct Judged {
    pub accepted: Vec<Spi>,
    pub refused: Vec<Spi>,
}

impl Agent {
    /// Answers in the member's namespace: these are authentic, nobody else is.
    pub fn start(lab: &Lab, host: &str, senders: Vec<Sa>) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (ready, opened) = mpsc::channel();
        let (namespace, stop) = (lab.namespace(host), Arc::clone(&stopped));
        let thread = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let (mut kernel, mut queue) = (Kernel::open().unwrap(), Queue::open().unwrap());
            ready.send(()).unwrap();
            let mut judged = Judged::default();
            while !stop.load(Ordering::Relaxed) {
                match queue.next_unknown().unwrap() {
                    Some(unknown) => judge(&mut kernel, &mut queue, &senders, unknown, &mut judged),
                    None => thread::sleep(Duration::from_millis(1)),
                }
            }
            judged
        });
        opened.recv().unwrap();
        Self { stopped, thread }
    }

    /// Ends it, and with it the queue.
    pub fn stop(self) -> Judged {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn judge(kernel: &mut Kernel, queue: &mut Queue, senders: &[Sa], unknown: Unknown, judged: &mut Judged) {
    assert_eq!(unknown.slot, Slot::new(0).unwrap());
    assert_eq!(unknown.esp[..4], unknown.spi.0.to_be_bytes());
    match senders.iter().find(|sa| (sa.spi, sa.family) == (unknown.spi, unknown.family)) {
        Some(sa) => {
            let admission = kernel.admit(unknown.slot, std::slice::from_ref(sa));
            assert!(admission.received.contains(&(sa.family, sa.spi)), "{admission:?}");
            queue.accept(unknown.id).unwrap();
            judged.accepted.push(unknown.spi);
        }
        None => {
            queue.drop(unknown.id).unwrap();
            judged.refused.push(unknown.spi);
        }
    }
}
