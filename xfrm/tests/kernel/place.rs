//! Where a laboratory stands: a set of network namespaces.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use nix::sched::{setns, CloneFlags};

/// The numbers of the places that are free: two laboratories at a time.
static FREE: Mutex<[bool; 2]> = Mutex::new([true; 2]);
static LEFT: Condvar = Condvar::new();

pub struct Place(usize);

impl Place {
    /// Waits for a free one.
    pub fn take() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            LEFT.wait_while(free, |free| !free.contains(&true)).unwrap_or_else(PoisonError::into_inner);
        let number = free.iter().position(|free| *free).unwrap();
        free[number] = false;
        Self(number)
    }

    /// Of a namespace.
    pub fn name(&self, host: &str) -> String {
        format!("xfrm{}-{host}", self.0)
    }

    /// Where `ip netns` keeps it.
    pub fn file(&self, host: &str) -> PathBuf {
        PathBuf::from("/run/netns").join(self.name(host))
    }

    pub fn namespace(&self, host: &str) -> File {
        File::open(self.file(host)).unwrap()
    }

    /// Runs code in a thread of its own that is in the namespace, as are the processes that it starts.
    pub fn within<T: Send>(&self, host: &str, code: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace(host);
        let done = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                code()
            });
            inside.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command line for the shell, run by `run` there.
    pub fn shell<T: Send>(&self, host: &str, line: &str, run: impl FnOnce(&mut Command) -> T + Send) -> T {
        self.within(host, || run(Command::new("sh").args(["-c", line])))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner)[self.0] = true;
        LEFT.notify_one();
    }
}
