//! Senders that a router knows and that never send.

use super::plane::algorithms;
use crate::cell::{Cell, Transform};
use crate::corp;
use crate::daemon::Daemon;
use crate::outcome::{ensure, Outcome};
use crate::topology::batch;

/// So many on each member.
pub const SENDERS: u32 = 1000;
/// Sender IDs that no member of the lab gets.
const FIRST: u32 = 0xf_0000;
/// The bits of an SPI in which a key's senders differ.
const SID_BITS: u32 = 20;
/// The inbound anchor of the first plane.
const ANCHOR: &str = "192.0.0.84";

/// Fills up what a member that hears the other one knows. Its daemon would take out what the group does not have, so it is
/// killed: the kernel goes on without it.
pub fn join(member: &mut Daemon, cell: Cell) -> Outcome {
    if cell.transform == Transform::AesCbc256 {
        return Ok(());
    }
    let keys = corp::states(member.host())?.keys;
    ensure!(keys.len() == 1, "{} has several keys: {keys:?}", member.host().name());
    member.kill()?;
    let spis: Vec<_> =
        keys.iter().flat_map(|key| (FIRST..FIRST + SENDERS).map(move |sid| key << SID_BITS | sid)).collect();
    let (host, known) = (member.host(), spis.iter().map(u32::to_string).collect::<Vec<_>>());
    host.inside(|| batch(&spis.iter().map(|spi| state(*spi, cell.transform)).collect::<String>()))?;
    host.nft(&format!("add element inet gdoi known_0 {{ {} }}\n", known.join(", ")))
}

fn state(spi: u32, transform: Transform) -> String {
    format!(
        "xfrm state add src 0.0.0.0 dst {ANCHOR} proto esp spi {spi} mode tunnel reqid 1 {}\n",
        algorithms(transform)
    )
}
