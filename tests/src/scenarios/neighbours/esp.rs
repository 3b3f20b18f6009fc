//! ESP of others on the protected interface.

use crate::corp::{ping_all, Corp};
use crate::eventually::eventually;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, OUTSIDE, WAN};
use crate::stream::Streams;
use crate::topology::batch;
use crate::watch::Watch;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::registered(
    "foreign-esp",
    "ESP of somebody else whose SPI is one of the group's million goes where it is meant to go",
    foreign,
)];

const KEY: &str = "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128";
/// The low bits of an SPI of the group that no member has.
const NOBODY: u32 = 0xf_1234;

fn foreign(site: &Site, _corp: &mut Corp) -> Outcome {
    let (gm1, outside) = (site.host("gm1")?, site.host("outside")?);
    ensure!(ping_all(site)? == 6, "not all pairs answer");
    let watch = Watch::start(site)?;
    let streams = Streams::start(site)?;
    let spi = eventually("ESP of the group crosses the core", SOON, || {
        Ok(watch.spis()?.first().map(|spi| spi & !0xf_ffff | NOBODY))
    })?;
    let states = format!(
        "xfrm state add src {OUTSIDE} dst {} proto esp spi {spi:#x} reqid 7 mode transport {KEY}\n\
         xfrm state add src {} dst {OUTSIDE} proto esp spi 0x1234 reqid 7 mode transport {KEY}\n",
        WAN[0], WAN[0]
    );
    let policies = |out: &str, inward: &str| {
        format!(
            "xfrm policy add dir {out} src {OUTSIDE} dst {} tmpl proto esp reqid 7 mode transport\n\
             xfrm policy add dir {inward} src {} dst {OUTSIDE} tmpl proto esp reqid 7 mode transport\n",
            WAN[0], WAN[0]
        )
    };
    gm1.inside(|| batch(&(states.clone() + &policies("in", "out"))))?;
    outside.inside(|| batch(&(states.clone() + &policies("out", "in"))))?;
    let answers = outside.ping(WAN[0]);
    for host in [gm1, outside] {
        for (from, to, spi) in [(OUTSIDE, WAN[0], spi), (WAN[0], OUTSIDE, 0x1234)] {
            host.run(&format!("ip xfrm state delete src {from} dst {to} proto esp spi {spi:#x}"))?;
            for hook in ["in", "out"] {
                host.run(&format!("ip xfrm policy delete dir {hook} src {from} dst {to}"))?;
            }
        }
    }
    let answers = answers?;
    ensure!(answers == 3, "{answers} of 3 requests under the SPI {spi:#x} of somebody else were answered");
    streams.end(watch)?.all_arrived()
}
