//! The lab: hosts in network namespaces, real daemons, a real kernel, and what must be seen there.
//!
//! `lab [NAME...]` runs scenarios, `lab --list` names them, `lab --demo` tells the whole story once, `lab --bench TRANSFORM`
//! measures. It must be root
//! in a kernel with ESP, with network namespaces of its own; `scripts/lab` makes such a place.

mod bench;
mod beside;
mod capture;
mod cell;
mod cooperating;
mod corp;
mod daemon;
mod dice;
mod eventually;
mod fault;
mod host;
mod iperf;
mod machine;
mod multicast;
mod outcome;
mod packet;
mod pcap;
mod reinjection;
mod rekeying;
mod runner;
mod scenarios;
mod site;
mod stream;
mod tally;
mod topology;
mod vectors;
mod watch;

use beside::Beside;
use runner::Runner;
use scenarios::{Scenario, ALL, MATRIX, PATIENT};
use site::Site;
use std::process::ExitCode;

const USAGE: &str = "usage: lab [NAME...] | lab --list | lab --demo | lab --bench TRANSFORM";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--list"] => list(),
        ["--demo"] => demo(),
        ["--bench", transform] => bench(transform),
        names if names.iter().any(|name| name.starts_with('-')) => Err(USAGE.to_owned()),
        [] => all(),
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

fn every() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter().chain(PATIENT).chain(MATRIX)
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Scenario>, String> {
    let find = |name: &&str| {
        every().find(|scenario| scenario.name == *name).ok_or(format!("there is no scenario {name}"))
    };
    names.iter().map(find).collect()
}

fn all() -> Result<bool, String> {
    let beside = Beside::start(PATIENT).map_err(|stop| stop.to_string())?;
    let passed = run(&ALL.iter().collect::<Vec<_>>());
    let others_passed = beside.finish().map_err(|stop| stop.to_string())?;
    Ok(passed? && others_passed)
}

fn run(scenarios: &[&Scenario]) -> Result<bool, String> {
    let mut runner = Runner::new(Site::build().map_err(|stop| stop.to_string())?);
    scenarios.iter().for_each(|scenario| runner.run(scenario));
    Ok(runner.finish())
}
