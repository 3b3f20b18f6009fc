//! A link in the core that carries less than all others.

use super::reach::transfer;
use crate::corp::{Corp, Crossed};
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::site::{Site, HOSTS};

/// From the core to gm2; back it is wide.
const MTU: u16 = 1400;
const WIDE: u16 = 1472;

/// TCP finds the way, whatever its segments were at first.
pub fn tcp(site: &Site, corp: &mut Corp) -> Outcome {
    narrowed(site, corp, |site, _| {
        transfer(site, "")?;
        transfer(site, "--set-mss 1460")
    })
}

/// A large request that may not be fragmented is lost once at most, and then its sender knows an MTU that fits.
pub fn requests(site: &Site, corp: &mut Corp) -> Outcome {
    narrowed(site, corp, |site, corp| {
        let (h1, (_, h2)) = (site.host("h1")?, HOSTS[1]);
        eventually_true("the sender is told an MTU below that of the narrow link", SOON, || {
            let answer = h1.run(&format!("ping -n -M do -c 1 -W 1 -s {WIDE} {h2}"))?;
            let said = answer.stdout + &answer.stderr;
            let mtu = said.split("mtu").nth(1).and_then(|rest| {
                rest.trim_matches(|sign: char| !sign.is_ascii_digit())
                    .split(|sign: char| !sign.is_ascii_digit())
                    .next()?
                    .parse::<u16>()
                    .ok()
            });
            Ok(mtu.is_some_and(|mtu| mtu < MTU))
        })?;
        corp.core.fresh()?;
        let answer = h1.must(&format!("ping -n -M dont -c 1 -W 2 -s 3000 {h2}"))?;
        ensure!(answer.contains(" 1 received"), "3,000 octets that may be fragmented were not answered");
        Ok(())
    })
}

fn narrowed(site: &Site, corp: &mut Corp, work: impl FnOnce(&Site, &mut Corp) -> Outcome) -> Outcome {
    corp.core.fresh()?;
    site.host("core")?.must(&format!("ip link set gm2 mtu {MTU}"))?;
    let done = work(site, corp);
    site.restore("core")?;
    site.host("h1")?.must("ip route flush cache")?;
    done?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}
