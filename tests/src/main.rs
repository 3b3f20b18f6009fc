//! The lab: hosts in network namespaces, real daemons, a real kernel, and what must be seen there.
//!
//! `lab` runs what every run shows, `lab --all` the whole matrix besides, `lab NAME...` some scenarios or groups of them;
//! with `--plan` before it, it only names them. `lab --list` tells what there is, `lab --demo` the whole story once, `lab
//! --bench TRANSFORM` measures. It must be root in a kernel with ESP, with network namespaces of its own; `scripts/lab`
//! makes such a place.

mod bench;
mod beside;
mod capture;
mod cell;
mod conversation;
mod cooperating;
mod corp;
mod daemon;
mod dice;
mod eventually;
mod fault;
mod host;
mod injection;
mod iperf;
mod machine;
mod multicast;
mod outcome;
mod packet;
mod pcap;
mod reinjection;
mod rekeying;
mod runner;
mod scenario;
mod scenarios;
mod site;
mod stream;
mod tally;
mod topology;
mod vectors;
mod watch;

use beside::Beside;
use runner::Runner;
use scenario::Scenario;
use scenarios::{called, every, labs, GROUPS, OTHERS};
use site::Site;
use std::process::ExitCode;

const USAGE: &str = "usage: lab [--plan] [--all | NAME...] | lab --list | lab --demo | lab --bench TRANSFORM";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--all"] => beside_each_other(labs(OTHERS)),
        ["--plan", words @ ..] => plan(words),
        ["--list"] => list(),
        ["--demo"] => demo(),
        ["--bench", transform] => bench(transform),
        names if names.iter().any(|name| name.starts_with('-')) => Err(USAGE.to_owned()),
        [] => beside_each_other(labs(&[])),
        names => chosen(names).and_then(|scenarios| run(&scenarios)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("lab: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<bool, String> {
    every().for_each(|scenario| println!("{:40} {}", scenario.name, scenario.about));
    for group in GROUPS {
        println!("{:40} {}: {}", group.name, group.about, group.scenarios.join(" "));
    }
    Ok(true)
}

fn demo() -> Result<bool, String> {
    let shown = scenarios::demo().map_err(|stop| format!("{stop}; the daemons' logs are in target/lab/run"));
    shown.map(|()| true)
}

fn bench(transform: &str) -> Result<bool, String> {
    let done = bench::cell(transform).and_then(bench::run);
    done.map(|()| true).map_err(|stop| stop.to_string())
}

/// Names what the same words without `--plan` would run.
fn plan(words: &[&str]) -> Result<bool, String> {
    let scenarios = match words {
        [] => labs(&[]).concat(),
        ["--all"] => labs(OTHERS).concat(),
        names => chosen(names)?,
    };
    scenarios.iter().for_each(|scenario| println!("{}", scenario.name));
    Ok(true)
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Scenario>, String> {
    let found = names.iter().map(|name| called(name)).collect::<Result<Vec<_>, _>>();
    found.map(|lists| lists.concat())
}

/// The first lab here, the others in hosts of their own.
fn beside_each_other(labs: Vec<Vec<&'static Scenario>>) -> Result<bool, String> {
    let mut labs = labs.into_iter();
    let first = labs.next().unwrap_or_default();
    let others: Result<Vec<_>, _> =
        labs.enumerate().map(|(number, scenarios)| Beside::start(number, &scenarios)).collect();
    let others = others.map_err(|stop| stop.to_string())?;
    let mut passed = run(&first)?;
    for lab in others {
        passed &= lab.finish().map_err(|stop| stop.to_string())?;
    }
    Ok(passed)
}

fn run(scenarios: &[&Scenario]) -> Result<bool, String> {
    let mut runner = Runner::new(Site::build().map_err(|stop| stop.to_string())?);
    scenarios.iter().for_each(|scenario| runner.run(scenario));
    Ok(runner.finish())
}
