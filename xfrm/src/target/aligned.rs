//! Selectors that the kernel can express: its policies have a port and a mask where an entry has a range.

use crate::model::{Ports, Selector};
use crate::object::KernelSelector;
use crate::Error;

/// An entry that needs more policies than this is refused.
const MOST: usize = 256;

/// The fewest selectors of the kernel that together match what `selector` matches.
///
/// # Errors
/// They are too many.
pub fn aligned(selector: &Selector) -> Result<Vec<KernelSelector>, Error> {
    let (source, destination) = (selector.source(), selector.destination());
    let (sources, destinations) = (blocks(source.ports), blocks(destination.ports));
    let count = sources.len() * destinations.len();
    if count > MOST {
        return Err(Error::Unusable(format!(
            "the entry `{selector}` would take {count} policies in the kernel, more than {MOST}: give one of its sides \
             no range or one that begins and ends at multiples of a power of two, as 49152 to 65535 does"
        )));
    }
    let between = KernelSelector {
        protocol: selector.protocol(),
        ..KernelSelector::between(source.prefix, destination.prefix)
    };
    let ports = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
    let all = ports.map(|(source_ports, destination_ports)| KernelSelector {
        source_ports,
        destination_ports,
        ..between
    });
    Ok(all.collect())
}

/// At most 30. Each is the largest block that may begin where the one before ended.
pub fn blocks(ports: Option<Ports>) -> Vec<Option<Ports>> {
    let Some(ports) = ports else { return vec![None] };
    let (mut next, last) = (u32::from(ports.first()), u32::from(ports.last()));
    let mut blocks = Vec::new();
    while next <= last {
        let alignment = if next == 0 { 16 } else { next.trailing_zeros() };
        let length = 1 << alignment.min((last - next + 1).ilog2());
        // All ports are none in particular.
        let whole = length == 1 << 16;
        blocks.push(Ports::new(next as u16, (next + length - 1) as u16).filter(|_| !whole));
        next += length;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Prefix};

    #[test]
    fn a_range_is_covered_exactly_once_by_blocks_that_a_mask_can_express() {
        for (first, last, count) in
            [(22, 22, 1), (0, 1023, 1), (1024, 65535, 6), (1, 65534, 30), (6000, 6063, 3), (65535, 65535, 1)]
        {
            let blocks: Vec<_> = blocks(Ports::new(first, last)).into_iter().flatten().collect();
            assert_eq!(blocks.len(), count, "{first} to {last}");
            let mut next = u32::from(first);
            for block in blocks {
                let length = u32::from(block.last()) + 1 - next;
                assert_eq!(u32::from(block.first()), next);
                assert!(length.is_power_of_two() && next % length == 0, "{block}");
                next += length;
            }
            assert_eq!(next, u32::from(last) + 1);
        }
        assert_eq!(blocks(Ports::new(0, 65535)), [None]);
    }

    #[test]
    fn ranges_on_both_sides_multiply_until_they_are_too_many() {
        let policies = |text: &str| aligned(&text.parse().unwrap());
        let any = Prefix::any(Family::V4);
        assert_eq!(policies("ip any any").unwrap(), [KernelSelector::between(any, any)]);
        let tcp = KernelSelector { protocol: Some(6), ..KernelSelector::between(any, any) };
        assert_eq!(policies("tcp any any").unwrap(), [tcp]);
        for protocol in ["tcp", "udp"] {
            let policies = |ports: &str| policies(&format!("{protocol} any {ports}"));
            assert_eq!(policies("gt 1023 any range 6000 6063").unwrap().len(), 18);
            assert_eq!(policies("gt 1023 any range 1 65534").unwrap().len(), 180);
            let refused = policies("range 1 65534 any range 1 65534").unwrap_err().to_string();
            let entry = format!("the entry `{protocol} any range 1 65534 any range 1 65534` would take 900");
            assert!(refused.starts_with(&entry), "{refused}");
        }
    }
}
