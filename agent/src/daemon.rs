//! What both daemons do around their loop: start, tell the service manager, stop, check, reload.

pub mod notify;
pub mod reload;

use crate::config::{self, ConfigError, Settings};
use crate::control::Control;
use crate::drive::{self, End, Service, Signals};
use crate::socket::Socket;
use reload::Reloader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks a configuration and says what is wrong with it, or `FILE: ok`.
pub fn check<F: Settings>(path: &Path) -> ExitCode {
    match config::load::<F>(path) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            println!("{}: ok", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => failure(&error.to_string()),
    }
}

/// The exit status for a result, whose error goes to standard error.
pub fn conclude(result: Result<(), String>) -> ExitCode {
    result.map_or_else(|reason| failure(&reason), |()| ExitCode::SUCCESS)
}

/// A service, and the path where `gdoictl` finds it.
pub type Started<S> = (S, PathBuf);

/// Runs a daemon, which logs already, that `start` makes of its configuration, and that is left to `stop` in the end,
/// inside the runtime. One that an operator has ended has an exit status of its own.
pub fn run<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<Started<S>, String>,
    stop: impl FnOnce(S, End),
) -> ExitCode {
    match in_runtime::<F, S>(path, start, stop) {
        Ok(End::Signal) => ExitCode::SUCCESS,
        Ok(End::Order) => ExitCode::from(ENDED_BY_ORDER),
        Err(Failure { reason, status }) => {
            reason.lines().for_each(|line| tracing::error!("START_FAILED: {line}"));
            ExitCode::from(status)
        }
    }
}

/// EX_CONFIG of sysexits.h: whoever started the daemon need not try again before the file is another one.
const CONFIGURATION_REFUSED: u8 = 78;

/// Nobody but an operator shall start it again; the first number behind those of sysexits.h.
const ENDED_BY_ORDER: u8 = 79;

/// Why a daemon does not run.
struct Failure {
    reason: String,
    /// The exit status.
    status: u8,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure { reason, status: 1 }
    }
}

/// The socket that a daemon speaks from.
///
/// # Errors
/// The port is taken, or this process may not use it.
pub fn open_door(address: SocketAddr) -> Result<Socket, String> {
    Socket::bind(address).map_err(|error| format!("UDP {address}: {error}"))
}

fn in_runtime<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<Started<S>, String>,
    stop: impl FnOnce(S, End),
) -> Result<End, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let (service, control) = prepare::<F, S>(path, start)?;
        Ok(serve(service, &control, stop).await?)
    })
}

fn prepare<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<Started<S>, String>,
) -> Result<Started<S>, Failure> {
    let refused = |error: ConfigError| Failure { reason: error.to_string(), status: CONFIGURATION_REFUSED };
    let loaded = config::load::<F>(path).map_err(refused)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("CONFIG_WARNING: {warning}"));
    let reloader = Reloader::new(path, &loaded);
    Ok(start(loaded.settings, reloader)?)
}

fn failure(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

async fn serve<S: Service>(mut service: S, control: &Path, stop: impl FnOnce(S, End)) -> Result<End, String> {
    let mut signals = Signals::listen().map_err(|error| format!("signals: {error}"))?;
    let mut control = Control::listen(control).map_err(|error| format!("{}: {error}", control.display()))?;
    notify::ready();
    let end = drive::run(&mut service, &mut control, &mut signals).await;
    notify::stopping();
    control.part().await;
    stop(service, end);
    Ok(end)
}
