//! The service manager's protocol (sd_notify): lines to the datagram socket that `NOTIFY_SOCKET` names.

use nix::time::{clock_gettime, ClockId};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

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
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
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
    fn a_dead_manager_is_an_error_value() {
        assert!(send(b"/nonexistent/notify", "READY=1").is_err());
    }
}
