//! The one loop of a daemon: it waits for the service's own news, time, requests and signals, and lets the service settle
//! what came of each.

use crate::clock;
use crate::config::MulticastRoute;
use crate::control::{Answer, Asker, Control, Request};
use crate::daemon::notify::{self, Pulse};
use crate::daemon::reload::{told_of, ReloadMode};
use crate::events::{Event, Severity};
use crate::report::ReloadReport;
use crate::socket::Socket;
use gdoi::endpoint::{Instant, Transmit};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{signal, Signal, SignalKind};

/// What a daemon is: a protocol with its socket, and what it does around them.
pub trait Service {
    /// Waits for a datagram, or for what else this daemon listens to, and takes it in: [`Self::settle`] is due then.
    /// May be dropped at any time without loss.
    fn hear(&mut self) -> impl Future<Output = ()>;

    /// Does what is due at `now` and what follows from all that was taken in. Answers when it wants to be called again at
    /// the latest.
    fn settle(&mut self, now: Instant) -> Option<Instant>;

    /// Answers an operator.
    fn answer(&mut self, request: Request, asker: &Asker, now: Instant) -> Answer;

    /// Reads the configuration again and applies what can be applied, all of it or nothing of a bad file.
    ///
    /// # Errors
    /// What is wrong with the file; nothing has changed.
    fn reload(&mut self, mode: ReloadMode, now: Instant) -> Result<ReloadReport, String>;

    /// Takes note of what happened around the service.
    fn record(&mut self, event: Event, now: Instant);

    /// Whether an operator has ended it.
    fn is_over(&self) -> bool {
        false
    }
}

/// Why a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A signal came: another one may take its place.
    Signal,
    /// An operator said so.
    Order,
}

const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// The signals that a daemon listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
}

impl Signals {
    /// Listens from now on. Must be called inside the runtime.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// Runs until a signal or an operator ends it.
pub async fn run<S: Service>(service: &mut S, control: &mut Control, signals: &mut Signals) -> End {
    let mut pulse = Pulse::asked_for();
    loop {
        let wake = service.settle(clock::now());
        let beat = pulse.beat();
        tokio::select! {
            () = service.hear() => {}
            Some(query) = control.next() => {
                tracing::debug!("{} asks: {:?}", query.asker, query.request);
                let answer = answer(service, query.request.clone(), &query.asker, clock::now());
                query.answer(answer);
                if service.is_over() {
                    return End::Order;
                }
            }
            () = sleep_until(wake, beat) => {}
            wish = signals.next() => match wish {
                Wish::Stop => return End::Signal,
                Wish::Reload => drop(reload(service, ReloadMode::Apply, clock::now())),
            },
        }
    }
}

/// Sends what a protocol wants to be sent; answers what operators must know of it.
pub fn send(socket: &mut Socket, transmit: &Transmit, route: Option<&MulticastRoute>) -> Option<Event> {
    let error = socket.send(transmit.to, &transmit.payload, route)?;
    let event = Event::new(Severity::Warning, "PEER_UNREACHABLE", format!("Cannot send: {error}"));
    Some(event.with_peer(transmit.to))
}

fn answer<S: Service>(service: &mut S, request: Request, asker: &Asker, now: Instant) -> Answer {
    match request {
        Request::Reload { dry_run: true } => Answer::from_result(service.reload(ReloadMode::Preview, now)),
        Request::Reload { dry_run: false } => Answer::from_result(reload(service, ReloadMode::Apply, now)),
        request => service.answer(request, asker, now),
    }
}

/// Lets a daemon read its configuration again, and tells log and service manager.
///
/// # Errors
/// As [`Service::reload`].
fn reload<S: Service>(service: &mut S, mode: ReloadMode, now: Instant) -> Result<ReloadReport, String> {
    notify::reloading();
    let result = service.reload(mode, now);
    told_of(&result).into_iter().for_each(|event| service.record(event, now));
    notify::ready();
    result
}

/// A long sleep is cut in pieces, because the runtime's clock stands still while the machine sleeps, and because the
/// service manager may want to hear that the loop turns.
async fn sleep_until(wake: Option<Instant>, beat: Option<Duration>) {
    let longest = beat.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
    let rest = wake.map_or(longest, |wake| wake.saturating_since(clock::now()));
    tokio::time::sleep(rest.min(longest)).await;
}
