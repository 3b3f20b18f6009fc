//! Every kind of group through changes of its keys.

use crate::cell::Cast::{Multicast, Unicast};
use crate::cell::Family::{V4, V6};
use crate::cell::Transform::{AesCbc256, AesGcm128, AesGcm256, ChaCha20Poly1305};
use crate::cell::{Cast, Cell, Family, Transform};
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{key_server_of, rollovers, Rekeyed, Transport, LIFE};
use crate::scenario::Scenario;
use crate::site::Site;
use crate::vectors::Vectors;
use std::time::Duration;

/// What every run shows.
pub const SCENARIOS: &[Scenario] = &[
    cell("matrix-aes-256-cbc-ipv4-unicast", AesCbc256, V4, Unicast),
    cell("matrix-aes-256-gcm-ipv4-unicast", AesGcm256, V4, Unicast),
    cell("matrix-aes-256-gcm-ipv6-multicast", AesGcm256, V6, Multicast),
    cell("matrix-chacha20-poly1305-ipv6-unicast", ChaCha20Poly1305, V6, Unicast),
];

/// All other cells.
pub const OTHERS: &[Scenario] = &[
    cell("matrix-aes-256-gcm-ipv4-multicast", AesGcm256, V4, Multicast),
    cell("matrix-aes-256-gcm-ipv6-unicast", AesGcm256, V6, Unicast),
    cell("matrix-aes-128-gcm-ipv4-unicast", AesGcm128, V4, Unicast),
    cell("matrix-aes-128-gcm-ipv4-multicast", AesGcm128, V4, Multicast),
    cell("matrix-aes-128-gcm-ipv6-unicast", AesGcm128, V6, Unicast),
    cell("matrix-aes-128-gcm-ipv6-multicast", AesGcm128, V6, Multicast),
    cell("matrix-chacha20-poly1305-ipv4-unicast", ChaCha20Poly1305, V4, Unicast),
    cell("matrix-chacha20-poly1305-ipv4-multicast", ChaCha20Poly1305, V4, Multicast),
    cell("matrix-chacha20-poly1305-ipv6-multicast", ChaCha20Poly1305, V6, Multicast),
    cell("matrix-aes-256-cbc-ipv4-multicast", AesCbc256, V4, Multicast),
    cell("matrix-aes-256-cbc-ipv6-unicast", AesCbc256, V6, Unicast),
    cell("matrix-aes-256-cbc-ipv6-multicast", AesCbc256, V6, Multicast),
];

const fn cell(name: &'static str, transform: Transform, family: Family, cast: Cast) -> Scenario {
    let about = "keys change under streams: nothing is lost or clear, no vector comes twice";
    Scenario::of_cell(name, about, rekeyed, Cell { transform, family, cast })
}

/// Nothing is lost, clear or repeated while keys change.
fn rekeyed(site: &Site, cell: Cell) -> Outcome {
    let times = rollovers();
    let mut vectors = Vectors::watch(site, cell.transform)?;
    let config = key_server_of(site, Transport::Unicast, cell)?;
    let group = Rekeyed::of(site, Transport::Unicast, config, cell)?;
    let limit = LIFE * (times as u32 + 1) + Duration::from_secs(60);
    eventually_true(&format!("{times} changes of the key in the core"), limit, || {
        vectors.look()?;
        Ok(group.watch.generations_of(cell)? > times)
    })?;
    group.never_registered_again()?;
    let (spis, anchors) = (group.watch.spis()?.len(), group.watch.anchors()?);
    ensure!(anchors == 0, "{anchors} packets to or from an anchor address in the core");
    let numbers = group.finish()?;
    println!("   {numbers}; {spis} SPIs, {} vectors, none twice", vectors.close()?);
    Ok(())
}
