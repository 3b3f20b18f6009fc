//! The one loop that owns an endpoint: datagrams, time, requests and signals go in, datagrams and events come out.

use crate::clock;
use crate::config::MulticastRoute;
use crate::control::{Answer, Asker, Control, Request};
use crate::daemon::reload::{reload, ReloadMode};
use crate::events::{Event, Severity};
use crate::report::ReloadReport;
use crate::socket::{Listening, Socket};
use gdoi::crypto::Secret;
use gdoi::endpoint::{Endpoint, Instant, Output, Transmit};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::signal::unix::{signal, Signal, SignalKind};

/// What a daemon is, around its endpoint.
pub trait Service {
    /// The protocol.
    type Endpoint: Endpoint;

    /// The protocol itself.
    fn endpoint(&mut self) -> &mut Self::Endpoint;

    /// Takes note of what the endpoint reports.
    fn notice(&mut self, event: <Self::Endpoint as Endpoint>::Event, now: Instant);

    /// Takes note of what happened around the endpoint.
    fn record(&mut self, event: Event, now: Instant);

    /// Makes the endpoint's state durable before it returns, if it can.
    fn store(&mut self, state: Secret, now: Instant);

    /// Whether it could.
    fn durability(&self) -> Durability;

    /// Where the endpoint wants to speak from and be heard.
    fn door(&self) -> SocketAddr;

    /// Ends when something around the endpoint has changed, of which the service has taken note: [`Self::settle`] is due.
    /// May be dropped at any time without loss.
    fn disturbed(&mut self) -> impl Future<Output = ()>;

    /// How a datagram to a multicast group leaves this host.
    fn route(&self, to: SocketAddr) -> Option<&MulticastRoute>;

    /// The multicast groups that the endpoint wants to hear.
    fn listening(&self, now: Instant) -> Vec<Listening>;

    /// Does what the noticed events ask for; called whenever the endpoint has nothing more to say. Answers
    /// when it wants to be called again at the latest.
    fn settle(&mut self, now: Instant) -> Option<Instant>;

    /// Answers an operator.
    fn answer(&mut self, request: Request, asker: &Asker, now: Instant) -> Answer;

    /// Reads the configuration again and applies what can be applied, all of it or nothing of a bad file.
    ///
    /// # Errors
    /// What is wrong with the file; nothing has changed.
    fn reload(&mut self, mode: ReloadMode, now: Instant) -> Result<ReloadReport, String>;

    /// Leaves things as they should be while no daemon runs.
    fn stop(&mut self, now: Instant);
}

/// Whether what an endpoint wanted to be stored survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does, or nobody wants it to.
    Durable,
    /// It does not: what follows from it must not be sent.
    Lost,
}

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

/// Runs until a signal asks to stop.
pub async fn run<S: Service>(
    service: &mut S,
    socket: &mut Socket,
    control: &mut Control,
    signals: &mut Signals,
) {
    service.endpoint().handle_timeout(clock::now());
    loop {
        let wake = drain(service, socket);
        tokio::select! {
            (from, bytes) = socket.receive() => service.endpoint().handle_datagram(from, bytes, clock::now()),
            Some(query) = control.next() => {
                let answer = answer(service, query.request.clone(), &query.asker, clock::now());
                query.answer(answer);
            }
            () = service.disturbed() => {}
            () = sleep_until(wake) => service.endpoint().handle_timeout(clock::now()),
            wish = signals.next() => match wish {
                Wish::Stop => return,
                Wish::Reload => drop(reload(service, ReloadMode::Apply, clock::now())),
            },
        }
    }
}

fn answer<S: Service>(service: &mut S, request: Request, asker: &Asker, now: Instant) -> Answer {
    match request {
        Request::Reload { dry_run: true } => Answer::from_result(service.reload(ReloadMode::Preview, now)),
        Request::Reload { dry_run: false } => Answer::from_result(reload(service, ReloadMode::Apply, now)),
        request => service.answer(request, asker, now),
    }
}

/// Carries out all that the endpoint wants, and answers when it wants to be woken.
///
/// What cannot be stored is not sent: to the peers it is a datagram that the network lost, and what matters is repeated.
fn drain<S: Service>(service: &mut S, socket: &mut Socket) -> Option<Instant> {
    let now = clock::now();
    follow(service, socket, now);
    let endpoint = loop {
        match service.endpoint().poll() {
            Output::Transmit(transmit) if service.durability() == Durability::Durable => {
                send(service, socket, &transmit, now);
            }
            Output::Transmit(_) => {}
            Output::Store(state) => service.store(state, now),
            Output::Event(event) => service.notice(event, now),
            Output::Wait(until) => break until,
        }
    };
    let wake = service.settle(now);
    for problem in socket.listen(&service.listening(now)) {
        service.record(Event::new(Severity::Warning, "GM_REKEY_GROUP", problem), now);
    }
    endpoint.into_iter().chain(wake).min()
}

/// What is sent next must come from where the endpoint is now.
fn follow<S: Service>(service: &mut S, socket: &mut Socket, now: Instant) {
    let door = service.door();
    if let Some(error) = socket.follow(door) {
        let message = format!("Cannot speak from UDP {door}: {error}");
        service.record(Event::new(Severity::Error, "GM_SOCKET_FAILED", message), now);
    }
}

fn send<S: Service>(service: &mut S, socket: &mut Socket, transmit: &Transmit, now: Instant) {
    if let Some(error) = socket.send(transmit.to, &transmit.payload, service.route(transmit.to)) {
        let event = Event::new(Severity::Warning, "PEER_UNREACHABLE", format!("Cannot send: {error}"));
        service.record(event.with_peer(transmit.to), now);
    }
}

/// A long sleep is cut in pieces, because the runtime's clock stands still while the machine sleeps.
async fn sleep_until(wake: Option<Instant>) {
    let longest = Duration::from_secs(10);
    let rest = wake.map_or(longest, |wake| wake.saturating_since(clock::now()));
    tokio::time::sleep(rest.min(longest)).await;
}
