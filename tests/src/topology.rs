//! Hosts and the links between them.

use crate::host::Host;
use crate::outcome::{failed, Outcome, Stop};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

/// The MTU of all links.
pub const MTU: u16 = 1500;

/// One end of a link: host, interface, addresses with prefix length between blanks.
pub type End = (&'static str, &'static str, &'static str);

/// What a network is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Point-to-point links; the hosts are those named here.
    pub links: &'static [[End; 2]],
    /// Routes as `ip route add` takes them, by host.
    pub routes: &'static [(&'static str, &'static str)],
    /// The hosts that forward.
    pub routers: &'static [&'static str],
}

/// A network that exists until it is dropped.
#[derive(Debug)]
pub struct Network {
    plan: Plan,
    hosts: BTreeMap<&'static str, Arc<Host>>,
}

impl Network {
    /// Builds it with one process, and one more for each host.
    pub fn build(plan: &Plan) -> Outcome<Self> {
        let mut names: Vec<_> = plan.links.iter().flatten().map(|end| end.0).collect();
        names.sort_unstable();
        names.dedup();
        batch(&wiring(plan, &names))?;
        let opened =
            names.iter().map(|&name| Ok((name, Arc::new(Host::open(name)?)))).collect::<Outcome<_>>();
        let network = Network { plan: *plan, hosts: opened? };
        network.for_each(|host| configure(plan, host))?;
        Ok(network)
    }

    /// A host by its name.
    pub fn host(&self, name: &str) -> Outcome<Arc<Host>> {
        self.hosts.get(name).cloned().ok_or_else(|| Stop::Failed(format!("there is no host {name}")))
    }

    /// Brings a host's interfaces, addresses and routes back, whatever was done to them.
    pub fn restore(&self, name: &str) -> Outcome {
        configure(&self.plan, self.host(name)?.as_ref())
    }

    /// Does the same on every host, all at once.
    pub fn for_each(&self, work: impl Fn(&Host) -> Outcome + Sync) -> Outcome {
        let work = &work;
        thread::scope(|scope| {
            let workers: Vec<_> = self.hosts.values().map(|host| scope.spawn(move || work(host))).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| failed("a thread of the lab panicked"))
            })
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let lines: String = self.hosts.keys().map(|name| format!("netns del {name}\n")).collect();
        let _ = batch(&lines);
    }
}

fn wiring(plan: &Plan, names: &[&str]) -> String {
    let mut lines = String::new();
    for name in names {
        let _ = writeln!(lines, "netns add {name}");
    }
    for [near, far] in plan.links {
        let _ = writeln!(
            lines,
            "link add {} netns {} type veth peer name {} netns {}",
            near.1, near.0, far.1, far.0
        );
    }
    lines
}

fn configure(plan: &Plan, host: &Host) -> Outcome {
    let mut lines = String::from("link set lo up\n");
    for (_, interface, addresses) in plan.links.iter().flatten().filter(|end| end.0 == host.name()) {
        let _ = writeln!(lines, "link set {interface} up mtu {MTU}");
        addresses.split(' ').for_each(|address| lines.push_str(&add(address, interface)));
    }
    for (_, route) in plan.routes.iter().filter(|(name, _)| *name == host.name()) {
        let _ = writeln!(lines, "route replace {route}");
    }
    if plan.routers.contains(&host.name()) {
        host.set("net/ipv4/ip_forward", "1")?;
        host.set("net/ipv6/conf/all/forwarding", "1")?;
    }
    host.inside(|| batch(&lines))
}

/// Nobody else can have it, so an IPv6 address is there at once.
fn add(address: &str, interface: &str) -> String {
    let at_once = if address.contains(':') { " nodad" } else { "" };
    format!("addr replace {address} dev {interface}{at_once}\n")
}

/// Many commands of `ip` in one process.
pub fn batch(lines: &str) -> Outcome {
    let mut ip = Command::new("ip");
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ip.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => failed(format!("ip -batch: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
