//! The rules that nft and this kernel know.

use super::{Problem, Uses};
use crate::model::{
    Ace, Action, Aead, Cipher, Family, Lane, Mode, Ports, Prefix, Selector, Side, Slot, Spi, SpiBlock,
};
use crate::nft::{
    self, Border, GateRules, Interfaces, List, PlaneRules, ProtectRules, Receivable, Restored, Routing,
    Stash, Table, Tables,
};
use crate::queue::Queue;
use crate::Error;

/// What the kernel answers when another process has the queue: the capability has been looked at before.
const TAKEN: [i32; 2] = [EPERM, EBUSY];
const EPERM: i32 = 1;
const EBUSY: i32 = 16;
const TCP: u8 = 6;

const MSS: u16 = 1300;

/// Asks nft, as a dry run, for a table with every kind of rule; then for one that also asks the agent about senders.
pub fn problems(uses: Uses) -> Vec<Problem> {
    let whole = try_rules(Vec::new(), Some(MSS));
    let unused = !uses.mss && whole.is_err() && try_rules(Vec::new(), None).is_ok();
    match whole {
        Err(error) if unused => {
            vec![Problem::Warning(format!(
                "`mss-clamp` cannot be used: nftables cannot hold its rules: {error}"
            ))]
        }
        Err(Error::NftMissing(error)) => {
            vec![Problem::Fatal(format!("the program nft cannot be run: {error}"))]
        }
        Err(error) => vec![Problem::Fatal(format!("nftables cannot hold the rules: {error}"))],
        Ok(()) => on_demand().into_iter().chain(at_links()).collect(),
    }
}

/// Where there is a flowtable.
fn at_links() -> Option<Problem> {
    let there_are_any =
        Tables::open().and_then(|mut tables| tables.flowtables()).is_ok_and(|all| !all.is_empty());
    let border = Border::new(&[plane(Vec::new(), None).ok()?], &["lo".to_owned()].into());
    let error = border.filter(|_| there_are_any).and_then(|border| nft::check_border(&border).err())?;
    Some(Problem::Warning(format!(
        "there is a flowtable, and this kernel cannot hold back what it forwards (Linux 5.16 can): {error}"
    )))
}

/// Another process may have the queue: the agent.
fn on_demand() -> Option<Problem> {
    let refused = try_rules(SpiBlock::new(Spi(0x1_0000), 16).into_iter().collect(), None).err();
    let error = refused.or_else(|| Queue::open().err().filter(|error| !is_taken(error)))?;
    Some(Problem::Warning(format!(
        "transforms with a key for each sender cannot be used: the kernel has no packet queue (modules nft_queue and \
         nfnetlink_queue): {error}"
    )))
}

fn is_taken(error: &Error) -> bool {
    match error {
        Error::Refused(_, error) => error.raw_os_error().is_some_and(|number| TAKEN.contains(&number)),
        _ => false,
    }
}

fn try_rules(blocks: Vec<SpiBlock>, mss: Option<u16>) -> Result<(), Error> {
    Table::new(&[plane(blocks, mss)?]).map_or(Ok(()), |table| nft::check(&table))
}

/// With rules of all kinds.
fn plane(blocks: Vec<SpiBlock>, mss: Option<u16>) -> Result<PlaneRules, Error> {
    let acl = [entries(Family::V4)?, entries(Family::V6)?].concat();
    let selectors: Vec<_> = acl.iter().map(|ace| ace.selector).collect();
    let restored = |family| {
        let iv_octets = [Aead::IV_LEN as u32, Cipher::IV_LEN as u32];
        iv_octets.map(|iv_octets| Restored { family, iv_octets, spis: SpiBlock::only(Spi(256)) })
    };
    Ok(PlaneRules {
        slot: Slot::LAST,
        interfaces: Interfaces {
            name: "lo".into(),
            indices: [1].into(),
            renamed: [1].into(),
            routing: Routing::Main,
        },
        gdoi_out: List::clear(&selectors),
        gdoi_in: List::clear(&selectors),
        clear: List::clear(&selectors),
        gate: GateRules::Protect(ProtectRules {
            acl: List::new(&acl),
            mode: Mode::Strict,
            receivable: Receivable { shared: vec![(Family::V4, Spi(256))], blocks },
            restored: Family::ALL.map(restored).concat(),
            spis: Family::ALL.map(|family| (family, SpiBlock::only(Spi(256)))).into(),
            stash: Stash::Oversize(1400),
            mss,
        }),
    })
}

/// One entry of each shape, and two that share a set.
fn entries(family: Family) -> Result<Vec<Ace>, Error> {
    let any = Side::from(Prefix::any(family));
    let ports = (Side { ports: Some(Ports::one(1)), ..any }, Side { ports: Ports::new(2, 9), ..any });
    let [inside, outside] =
        [Slot::LAST.inbound_anchor(family), Slot::LAST.outbound_anchor(family, Lane::Unicast)]
            .map(|anchor| Side::from(Prefix::host(anchor)));
    let selectors = [
        Selector::new(None, any, any)?,
        Selector::new(Some(TCP), ports.0, ports.1)?,
        Selector::new(None, inside, inside)?,
        Selector::new(None, outside, outside)?,
    ];
    let actions = [Action::Deny, Action::Permit];
    Ok(actions.into_iter().flat_map(|action| selectors.map(|selector| Ace { action, selector })).collect())
}
