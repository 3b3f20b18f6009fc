//! The control socket: one request line, one answer line, both JSON, and small limits on everything.

mod asker;

pub use asker::Asker;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    bind, getsockopt, listen, socket, AddressFamily, Backlog, SockFlag, SockType, UnixAddr,
};
use nix::sys::stat::{fchmod, Mode};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, Semaphore};

/// The longest request, in octets with its line end.
pub const MAX_REQUEST: u64 = 64 * 1024;

/// How long one client may take from connection to answer.
pub const CLIENT_TIME: Duration = Duration::from_secs(20);

/// How many clients are served at a time; others wait.
const MAX_CLIENTS: usize = 8;

/// How long a socket is not believed whose process is dead.
const ORPHANED: Duration = Duration::from_secs(3);

/// How long the last answers may take on their way.
const PARTING: Duration = Duration::from_secs(1);

/// How many clients may wait until they are accepted; others wait longer.
const BACKLOG: i32 = 128;

/// What can be asked of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Registration, keys and protection of a member.
    ShowGm,
    /// What a member protects and what it leaves in clear.
    ShowGmAcl,
    /// What a member's kernel holds and has counted.
    ShowGmDataplane {
        /// Whether the text shows each state; the report always does.
        states: bool,
    },
    /// The rekey messages that a member got.
    ShowGmRekey,
    /// Register again now.
    GmRegister {
        /// The group's name; all groups without it.
        group: Option<String>,
    },
    /// End the daemon and the use of its keys.
    GmStop,
    /// Take the group's protection out of the kernel: its traffic passes in clear.
    GmDetach {
        /// The group's name; all groups without it.
        group: Option<String>,
    },
    /// A key server's groups.
    ShowKs,
    /// Its members.
    ShowKsMembers,
    /// Its access lists.
    ShowKsAcl,
    /// Its policy and keys.
    ShowKsPolicy,
    /// Its rekey messages and their acknowledgements.
    ShowKsRekey,
    /// How it stands with the key servers that share its groups.
    ShowKsCoop {
        /// Whether the text shows everything; the report always does.
        detail: bool,
    },
    /// Give the role of the primary to another key server, and do not take it back.
    KsCoopResign {
        /// The group's name; all groups that it is primary of without it.
        group: Option<String>,
    },
    /// New keys for the members now.
    KsRekey {
        /// The group's name; all groups without it.
        group: Option<String>,
        /// Whether the old keys end at once, with what is under way.
        replace_now: bool,
    },
    /// Remove a member, which may not come back; all others must register again.
    KsRemove {
        /// The group's name; all groups that the member is in without it.
        group: Option<String>,
        /// The member.
        member: IpAddr,
        /// Whether the keys end at once.
        now: bool,
    },
    /// All members must register again.
    KsRemoveAll {
        /// The group's name; all groups without it.
        group: Option<String>,
        /// Whether the keys end at once.
        now: bool,
    },
    /// A removed member may come back.
    KsReadmit {
        /// The group's name; all groups without it.
        group: Option<String>,
        /// The member.
        member: IpAddr,
    },
    /// Read the configuration again.
    Reload {
        /// Whether only to tell what would change.
        dry_run: bool,
    },
    /// The last events of either daemon.
    ShowEvents,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What was asked for.
    Ok(Value),
    /// Why there is no answer.
    Error(String),
}

impl Answer {
    /// What was asked for, or why not.
    pub fn from_result(result: Result<impl Serialize, String>) -> Self {
        result.map_or_else(Answer::Error, |report| Answer::of(&report))
    }

    /// The report as an answer.
    pub fn of(report: &impl Serialize) -> Self {
        serde_json::to_value(report).map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok)
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Query {
    /// What is asked.
    pub request: Request,
    /// By whom.
    pub asker: Asker,
    answer: oneshot::Sender<Answer>,
}

impl Query {
    /// Answers; a client that has gone is not missed.
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// The open socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    queries: mpsc::Receiver<Query>,
    seats: Arc<Semaphore>,
}

impl Control {
    /// Listens at `path`, for the owner only. Must be called inside the runtime.
    ///
    /// # Errors
    /// Another daemon listens there, or the file cannot be made.
    pub fn listen(path: &Path) -> io::Result<Self> {
        make_room(path)?;
        let listener = bind_private(path)?;
        let (sender, queries) = mpsc::channel(MAX_CLIENTS);
        let seats = Arc::new(Semaphore::new(MAX_CLIENTS));
        tokio::spawn(accept(listener, sender, seats.clone()));
        Ok(Control { path: path.to_owned(), queries, seats })
    }

    /// Waits until all who were answered have their answer; others are told that the daemon is stopping.
    pub async fn part(&mut self) {
        self.queries.close();
        while self.queries.try_recv().is_ok() {}
        // One seat is kept for whom comes next.
        let others = MAX_CLIENTS as u32 - 1;
        let _ = tokio::time::timeout(PARTING, self.seats.acquire_many(others)).await;
    }

    /// The next request.
    pub async fn next(&mut self) -> Option<Query> {
        self.queries.recv().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn make_room(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    match is_served(path) {
        true => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there")),
        false if is_socket => std::fs::remove_file(path),
        false => Ok(()),
    }
}

/// Whether a daemon listens at `path`. One that was killed while it started a program leaves its socket to that program, for
/// the moment until it is another one.
pub fn is_served(path: &Path) -> bool {
    let deadline = Instant::now() + ORPHANED;
    loop {
        match BlockingStream::connect(path) {
            Err(_) => return false,
            Ok(stream) if lives(&stream) || deadline <= Instant::now() => return true,
            Ok(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Whether the process that listens still lives, as far as that can be told.
fn lives(stream: &BlockingStream) -> bool {
    let listener = getsockopt(stream, PeerCredentials).map(|listener| Pid::from_raw(listener.pid()));
    !listener.is_ok_and(|listener| listener.as_raw() > 0 && kill(listener, None) == Err(Errno::ESRCH))
}

/// The mode is set before there is a name (unix(7)): the socket must never be open to others, not even for a moment. A
/// mask would do, too, but it holds for the whole process.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    UnixListener::from_std(BlockingListener::from(socket))
}

async fn accept(listener: UnixListener, queries: mpsc::Sender<Query>, seats: Arc<Semaphore>) {
    while let Ok(seat) = seats.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => {
                let queries = queries.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(CLIENT_TIME, serve(client, queries)).await;
                    drop(seat);
                });
            }
            // Out of file descriptors, perhaps: do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(mut client: UnixStream, queries: mpsc::Sender<Query>) -> io::Result<()> {
    let asker = Asker::of(&client);
    let answer = match read_request(&mut client).await? {
        Ok(request) => ask(request, asker, &queries).await,
        Err(reason) => Answer::Error(reason),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    client.write_all(&line).await?;
    client.shutdown().await
}

async fn read_request(client: &mut UnixStream) -> io::Result<Result<Request, String>> {
    let mut line = Vec::new();
    BufReader::new(client.take(MAX_REQUEST)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Ok(Err(format!("a request is one line of at most {MAX_REQUEST} octets")));
    }
    Ok(serde_json::from_slice(&line).map_err(|error| format!("the request is not understood: {error}")))
}

async fn ask(request: Request, asker: Asker, queries: &mpsc::Sender<Query>) -> Answer {
    let (answer, received) = oneshot::channel();
    let gone = || Answer::Error("the daemon is stopping".into());
    if queries.send(Query { request, asker, answer }).await.is_err() {
        return gone();
    }
    received.await.unwrap_or_else(|_| gone())
}

#[cfg(test)]
mod tests;
