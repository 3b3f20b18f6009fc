//! Messages in fragments: in order, with those of others, repeated and in disorder, and beside one that never becomes whole.

#[path = "../../../fuzz/src/fragments.rs"]
mod target;

use super::{check, clear, sequence};
use gdoi::fragment::split;
use gdoi::wire::{ExchangeType, PayloadType};

#[test]
fn seeds() {
    let message = clear(ExchangeType::COOP, &[(PayloadType::COOP, &[7; 3_000])]);
    let cut = |id: u16| split(&message, id).unwrap();
    let from = |peer: u8, datagram: &Vec<u8>| [&[peer, 1], &datagram[..]].concat();
    let order: Vec<_> = cut(7).iter().map(|datagram| from(1, datagram)).collect();
    let (first, second) = (cut(8), cut(9));
    let mixed = [&first[2], &second[0], &first[0], &first[0], &second[1], &first[1], &second[2]];
    let mixed: Vec<_> = mixed.map(|datagram| from(2, datagram)).into();
    let late = |datagram: &Vec<u8>| [&[1, u8::MAX], &datagram[..]].concat();
    let beside = [vec![from(0, &first[0])], second.iter().map(late).collect()].concat();
    for (name, datagrams, messages) in [("order", order, 1), ("mixed", mixed, 2), ("beside", beside, 1)] {
        let input = sequence::sequence(datagrams.iter().map(Vec::as_slice));
        check("fragments", name, &input);
        assert_eq!(target::reassemble(sequence::datagrams(&input)), vec![message.clone(); messages]);
    }
}
