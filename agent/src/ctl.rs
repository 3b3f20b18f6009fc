//! `gdoictl`: asks a daemon, prints its answer for people or as JSON.

mod command;
mod key;
mod wait;

use crate::config::{self, MEMBER_SOCKET};
use crate::control::{Answer, Request, CLIENT_TIME};
use crate::events;
use crate::report::{access_list, coop, dataplane, key_server, member, rekey, reload};
use clap::Parser;
use command::{request, Cli, Command, Gm, Ks, Show, Wait};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

/// The longest answer that is read, in octets: some 60,000 members.
const MAX_ANSWER: u64 = 16 << 20;

/// Runs `gdoictl` with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Check { file } => check(file),
        Command::Ks(Ks::Key(command)) => key::carry_out(command),
        Command::Gm(Gm::Detach { group, yes_send_in_clear: false }) => {
            Err(unknown_group(&cli, group.as_deref()).unwrap_or_else(|| explain_detachment(group.as_deref())))
        }
        Command::Show(Show::Gm { wait: wanted @ Wait { wait: Some(_), .. }, .. }) => {
            let socket = cli.socket.as_deref().unwrap_or(Path::new(MEMBER_SOCKET));
            return conclude(wait::wait(socket, wanted, cli.json));
        }
        command => ask(&cli, command),
    };
    conclude(result.map_err(Failure::from))
}

/// Why nothing is shown, and the exit status that says so.
#[derive(Debug)]
struct Failure {
    reason: String,
    status: u8,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure { reason, status: 1 }
    }
}

fn conclude(result: Result<String, Failure>) -> ExitCode {
    match result.and_then(|text| Ok(print(&text)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { reason, status }) => {
            eprintln!("{reason}");
            ExitCode::from(status)
        }
    }
}

/// That the daemon has no such group, as far as it can be asked.
fn unknown_group(cli: &Cli, group: Option<&str>) -> Option<String> {
    let (group, socket) = (group?, cli.socket.as_deref().unwrap_or(Path::new(MEMBER_SOCKET)));
    let report = exchange(socket, &Request::ShowGm).ok()?;
    let groups = report.get("groups")?.as_array()?;
    let known = groups.iter().any(|known| known.get("name").and_then(Value::as_str) == Some(group));
    (!known).then(|| format!("gdoictl: {}: there is no group `{group}`", socket.display()))
}

/// What is said to one who did not say that it shall be.
fn explain_detachment(group: Option<&str>) -> String {
    let (whose, argument) = match group {
        Some(group) => (format!("the group {group}"), format!(" {group}")),
        None => ("all groups".to_owned(), String::new()),
    };
    format!(
        "Nothing is done. This would take the protection of {whose} out of the kernel: traffic that is encrypted now would \
         pass IN CLEAR, in both directions, and nothing would be blocked, until `gdoictl gm register{argument}` or a \
         restart of gdoi-gm. Other members would go on encrypting and refuse what comes in clear.\n\
         If this is what you want: gdoictl gm detach{argument} --yes-send-in-clear"
    )
}

fn check(file: &Path) -> Result<String, String> {
    let warnings = config::check(file).map_err(|error| error.to_string())?;
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(format!("{}: ok\n", file.display()))
}

/// A reader who has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("gdoictl: {error}")),
        _ => Ok(()),
    }
}

fn ask(cli: &Cli, command: &Command) -> Result<String, String> {
    let (request, default_socket) = request(command).ok_or("this command asks no daemon")?;
    let socket = cli.socket.as_deref().unwrap_or(default_socket);
    let report =
        exchange(socket, &request).map_err(|reason| format!("gdoictl: {}: {reason}", socket.display()))?;
    let shortcoming = report.get("not_in_force").and_then(Value::as_str).map(str::to_owned);
    let text = match cli.json {
        true => serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n",
        false => render(&request, report)?,
    };
    match shortcoming {
        None => Ok(text),
        // What was done is shown, and is no success.
        Some(reason) => print(&text).and(Err(format!("gdoictl: {reason}"))),
    }
}

fn exchange(socket: &Path, request: &Request) -> Result<Value, String> {
    let answer = converse(socket, request).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "the daemon is not running".to_owned(),
        io::ErrorKind::WouldBlock => "the daemon does not answer".to_owned(),
        _ => error.to_string(),
    })?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Ok(report)) => Ok(report),
        Ok(Answer::Error(reason)) => Err(reason),
        Err(_) => Err("the daemon's answer is not understood; are daemon and gdoictl of one version?".into()),
    }
}

fn converse(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(CLIENT_TIME * 2))?;
    stream.set_write_timeout(Some(CLIENT_TIME * 2))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn render(request: &Request, report: Value) -> Result<String, String> {
    match request {
        Request::ShowGm => Ok(member::overview(&read(report)?)),
        Request::ShowGmAcl => Ok(access_list::of_members(&read(report)?)),
        Request::ShowGmDataplane { states: false } => Ok(dataplane::overview(&read(report)?)),
        Request::ShowGmDataplane { states: true } => Ok(dataplane::detail(&read(report)?)),
        Request::ShowKs => Ok(key_server::overview(&read(report)?)),
        Request::ShowKsMembers => Ok(key_server::members(&read(report)?)),
        Request::ShowKsAcl => Ok(key_server::access_lists(&read(report)?)),
        Request::ShowKsPolicy => Ok(key_server::policies(&read(report)?)),
        Request::ShowKsCoop { detail: false } => Ok(coop::overview(&read(report)?)),
        Request::ShowKsCoop { detail: true } => Ok(coop::detail(&read(report)?)),
        Request::ShowKsRekey => Ok(rekey::of_key_server(&read(report)?)),
        Request::ShowGmRekey => Ok(rekey::of_member(&read(report)?)),
        Request::KsRekey { .. }
        | Request::KsRemove { .. }
        | Request::KsRemoveAll { .. }
        | Request::KsReadmit { .. }
        | Request::KsCoopResign { .. }
        | Request::GmStop
        | Request::GmDetach { .. } => Ok(reload::action(&read(report)?)),
        Request::Reload { .. } => Ok(reload::text(&read(report)?)),
        Request::ShowEvents => Ok(events::text(&read(report)?)),
        Request::GmRegister { .. } => Ok("registering\n".into()),
    }
}

fn read<T: DeserializeOwned>(report: Value) -> Result<T, String> {
    serde_json::from_value(report).map_err(|error| {
        format!("gdoictl: the answer is of another version of the daemon ({error}); try --json")
    })
}

#[cfg(test)]
mod tests;
