//! Protected interfaces of other kinds, which come after the daemon.

use super::reach::transfer;
use crate::capture::Capture;
use crate::corp::{self, flow, has_problem, pairs, ping_all, registered, Crossed};
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, KS1, WAN};
use crate::topology::batch;
use serde_json::json;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("vlan", "a VLAN that is made after the daemon's start is protected", vlan),
    Scenario::empty("gre", "so is a GRE tunnel", gre),
];

/// An interface of gm1 towards the core.
#[derive(Clone, Copy, Debug)]
struct Link {
    name: &'static str,
    /// What `ip` does on gm1 and in the core.
    made: [&'static str; 2],
    removed: [&'static str; 2],
}

const VLAN: Link = Link {
    name: "wan.100",
    made: [
        "address del 198.51.100.1/30 dev wan\nlink add link wan name wan.100 type vlan id 100\nlink set wan.100 up\n\
         address add 198.51.100.1/30 dev wan.100\nroute replace default via 198.51.100.2\n",
        "address del 198.51.100.2/30 dev gm1\nlink add link gm1 name gm1.100 type vlan id 100\nlink set gm1.100 up\n\
         address add 198.51.100.2/30 dev gm1.100\nroute replace 10.1.1.0/24 via 198.51.100.1\n",
    ],
    removed: ["link del wan.100\n", "link del gm1.100\n"],
};
const GRE: Link = Link {
    name: "gre-core",
    made: [
        "tunnel add gre-core mode gre local 198.51.100.1 remote 198.51.100.2 ttl 64\nlink set gre-core up\n\
         address add 198.51.101.1/30 dev gre-core\nroute replace default via 198.51.101.2 dev gre-core\n",
        "tunnel add gre-gm1 mode gre local 198.51.100.2 remote 198.51.100.1 ttl 64\nlink set gre-gm1 up\n\
         address add 198.51.101.2/30 dev gre-gm1\nroute replace 10.1.1.0/24 via 198.51.101.1 dev gre-gm1\n",
    ],
    removed: ["link del gre-core\n", "link del gre-gm1\n"],
};

fn vlan(site: &Site) -> Outcome {
    late(site, VLAN)
}

fn gre(site: &Site) -> Outcome {
    late(site, GRE)
}

fn late(site: &Site, link: Link) -> Outcome {
    let done = protected(site, link);
    for (host, lines) in ["gm1", "core"].into_iter().zip(link.removed) {
        // It may not be there yet.
        let _ = site.host(host)?.inside(|| batch(lines));
        site.restore(host)?;
    }
    done
}

fn protected(site: &Site, link: Link) -> Outcome {
    let _key_server = site.key_server("ks1", corp::key_server(KS1))?;
    let mut file = corp::member(&[KS1]);
    file["groups"][0]["interfaces"] = json!([link.name]);
    file["groups"][0]["local-address"] = json!(WAN[0]);
    let late = site.member("gm1", file)?;
    let mut others = [site.member("gm2", corp::member(&[KS1]))?, site.member("gm3", corp::member(&[KS1]))?];
    others.iter_mut().try_for_each(registered)?;
    has_problem(&late, &format!("{} does not exist", link.name))?;
    let mut core = Capture::start(site.host("core")?, &site.places.out, &site.places.next_name("core"))?;
    for (host, lines) in ["gm1", "core"].into_iter().zip(link.made) {
        site.host(host)?.inside(|| batch(lines))?;
    }
    eventually_true("all pairs answer over the new interface", SOON, || Ok(ping_all(site)? == 6))?;
    transfer(site, "")?;
    let crossed = Crossed::sort(core.fresh()?);
    crossed.none_clear()?;
    let flows = crossed.esp_flows();
    ensure!(pairs().all(|(_, from, to)| flows.contains(&flow(from, to))), "the core sees ESP of {flows:?}");
    core.close()
}
