//! Multicast routing for the protected hosts' groups, as an operator has it: smcroute on every router.

use crate::cell::{Cell, Family};
use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::outcome::{Outcome, Stop};
use crate::site::{Site, MEMBERS};
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const START: Duration = Duration::from_secs(30);

/// The interface that members encrypt multicast behind.
pub fn protected_way(cell: Cell) -> &'static str {
    match cell.family {
        Family::V4 => "wan",
        Family::V6 => "gdoi0",
    }
}

/// The routers' daemons, which end when dropped.
#[derive(Debug, Default)]
pub struct Routing(Vec<Child>);

impl Routing {
    /// Leads the cell's group everywhere, if it has one; out of members through this interface.
    pub fn start(site: &Site, cell: Cell, outward: &str) -> Outcome<Self> {
        let Some(group) = cell.group() else { return Ok(Routing::default()) };
        if Command::new("smcrouted").arg("-v").output().is_err() {
            return Err(Stop::Skipped("smcroute is not installed".into()));
        }
        let mut routing = Routing::default();
        for member in MEMBERS {
            let lines = leads(group, &[("lan", &[outward]), ("wan", &["lan"])]);
            routing.0.push(start(site, site.host(member)?.as_ref(), &lines, group)?);
        }
        let [one, two, three] = MEMBERS;
        let lines = leads(group, &[(one, &[two, three]), (two, &[one, three]), (three, &[one, two])]);
        routing.0.push(start(site, site.host("core")?.as_ref(), &lines, group)?);
        Ok(routing)
    }
}

impl Drop for Routing {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn leads(group: IpAddr, ways: &[(&str, &[&str])]) -> String {
    let way = |(from, to): &(&str, &[&str])| {
        format!("mgroup from {from} group {group}\nmroute from {from} group {group} to {}\n", to.join(" "))
    };
    ways.iter().map(way).collect()
}

fn start(site: &Site, router: &Host, lines: &str, group: IpAddr) -> Outcome<Child> {
    let name = site.places.next_name(&format!("{}-smcroute", router.name()));
    let file = |ending: &str| site.places.out.join(format!("{name}.{ending}"));
    let (configuration, log) = (file("conf"), file("log"));
    fs::write(&configuration, lines)?;
    let mut daemon = command("smcrouted -n -l debug");
    daemon.arg("-f").arg(&configuration).arg("-P").arg(file("pid")).arg("-u").arg(socket(router));
    daemon.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
    let child = router.spawn(daemon)?;
    routes(router, group, &log)?;
    Ok(child)
}

/// A path that is short enough for a socket.
fn socket(router: &Host) -> String {
    format!("/run/lab-smcroute-{}.sock", router.name())
}

fn routes(router: &Host, group: IpAddr, log: &Path) -> Outcome {
    let file = match group {
        IpAddr::V4(_) => "/proc/net/ip_mr_vif",
        IpAddr::V6(_) => "/proc/net/ip6_mr_vif",
    };
    let what = format!("{} routes multicast ({})", router.name(), log.display());
    eventually_true(&what, START, || {
        let running = router.must(&format!("cat {file}"))?.lines().count() > 2;
        let listening = Path::new(&socket(router)).exists();
        Ok(running && listening)
    })
}
