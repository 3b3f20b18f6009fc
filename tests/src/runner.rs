//! Runs scenarios one after the other in one site, and says how each ended.

use crate::corp::{ping_all, Corp, PAIRS};
use crate::outcome::{ensure, Outcome, Stop};
use crate::scenario::{Run, Scenario};
use crate::site::Site;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Lines of each log that are printed after a failure.
const TAIL: usize = 20;

/// A site with what scenarios leave to each other.
#[derive(Debug)]
pub struct Runner {
    site: Site,
    corp: Option<Corp>,
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Runner {
    /// Nothing has run yet.
    pub fn new(site: Site) -> Self {
        Runner { site, corp: None, passed: 0, failed: 0, skipped: 0 }
    }

    /// Runs one scenario and prints a line about it, and what the daemons logged if it failed.
    pub fn run(&mut self, scenario: &Scenario) {
        let start = Instant::now();
        let outcome = self.attempt(scenario);
        let name = scenario.name;
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name} ({} s)", start.elapsed().as_secs());
            }
            Err(Stop::Skipped(reason)) => {
                self.skipped += 1;
                println!("SKIPPED {name}: {reason}");
            }
            Err(Stop::Failed(reason)) => {
                self.failed += 1;
                println!("FAILED {name} ({} s): {reason}", start.elapsed().as_secs());
                self.print_logs();
                self.corp = None;
            }
        }
    }

    /// Prints the sums; whether nothing failed.
    pub fn finish(mut self) -> bool {
        if let Some(Err(reason)) = self.corp.take().map(|corp| corp.core.close()) {
            self.failed += 1;
            println!("FAILED capture: {reason}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        self.failed == 0
    }

    fn attempt(&mut self, scenario: &Scenario) -> Outcome {
        match scenario.run {
            Run::Registered(run) => {
                let mut corp = self.corp.take().map_or_else(|| self.start_corp(), Ok)?;
                let outcome = run(&self.site, &mut corp);
                self.corp = Some(corp);
                outcome
            }
            Run::Empty(run) => {
                self.clear()?;
                run(&self.site)
            }
            Run::Cell(run, cell) => {
                self.clear()?;
                run(&self.site, cell)
            }
        }
    }

    /// All have heard all: a router on which no daemon runs knows only senders that it has heard before.
    fn start_corp(&mut self) -> Outcome<Corp> {
        self.clear()?;
        let corp = Corp::start(&self.site)?;
        let answered = ping_all(&self.site)?;
        ensure!(answered == PAIRS, "{answered} of {PAIRS} pairs got answers after the registration");
        Ok(corp)
    }

    fn clear(&mut self) -> Outcome {
        let closed = self.corp.take().map_or(Ok(()), |corp| corp.core.close());
        self.site.places.forget_logs();
        closed.and(self.site.wipe())
    }

    fn print_logs(&self) {
        for log in self.site.places.logs() {
            println!("--- {}", log.display());
            print_tail(&log);
        }
    }
}

fn print_tail(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(TAIL)).for_each(|line| println!("    {line}"));
}
