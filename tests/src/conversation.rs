//! Questions of one host to another one and the answers, all of one flow: what NAT does to it must work both ways.

use crate::cell::Cell;
use crate::host::Host;
use crate::outcome::{failed, Outcome};
use crate::site::{Site, HOSTS};
use std::fmt;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between questions.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_millis(100);

/// It goes on until it is ended.
#[derive(Debug)]
pub struct Conversation {
    ends: Arc<Ends>,
    threads: Vec<JoinHandle<Outcome>>,
}

#[derive(Debug, Default)]
struct Ends {
    over: AtomicBool,
    asked: AtomicU64,
    /// One more than the last question that was answered.
    heard: AtomicU64,
    answered: AtomicU64,
    /// The longest time between two answers, in milliseconds.
    silence: AtomicU64,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    asked: u64,
    answered: u64,
    /// The longest time without an answer.
    pub silence: Duration,
}

impl Conversation {
    /// From the first host to the second one, with addresses of this cell, at this port of the second one.
    pub fn start(site: &Site, cell: Cell, port: u16) -> Outcome<Self> {
        let ask = bound(site.host(HOSTS[0].0)?.as_ref(), cell, 0, 0)?;
        let answer = bound(site.host(HOSTS[1].0)?.as_ref(), cell, 1, port)?;
        ask.connect((cell.host(1), port))?;
        let (asking, ends) = (ask.try_clone()?, Arc::new(Ends::default()));
        let [of_questions, of_answers, of_listener] = [(); 3].map(|()| ends.clone());
        let threads = vec![
            thread::spawn(move || questions(&asking, &of_questions)),
            thread::spawn(move || answers(&answer, &of_answers)),
            thread::spawn(move || listen(&ask, &of_listener)),
        ];
        Ok(Conversation { ends, threads })
    }

    /// The number of the next question.
    pub fn mark(&self) -> u64 {
        self.ends.asked.load(Ordering::Relaxed)
    }

    /// Whether a question was answered that was asked since the mark.
    pub fn goes_on_since(&self, mark: u64) -> bool {
        self.ends.heard.load(Ordering::Relaxed) > mark
    }

    /// Ends it.
    pub fn end(mut self) -> Outcome<Summary> {
        self.ends.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap_or_else(|_| failed("a conversation panicked"))?;
        }
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Summary {
            asked: number(&self.ends.asked),
            answered: number(&self.ends.answered),
            silence: Duration::from_millis(number(&self.ends.silence)),
        })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.ends.over.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, answered, silence } = self;
        write!(
            f,
            "{answered} of {asked} questions answered, {} ms without an answer at most",
            silence.as_millis()
        )
    }
}

fn bound(host: &Host, cell: Cell, number: usize, port: u16) -> Outcome<UdpSocket> {
    let socket = host.inside(|| Ok(UdpSocket::bind((cell.host(number), port))?))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A router that holds something back may say so, which is no failure of who asks.
fn questions(socket: &UdpSocket, ends: &Ends) -> Outcome {
    while !ends.over.load(Ordering::Relaxed) {
        let number = ends.asked.fetch_add(1, Ordering::Relaxed);
        let _ = socket.send(&number.to_be_bytes());
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn answers(socket: &UdpSocket, ends: &Ends) -> Outcome {
    let mut octets = [0; 8];
    while !ends.over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut octets) {
            let _ = socket.send_to(&octets[..length], from);
        }
    }
    Ok(())
}

fn listen(socket: &UdpSocket, ends: &Ends) -> Outcome {
    let (mut octets, mut last) = ([0; 8], Instant::now());
    while !ends.over.load(Ordering::Relaxed) {
        if socket.recv(&mut octets).is_ok() {
            ends.heard.fetch_max(u64::from_be_bytes(octets) + 1, Ordering::Relaxed);
            ends.answered.fetch_add(1, Ordering::Relaxed);
            ends.silence.fetch_max(last.elapsed().as_millis() as u64, Ordering::Relaxed);
            last = Instant::now();
        }
    }
    ends.silence.fetch_max(last.elapsed().as_millis() as u64, Ordering::Relaxed);
    Ok(())
}
