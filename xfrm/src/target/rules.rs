//! What nftables must know.

use std::collections::BTreeSet;

use super::gdoi::gdoi;
use super::{mtu, SMALL_MTU};
use crate::installed::Offload;
use crate::model::{is_named, Aead, Cipher, Family, Gate, Plane, Protection, Sa, SpiBlock};
use crate::nft::{
    GateRules, Interfaces, List, PlaneRules, ProtectRules, Receivable, Restored, Routing, Stash,
};
use crate::object::{Direction, Link};
use crate::Error;

/// Octets of the IV of all ciphers that have blocks of SPIs.
const BLOCK_IV: u32 = Aead::IV_LEN as u32;
/// Octets of the IVs of all ciphers.
const IV_OCTETS: [u32; 2] = [BLOCK_IV, Cipher::IV_LEN as u32];

/// Nothing where the gate is open.
///
/// # Errors
/// Those of [`gdoi`].
pub fn plane_rules(plane: &Plane, links: &[&Link], offload: Offload) -> Result<Option<PlaneRules>, Error> {
    let gate = match &plane.gate {
        Gate::Open => return Ok(None),
        Gate::Closed => GateRules::Closed,
        Gate::Protect(protection) => GateRules::Protect(ProtectRules {
            acl: List::new(&protection.acl),
            mode: protection.mode,
            receivable: receivable(protection),
            spis: spis(protection),
            restored: restored(protection, offload),
            stash: stash(plane, protection, links.first().copied(), offload),
            mss: plane.mss,
        }),
    };
    Ok(Some(PlaneRules {
        slot: plane.slot,
        interfaces: interfaces(plane, links),
        gdoi_out: List::clear(&gdoi(plane, Direction::Outbound)?),
        gdoi_in: List::clear(&gdoi(plane, Direction::Inbound)?),
        clear: List::clear(&plane.clear),
        gate,
    }))
}

fn interfaces(plane: &Plane, links: &[&Link]) -> Interfaces {
    let renamed = links.iter().filter(|link| !is_named(&plane.interface, &link.name));
    Interfaces {
        name: plane.interface.clone(),
        indices: links.iter().map(|link| link.index).collect(),
        renamed: renamed.map(|link| link.index).collect(),
        routing: links.iter().map(|link| link.routing()).find(|one| *one == Routing::Vrf).unwrap_or_default(),
    }
}

fn receivable(protection: &Protection) -> Receivable {
    let shared = protection.inbound.iter().filter(|sa| !protection.is_of_block(sa));
    Receivable { shared: shared.map(|sa| (sa.family, sa.spi)).collect(), blocks: protection.blocks.clone() }
}

fn spis(protection: &Protection) -> BTreeSet<(Family, SpiBlock)> {
    let mut all = BTreeSet::new();
    for family in Family::ALL {
        for iv_octets in IV_OCTETS {
            all.extend(blocks(protection, family, iv_octets).into_iter().map(|spis| (family, spis)));
        }
    }
    all
}

/// By SPI, because nothing else tells the length of the IV. What can be received counts, too: it is what was sent with
/// before the last change, and may be under way to `restore` still.
fn restored(protection: &Protection, offload: Offload) -> Vec<Restored> {
    let mut all = Vec::new();
    for family in Family::ALL.into_iter().filter(|family| offload.restores(*family)) {
        for iv_octets in IV_OCTETS {
            let blocks = blocks(protection, family, iv_octets).into_iter();
            all.extend(blocks.map(|spis| Restored { family, iv_octets, spis }));
        }
    }
    all
}

fn blocks(protection: &Protection, family: Family, iv_octets: u32) -> BTreeSet<SpiBlock> {
    let blocks = if iv_octets == BLOCK_IV { &protection.blocks[..] } else { &[] };
    let sas = protection.inbound.iter().chain(&protection.outbound);
    let sas = sas.filter(|sa| sa.family == family && sa.keys.transform().iv_octets() == iv_octets);
    let single = sas.map(|sa| sa.spi).filter(|spi| !blocks.iter().any(|block| block.contains(*spi)));
    single.map(SpiBlock::only).chain(blocks.iter().copied()).collect()
}

/// The kernel's own threshold (`xfrm_state_mtu`): what fits the MTU goes to esp4_offload, what does not is encrypted
/// earlier. With several SAs the lowest threshold: stashing a packet that did not need it does no harm.
fn stash(plane: &Plane, protection: &Protection, link: Option<&Link>, offload: Offload) -> Stash {
    if !offload.restores(Family::V4) {
        return Stash::Everything;
    }
    let mtu = link.map_or(SMALL_MTU, |link| mtu(link, plane.path_mtu, Family::V4));
    let sas = protection.inbound.iter().chain(&protection.outbound).filter(|sa| sa.family == Family::V4);
    let longest = sas.map(|sa: &Sa| sa.keys.transform().longest_inside(sa.family, mtu));
    Stash::Oversize(longest.min().unwrap_or(mtu))
}
