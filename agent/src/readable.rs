//! Anything that the kernel makes readable, to wait for it.

use std::io;
use std::os::fd::AsRawFd;
use std::task::{ready, Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// Something non-blocking with a file descriptor of its own, which it keeps for its life.
#[derive(Debug)]
pub struct Readable<T: AsRawFd>(AsyncFd<T>);

impl<T: AsRawFd> Readable<T> {
    /// Must be called inside the runtime.
    ///
    /// # Errors
    /// The kernel cannot wait for such a thing.
    #[allow(
        deprecated,
        reason = "its successor is unsafe, for owners that change or close their descriptor; no owner here does"
    )]
    pub fn new(inner: T) -> io::Result<Self> {
        AsyncFd::with_interest(inner, Interest::READABLE).map(Readable)
    }

    /// The thing itself.
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// Ready with what `take` finds; it answers [`io::ErrorKind::WouldBlock`] when there is nothing.
    pub fn poll_take<R>(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready_mut(context))?;
            if let Ok(found) = guard.try_io(|inner| take(inner.get_mut())) {
                return Poll::Ready(found);
            }
        }
    }

    /// The thing itself.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Ready when `look` finds something; it answers [`io::ErrorKind::WouldBlock`] when there is nothing.
    pub fn poll(&self, context: &mut Context<'_>, look: impl Fn(&T) -> io::Result<()>) -> Poll<()> {
        loop {
            // An error here is the end of the runtime.
            let Ok(mut guard) = ready!(self.0.poll_read_ready(context)) else { return Poll::Pending };
            // Another error than that is something, too.
            if guard.try_io(|inner| look(inner.get_ref())).is_ok() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn it_waits_until_there_is_something() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let near = Readable::new(near).unwrap();
            let take = |stream: &UnixStream| io::Read::read(&mut &*stream, &mut [0; 8]).map(drop);
            let soon = Duration::from_millis(50);
            let wait = || tokio::time::timeout(soon, poll_fn(|context| near.poll(context, take)));
            assert!(wait().await.is_err());
            far.write_all(b"news").unwrap();
            assert!(wait().await.is_ok());
            assert!(wait().await.is_err(), "it was taken");
        });
    }
}
