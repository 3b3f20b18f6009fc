//! The data plane by hand, with one key on two members. When this fails, the kernel or the lab is at fault, not a daemon.

use crate::capture::Capture;
use crate::corp::{flow, states, Crossed};
use crate::host::Host;
use crate::outcome::{ensure, failed, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, MEMBERS, WAN};
use crate::topology::batch;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "kernel",
    "by hand, without our daemons: this kernel can do it, and the lab sees it",
    by_hand,
)];

const SPI: u32 = 0x8480_0001;
const INNER: &str = "192.0.0.84";
const OUTER: &str = "192.0.0.85";
const KEYS: &str = "enc cbc(aes) 0x000102030405060708090a0b0c0d0e0f \
    auth-trunc hmac(sha256) 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 128";

fn by_hand(site: &Site) -> Outcome {
    let mut core = Capture::start(site.host("core")?, &site.places.out, &site.places.next_name("core"))?;
    for (name, address) in MEMBERS.into_iter().zip(WAN).take(2) {
        install(site.host(name)?.as_ref(), address)?;
    }
    let answers = site.host(HOSTS[0].0)?.ping(HOSTS[1].1)?;
    let crossed = Crossed::sort(core.fresh()?);
    crossed.none_clear()?;
    ensure!(answers == 3, "{answers} of 3 requests were answered");
    let (one, two) = (HOSTS[0].1, HOSTS[1].1);
    let wanted = BTreeSet::from([flow(one, two), flow(two, one)]);
    ensure!(crossed.esp_flows() == wanted, "the core sees ESP of {:?}", crossed.esp_flows());
    ensure!(crossed.esp.iter().all(|packet| packet.spi() == Some(SPI)), "the SPI is not {SPI:#x}");
    let found = states(site.host("gm1")?.as_ref())?;
    ensure!(found.are_of_one_key(), "gm1 has {found:?}");
    core.close()
}

fn install(member: &Host, address: Ipv4Addr) -> Outcome {
    let inner = format!("tmpl src 0.0.0.0 dst {INNER} proto esp reqid 848 mode tunnel level use");
    let policy = "xfrm policy add src 10.0.0.0/8 dst 10.0.0.0/8";
    let state = format!("proto esp spi {SPI} reqid 848 mode tunnel {KEYS}");
    let lines = format!(
        "route add local {INNER}/32 dev lo\nroute add {OUTER}/32 dev wan scope link\n\
         xfrm state add src {address} dst {OUTER} {state}\nxfrm state add src 0.0.0.0 dst {INNER} {state}\n\
         {policy} dev wan dir out priority 100 tmpl src {address} dst {OUTER} proto esp reqid 848 mode tunnel\n\
         {policy} dir fwd priority 100 {inner}\n{policy} dir in priority 100 {inner}\n"
    );
    member.inside(|| batch(&lines).and_then(|()| nft(&rules())))
}

fn rules() -> String {
    format!(
        "table inet lab {{
           chain restore {{ type route hook output priority raw;
             ip daddr {OUTER} ip protocol esp ip saddr set @th,288,32 ip daddr set @th,320,32; }}
           chain inbound {{ type filter hook prerouting priority raw;
             iifname wan ip protocol esp esp spi {SPI} ip daddr set {INNER}; }}
         }}\n"
    )
}

fn nft(rules: &str) -> Outcome {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(rules.as_bytes())?;
    }
    match nft.wait()?.success() {
        true => Ok(()),
        false => failed("nft refused the rules"),
    }
}
