//! Labs beside this one, for scenarios that wait more than they work.

use crate::daemon::left_behind;
use crate::host::command;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// Hosts are named below /run, so with a /run of its own a lab has hosts of its own.
const APART: &str = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/lock && exec \"$0\" \"$@\"";

/// Another lab; it is killed when dropped.
#[derive(Debug)]
pub struct Beside {
    lab: Child,
    output: PathBuf,
}

impl Beside {
    /// Starts the lab of this number with these scenarios. What it prints and leaves is in $LAB_OUT/beside-NUMBER.
    pub fn start(number: usize, scenarios: &[&Scenario]) -> Outcome<Self> {
        let out = left_behind().join(format!("beside-{number}"));
        fs::create_dir_all(&out)?;
        let output = out.join("output.log");
        let file = File::create(&output)?;
        let mut lab = command("unshare --mount --propagation private bash -c");
        lab.arg(APART).arg(std::env::current_exe()?).args(scenarios.iter().map(|scenario| scenario.name));
        lab.env("LAB_OUT", &out).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Beside { lab: lab.spawn()?, output })
    }

    /// Waits for its end and prints what it printed; whether nothing failed.
    pub fn finish(mut self) -> Outcome<bool> {
        let status = self.lab.wait()?;
        print!("{}", fs::read_to_string(&self.output)?);
        Ok(status.success())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.lab.kill();
        let _ = self.lab.wait();
    }
}
