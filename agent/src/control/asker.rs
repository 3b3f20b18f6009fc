//! Who sits at the other end of the control socket, as far as the kernel knows.

use nix::unistd::{Uid, User};
use std::fmt;
use tokio::net::UnixStream;

/// The kernel's word for "nobody has logged in" (`AUDIT_UID_UNSET`).
const NOBODY: u32 = u32::MAX;

/// A user of this host. The socket is root's alone, so that who logged in says more than who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    user: Option<u32>,
    login: Option<u32>,
    process: Option<i32>,
}

impl Asker {
    /// The peer of a connection.
    pub fn of(client: &UnixStream) -> Self {
        let peer = client.peer_cred().ok();
        let process = peer.and_then(|peer| peer.pid());
        Asker { user: peer.map(|peer| peer.uid()), login: process.and_then(login), process }
    }

    /// This process itself.
    pub fn oneself() -> Self {
        Asker { user: Some(Uid::effective().as_raw()), login: None, process: None }
    }
}

/// Who logged in, where the kernel keeps account of it; `sudo` does not change it.
fn login(process: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|login| *login != NOBODY)
}

fn name(id: u32) -> String {
    match User::from_uid(Uid::from_raw(id)) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {id}"),
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            Some(user) => f.write_str(&name(user))?,
            None => f.write_str("somebody unknown")?,
        }
        if let Some(login) = self.login.filter(|login| Some(*login) != self.user) {
            write!(f, ", logged in as {}", name(login))?;
        }
        self.process.map_or(Ok(()), |process| write!(f, ", process {process}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_and_who_logged_in_too() {
        let asker = |user, login| Asker { user, login, process: Some(7) }.to_string();
        assert_eq!(asker(Some(0), None), "root, process 7");
        assert_eq!(asker(Some(0), Some(0)), "root, process 7");
        assert_eq!(asker(Some(0), Some(3_999_999_999)), "root, logged in as uid 3999999999, process 7");
        assert_eq!(asker(None, None), "somebody unknown, process 7");
    }

    #[test]
    fn the_kernel_knows_the_peer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (near, _far) = UnixStream::pair().unwrap();
        let asker = Asker::of(&near);
        assert_eq!(asker.user, Some(Uid::effective().as_raw()));
        assert_eq!(asker.process, Some(std::process::id() as i32));
    }
}
