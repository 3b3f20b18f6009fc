//! A thread that changes the kernel. It waits for the program nft, which waits for whoever holds nftables; the daemon has
//! something else to do meanwhile. One thing is done at a time.

use gdoi::endpoint::Instant;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;
use xfrm::{Desired, Installed, Kept, Kernel, Patience, Reading, Report};

/// What there is to do.
#[derive(Debug)]
enum Job {
    Apply(Box<Desired>),
    Look,
}

/// What has been done.
#[derive(Debug)]
pub enum Done {
    /// The kernel was made to hold what was desired; with it what had been counted before.
    Applied(Box<Result<(Report, Reading), xfrm::Error>>),
    /// It was read.
    Seen(Box<Result<Installed, xfrm::Error>>),
}

/// The thread, seen from the daemon.
pub struct Worker {
    jobs: Sender<Job>,
    done: Receiver<(Done, Kept)>,
    /// The links that planes protect, as its kernel had them when it was done last.
    kept: Kept,
    ready: Arc<Notify>,
    patience: Patience,
    busy_since: Option<Instant>,
    /// Whether it has yet to read what it changes.
    reads: Arc<AtomicBool>,
}

impl Worker {
    /// Starts it with a kernel of its own, in the network namespace of this thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(mut kernel: Kernel) -> io::Result<Self> {
        let ((jobs, taken), (made, done)) = (channel(), channel());
        let (patience, ready) = (kernel.patience(), Arc::new(Notify::new()));
        let kept = kernel.kept().clone();
        let (bell, reads) = (ready.clone(), Arc::new(AtomicBool::new(false)));
        let still_reads = reads.clone();
        thread::Builder::new().name("kernel".into()).spawn(move || {
            while let Ok(job) = taken.recv() {
                let has_read = || {
                    still_reads.store(false, Ordering::Release);
                    bell.notify_one();
                };
                let result = work(&mut kernel, job, has_read);
                if made.send((result, kernel.kept().clone())).is_err() {
                    break;
                }
                bell.notify_one();
            }
        })?;
        Ok(Worker { jobs, done, kept, ready, patience, busy_since: None, reads })
    }

    /// Since when it has something to do, or since [`Self::wait_again`].
    pub fn busy_since(&self) -> Option<Instant> {
        self.busy_since
    }

    /// Whether what others change in the kernel now could be undone, because it is not read yet.
    pub fn reads(&self) -> bool {
        self.busy_since.is_some() && self.reads.load(Ordering::Acquire)
    }

    /// It is waited for as long again.
    pub fn wait_again(&mut self, now: Instant) {
        self.busy_since = self.busy_since.map(|_| now);
    }

    /// The links that planes protect, whatever they are called by now. Nobody else knows: it is who finds them.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Lets it apply this. It must have nothing to do.
    pub fn apply(&mut self, desired: Desired, now: Instant) {
        self.give(Job::Apply(Box::new(desired)), now);
    }

    /// Lets it read the kernel. It must have nothing to do.
    pub fn look(&mut self, now: Instant) {
        self.give(Job::Look, now);
    }

    /// Who is gone is noticed by [`Self::take`].
    fn give(&mut self, job: Job, now: Instant) {
        self.reads.store(true, Ordering::Release);
        let _ = self.jobs.send(job);
        self.busy_since = Some(now);
    }

    /// What it has done, if it is done within this time.
    pub fn take(&mut self, limit: Duration) -> Option<Done> {
        self.busy_since?;
        let done = match self.done.recv_timeout(limit) {
            Ok((done, kept)) => {
                self.kept = kept;
                done
            }
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Done::Applied(Box::new(Err(gone()))),
        };
        self.busy_since = None;
        Some(done)
    }

    /// Waits until something is done. May be dropped at any time without loss.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Nobody waits for nft any longer than for a moment.
    pub fn hurry(&self) {
        self.patience.end();
    }
}

fn work(kernel: &mut Kernel, job: Job, has_read: impl FnOnce()) -> Done {
    match job {
        Job::Apply(desired) => {
            let applied =
                kernel.apply_as_read(&desired, has_read).map(|report| (report, kernel.reading().clone()));
            Done::Applied(Box::new(applied))
        }
        Job::Look => Done::Seen(Box::new(kernel.installed())),
    }
}

fn gone() -> xfrm::Error {
    xfrm::Error::Socket(io::Error::other("the thread that changes the kernel has ended, restart the daemon"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfrm::Slot;

    #[test]
    fn what_is_under_way_is_waited_for_and_a_loss_is_told() {
        let ((jobs, taken), (made, done)) = (channel::<Job>(), channel::<(Done, Kept)>());
        let (patience, ready) = (Patience::default(), Arc::new(Notify::new()));
        let kept = Kept::default();
        let reads = Arc::new(AtomicBool::new(false));
        let mut worker = Worker { jobs, done, kept, ready, patience, busy_since: None, reads };
        assert!(worker.take(Duration::from_secs(60)).is_none(), "there is nothing to wait for");
        worker.look(Instant::from_millis(5));
        assert!(
            worker.take(Duration::ZERO).is_none() && worker.busy_since() == Some(Instant::from_millis(5))
        );
        assert!(worker.reads());
        worker.reads.store(false, Ordering::Release);
        assert!(!worker.reads());
        worker.wait_again(Instant::from_millis(9));
        assert_eq!(worker.busy_since(), Some(Instant::from_millis(9)), "nobody asks again at once");
        assert!(matches!(taken.recv(), Ok(Job::Look)));
        let (slot, mut found) = (Slot::new(3).unwrap(), Kept::default());
        found.add(slot, 7);
        made.send((Done::Applied(Box::new(Ok(Default::default()))), found)).unwrap();
        assert!(matches!(worker.take(Duration::ZERO), Some(Done::Applied(done)) if done.is_ok()));
        assert!(worker.kept().has(slot, 7), "what it has found");
        drop(made);
        worker.look(Instant::from_millis(6));
        assert!(matches!(worker.take(Duration::ZERO), Some(Done::Applied(done)) if done.is_err()));
        worker.wait_again(Instant::from_millis(7));
        assert_eq!(worker.busy_since(), None);
        assert!(worker.kept().has(slot, 7), "who is gone takes nothing along");
    }
}
