//! The service manager's protocol (sd_notify): lines to the datagram socket that `NOTIFY_SOCKET` names.

use nix::time::{clock_gettime, ClockId};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The daemon works.
pub fn ready() {
    tell("READY=1");
}

/// The daemon ends.
pub fn stopping() {
    tell("STOPPING=1");
}

/// The daemon reads its configuration again; [`ready`] ends that.
pub fn reloading() {
    let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", since_boot.as_micros()));
}

/// Tells the service manager that the loop turns, as often as it wants to know.
#[derive(Debug)]
pub struct Pulse {
    /// None where nobody watches.
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Pulse {
    /// As the service manager asked for it (`WatchdogSec`): four times in its time, so that a slow turn is not the last.
    pub fn asked_for() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        Pulse::of(number("WATCHDOG_USEC").filter(|_| ours))
    }

    fn of(microseconds: Option<u64>) -> Self {
        let every = microseconds.map(Duration::from_micros).filter(|span| !span.is_zero());
        Pulse { every: every.map(|span| span / 4), last: None }
    }

    /// The loop has turned. Answers when it must have turned again at the latest.
    pub fn beat(&mut self) -> Option<Duration> {
        let every = self.every?;
        let now = Instant::now();
        let since = self.last.map(|last| now.saturating_duration_since(last));
        match since {
            Some(since) if since < every => Some(every - since),
            _ => {
                self.last = Some(now);
                tell("WATCHDOG=1");
                Some(every)
            }
        }
    }
}

/// Without a service manager there is nobody to tell.
fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(name.as_bytes(), state) {
        let word = state.lines().next().unwrap_or_default();
        tracing::warn!("the service manager cannot be told {word}: {error}");
    }
}

fn send(name: &[u8], state: &str) -> io::Result<()> {
    let address = match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the daemon.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_path_is_a_file() {
        let path = std::env::temp_dir().join(format!("gdoi-notify-{}.sock", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1").unwrap();
        assert_eq!(received(&socket), "READY=1");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_at_sign_is_an_abstract_name() {
        let name = format!("gdoi-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        assert_eq!(received(&socket), "STOPPING=1");
    }

    #[test]
    fn a_pulse_is_as_frequent_as_asked_for() {
        assert_eq!((Pulse::of(None).beat(), Pulse::of(Some(0)).beat()), (None, None));
        let mut pulse = Pulse::of(Some(40_000_000));
        assert_eq!(pulse.beat(), Some(Duration::from_secs(10)));
        let rest = pulse.beat().unwrap();
        assert!(rest <= Duration::from_secs(10) && rest > Duration::from_secs(9), "{rest:?}");
    }

    /// The kernel keeps so many datagrams of a manager that does not read, and then has senders wait.
    #[test]
    fn a_manager_that_does_not_read_stops_nothing() {
        let name = format!("gdoi-notify-deaf-{}", std::process::id());
        let _deaf = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let told = |_| send(format!("@{name}").as_bytes(), "WATCHDOG=1").map_err(|error| error.kind());
        let told: Vec<_> = (0..1_000).map(told).collect();
        assert_eq!((told[0], told[999]), (Ok(()), Err(io::ErrorKind::WouldBlock)));
    }

    #[test]
    fn a_dead_manager_is_an_error_value() {
        assert!(send(b"/nonexistent/notify", "READY=1").is_err());
    }
}
