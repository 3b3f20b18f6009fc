//! The one loop that owns an endpoint: datagrams, time, requests and signals go in, datagrams and events come out.

use crate::clock;
use crate::control::{Answer, Control, Request};
use crate::events::{Event, Severity};
use crate::socket::Socket;
use gdoi::endpoint::{Endpoint, Instant, Output};
use std::io;
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

    /// Does what the noticed events ask for; called whenever the endpoint has nothing more to say. Answers
    /// when it wants to be called again at the latest.
    fn settle(&mut self, now: Instant) -> Option<Instant>;

    /// Answers an operator.
    fn answer(&mut self, request: Request, now: Instant) -> Answer;

    /// Reads the configuration again.
    fn reload(&mut self, now: Instant);

    /// Leaves things as they should be while no daemon runs.
    fn stop(&mut self, now: Instant);
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
                let answer = service.answer(query.request.clone(), clock::now());
                query.answer(answer);
            }
            () = sleep_until(wake) => service.endpoint().handle_timeout(clock::now()),
            wish = signals.next() => match wish {
                Wish::Stop => return,
                Wish::Reload => service.reload(clock::now()),
            },
        }
    }
}

/// Carries out all that the endpoint wants, and answers when it wants to be woken.
fn drain<S: Service>(service: &mut S, socket: &mut Socket) -> Option<Instant> {
    let now = clock::now();
    let endpoint = loop {
        match service.endpoint().poll() {
            Output::Transmit(transmit) => {
                if let Some(error) = socket.send(transmit.to, &transmit.payload) {
                    let event =
                        Event::new(Severity::Warning, "PEER_UNREACHABLE", format!("Cannot send: {error}"));
                    service.record(event.with_peer(transmit.to), now);
                }
            }
            Output::Event(event) => service.notice(event, now),
            Output::Wait(until) => break until,
        }
    };
    let service = service.settle(now);
    endpoint.into_iter().chain(service).min()
}

/// A long sleep is cut in pieces, because the runtime's clock stands still while the machine sleeps.
async fn sleep_until(wake: Option<Instant>) {
    let longest = Duration::from_secs(10);
    let rest = wake.map_or(longest, |wake| wake.saturating_since(clock::now()));
    tokio::time::sleep(rest.min(longest)).await;
}
