//! What is copied to the outer header.

use crate::corp::{Corp, Crossed};
use crate::host::answers;
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS};

/// What this file shows.
pub const SCENARIOS: &[Scenario] =
    &[Scenario::registered("dscp", "the class outside is the class inside, on fragments, too", dscp)];

/// Expedited forwarding, and another one, as the octet of DSCP and ECN.
const CLASSES: [u8; 2] = [0xb8, 0x28];
/// Octets of data in an echo request that fits, and in one that comes in fragments.
const SIZES: [u16; 2] = [56, 3000];

fn dscp(site: &Site, corp: &mut Corp) -> Outcome {
    let (h1, (_, h2)) = (site.host("h1")?, HOSTS[1]);
    corp.core.fresh()?;
    for class in CLASSES {
        for size in SIZES {
            let line = format!("ping -n -c 3 -i 0.2 -W 2 -M dont -s {size} -Q {class} {h2}");
            let answered = answers(&h1.run(&line)?.stdout);
            ensure!(answered == 3, "{answered} of 3 requests of {size} octets were answered");
            let crossed = Crossed::sort(corp.core.fresh()?);
            crossed.none_clear()?;
            let requests: Vec<_> = crossed.esp.iter().filter(|packet| packet.destination == h2).collect();
            let wrong = requests.iter().find(|packet| packet.traffic_class != class);
            ensure!(wrong.is_none(), "of class {class:#x} came out {wrong:?}");
            let fragments = requests.iter().filter(|packet| packet.fragment).count();
            ensure!(!requests.is_empty() && (fragments > 0) == (size > 1500), "{size} octets: {requests:?}");
        }
    }
    Ok(())
}
