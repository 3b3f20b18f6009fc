//! What both daemons do around their loop: start, tell the service manager, stop, check, reload.

mod notify;
pub mod reload;

use crate::clock;
use crate::config::{self, Settings};
use crate::control::Control;
use crate::drive::{self, Service, Signals};
use crate::socket::Socket;
use reload::Reloader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a daemon listens.
#[derive(Clone, Debug)]
pub struct Doors {
    /// For GDOI.
    pub udp: SocketAddr,
    /// For `gdoictl`.
    pub control: PathBuf,
}

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

/// Runs a daemon that `start` makes of its configuration, inside the runtime.
pub fn run<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<(S, Doors), String>,
) -> ExitCode {
    crate::log::start();
    match in_runtime::<F, S>(path, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            reason.lines().for_each(|line| tracing::error!("START_FAILED: {line}"));
            ExitCode::FAILURE
        }
    }
}

fn in_runtime<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<(S, Doors), String>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let (service, doors) = prepare::<F, S>(path, start)?;
        serve(service, &doors).await
    })
}

fn prepare<F: Settings, S: Service>(
    path: &Path,
    start: impl FnOnce(F::Ready, Reloader) -> Result<(S, Doors), String>,
) -> Result<(S, Doors), String> {
    let loaded = config::load::<F>(path).map_err(|error| error.to_string())?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("CONFIG_WARNING: {warning}"));
    let reloader = Reloader::new(path, &loaded);
    start(loaded.settings, reloader)
}

fn failure(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

async fn serve<S: Service>(mut service: S, doors: &Doors) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|error| format!("signals: {error}"))?;
    let mut socket = Socket::bind(doors.udp).map_err(|error| format!("UDP {}: {error}", doors.udp))?;
    let control = doors.control.display();
    let mut control = Control::listen(&doors.control).map_err(|error| format!("{control}: {error}"))?;
    notify::ready();
    drive::run(&mut service, &mut socket, &mut control, &mut signals).await;
    notify::stopping();
    service.stop(clock::now());
    Ok(())
}
