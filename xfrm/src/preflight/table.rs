//! The rules that nft and this kernel know.

use super::Problem;
use crate::model::{Ace, Action, Family, Lane, Mode, Ports, Prefix, Selector, Slot, Spi, SpiBlock};
use crate::nft::{self, GateRules, List, PlaneRules, ProtectRules, Receivable, Restored, Stash, Table};
use crate::object::Direction;
use crate::queue::Queue;
use crate::Error;

/// What the kernel answers when another process has the queue: the capability has been looked at before.
const TAKEN: [i32; 2] = [EPERM, EBUSY];
const EPERM: i32 = 1;
const EBUSY: i32 = 16;

/// Asks nft, as a dry run, for a table with every kind of rule; then for one that also asks the agent about senders.
pub fn problems() -> Vec<Problem> {
    match refusal(Vec::new()) {
        Some(Error::NftMissing(error)) => {
            vec![Problem::Fatal(format!("the program nft cannot be run: {error}"))]
        }
        Some(error) => vec![Problem::Fatal(format!("nftables cannot hold the rules: {error}"))],
        None => on_demand().into_iter().collect(),
    }
}

/// Another process may have the queue: the agent.
fn on_demand() -> Option<Problem> {
    let error = refusal(SpiBlock::new(Spi(0x1_0000), 16).into_iter().collect())
        .or_else(|| Queue::open().err().filter(|error| !is_taken(error)))?;
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

fn refusal(blocks: Vec<SpiBlock>) -> Option<Error> {
    let acl = Family::ALL.map(entries).concat();
    let selectors: Vec<_> = acl.iter().map(|ace| ace.selector).collect();
    let restored =
        |family| [8, 16].map(|iv_octets| Restored { family, iv_octets, spis: SpiBlock::only(Spi(256)) });
    let plane = PlaneRules {
        slot: Slot::LAST,
        interface: "lo".into(),
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
            mss: Some(1300),
        }),
    };
    let table = Table::new(&[plane])?;
    nft::check(&table).err()
}

/// One entry of each shape, and two that share a set.
fn entries(family: Family) -> Vec<Ace> {
    let any = Selector::between(Prefix::any(family), Prefix::any(family));
    let ports = Selector { source_ports: Some(Ports::only(1)), destination_ports: Ports::new(2, 9), ..any };
    let tcp = Selector { protocol: Some(6), ..ports };
    let host = |direction: Direction| {
        let host = Prefix::host(match direction {
            Direction::Inbound => Slot::LAST.inbound_anchor(family),
            Direction::Outbound => Slot::LAST.outbound_anchor(family, Lane::Unicast),
        });
        Selector::between(host, host)
    };
    let actions = [Action::Deny, Action::Permit];
    let selectors = [any, ports, tcp, host(Direction::Inbound), host(Direction::Outbound)];
    actions.into_iter().flat_map(|action| selectors.map(|selector| Ace { action, selector })).collect()
}
