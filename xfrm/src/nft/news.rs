//! What the kernel tells of changes of nftables: a message for each object that comes or goes, with the name of its table,
//! and at the end of a transaction the number of the rules. So transactions that do not concern the table cost nothing,
//! however many there are.

use std::io;

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::flowtables::{DELETE_FLOWTABLE, NEW_FLOWTABLE};
use super::generation::{read_id, Generation, NEW_GENERATION};
use super::known::{DELETE_ELEMENTS, INET, NETDEV, NEW_ELEMENTS, NFTABLES};
use crate::netfilter::{attributes, kind};
use crate::socket::Socket;

const NFNLGRP_NFTABLES: u32 = 7;
/// The name of the table in messages about whatever is in one (NFTA_TABLE_NAME, NFTA_RULE_TABLE and so on).
const TABLE: u16 = 1;
/// The kernel puts as many messages into a datagram as fit a page or two.
const DATAGRAM: usize = 65_536;
/// Datagrams that are read at a time.
const AT_A_TIME: usize = 10_000;
/// Touches that are remembered; who waits for more has waited too long anyway.
const TOUCHES: usize = 64;

/// An ear for the table.
pub struct News {
    socket: Socket,
    /// The transactions that changed the table itself.
    touches: Vec<Generation>,
    /// Whether the transaction that is being told of has changed it.
    begun: bool,
    lost: bool,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The table, a chain, a rule, a set: something that it consists of.
    Ours,
    /// Elements of its sets, which come and go.
    Elements,
    /// A flowtable of somebody else.
    Flowtable,
    /// What was told before was this transaction's.
    End(Generation),
    /// Something else.
    Other,
}

/// What has been heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether anything of the table was told of, its elements, too, or of a flowtable.
    pub concerns: bool,
}

impl News {
    /// Listens from now on; none without the right to.
    pub fn open() -> Option<Self> {
        let socket = Socket::listen(NETLINK_NETFILTER, NFNLGRP_NFTABLES).ok()?;
        Some(Self { socket, touches: Vec::new(), begun: false, lost: false })
    }

    /// Takes what there is.
    pub fn take(&mut self) -> Heard {
        let mut heard = Heard::default();
        let mut datagram = vec![0; DATAGRAM];
        for _ in 0..AT_A_TIME {
            match self.socket.receive_datagram(&mut datagram) {
                Ok(Some(length)) if length <= DATAGRAM => {
                    words(&datagram[..length]).into_iter().for_each(|word| self.note(word, &mut heard));
                }
                Ok(None) => return heard,
                // Longer than anything that the kernel sends, or some were lost (ENOBUFS).
                Ok(Some(_)) | Err(_) => self.lose(&mut heard),
            }
        }
        self.lose(&mut heard);
        heard
    }

    /// The transactions since that one which changed what the table consists of, as far as they are told of to their end;
    /// none when it is not known.
    pub fn since(&self, then: Generation) -> Option<usize> {
        let later = self.touches.iter().filter(|touch| touch.is_later_than(then)).count();
        (!self.lost && !self.begun && later < TOUCHES).then_some(later)
    }

    /// The table is known as it is in that transaction: what was before does not matter any more.
    pub fn forget_before(&mut self, then: Generation) {
        self.touches.retain(|touch| touch.is_later_than(then));
        self.lost = false;
    }

    fn lose(&mut self, heard: &mut Heard) {
        self.lost = true;
        heard.concerns = true;
    }

    fn note(&mut self, word: Word, heard: &mut Heard) {
        heard.concerns |= matches!(word, Word::Ours | Word::Elements | Word::Flowtable);
        match word {
            Word::Ours => self.begun = true,
            Word::End(generation) => {
                if std::mem::take(&mut self.begun) && self.touches.len() < TOUCHES {
                    self.touches.push(generation);
                }
            }
            Word::Elements | Word::Flowtable | Word::Other => {}
        }
    }
}

/// What the messages of a datagram say; one that is damaged may be about anything.
fn words(mut octets: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    while !octets.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(octets) else {
            words.push(Word::Ours);
            break;
        };
        words.push(word(message.message_type(), message.payload()).unwrap_or(Word::Ours));
        let aligned = (message.length() as usize).next_multiple_of(4).min(octets.len());
        octets = &octets[aligned..];
    }
    words
}

fn word(message: u16, payload: &[u8]) -> io::Result<Word> {
    if message == kind(NFTABLES, NEW_GENERATION) {
        return Ok(read_id(payload)?.map_or(Word::Other, Word::End));
    }
    let table = attributes(payload)?.into_iter().find(|(kind, _)| *kind == TABLE);
    let family = payload.first().is_some_and(|family| [INET, NETDEV].contains(family));
    let is_ours = family && table.is_some_and(|(_, name)| name == b"gdoi\0");
    let [elements, flowtables] = [[NEW_ELEMENTS, DELETE_ELEMENTS], [NEW_FLOWTABLE, DELETE_FLOWTABLE]]
        .map(|numbers| numbers.map(|number| kind(NFTABLES, number)));
    Ok(match is_ours {
        false if flowtables.contains(&message) => Word::Flowtable,
        false => Word::Other,
        true if elements.contains(&message) => Word::Elements,
        true => Word::Ours,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::{Attributes, Message};
    use netlink_packet_core::NetlinkSerializable;

    const NEW_RULE: u8 = 6;

    fn datagram(messages: &[(u8, u8, Attributes)]) -> Vec<u8> {
        let mut octets = Vec::new();
        for (number, family, attributes) in messages {
            let message = Message::new(kind(NFTABLES, *number), *family, 0, attributes);
            let mut payload = vec![0; message.buffer_len()];
            message.serialize(&mut payload);
            octets.extend((payload.len() as u32 + 16).to_ne_bytes());
            octets.extend(message.message_type().to_ne_bytes());
            octets.extend([0; 10]);
            octets.extend(payload);
        }
        octets
    }

    fn of(table: &str) -> Attributes {
        Attributes::default().with_text(TABLE, table)
    }

    fn end(number: u32) -> Attributes {
        Attributes::default().with(1, &number.to_be_bytes())
    }

    #[test]
    fn only_our_own_table_is_of_interest() {
        let octets = datagram(&[
            (NEW_RULE, INET, of("gdoi")),
            (NEW_RULE, 2, of("gdoi")),
            (NEW_RULE, INET, of("gdoi2")),
            (NEW_ELEMENTS, INET, of("gdoi")),
            (NEW_ELEMENTS, INET, of("docker")),
            (NEW_RULE, NETDEV, of("gdoi")),
            (NEW_FLOWTABLE, INET, of("docker")),
            (NEW_GENERATION, 0, end(77)),
        ]);
        let ended = Word::End(Generation::of(77));
        assert_eq!(
            words(&octets),
            [
                Word::Ours,
                Word::Other,
                Word::Other,
                Word::Elements,
                Word::Other,
                Word::Ours,
                Word::Flowtable,
                ended
            ]
        );
        assert_eq!(words(&octets[..octets.len() - 1]).last(), Some(&Word::Ours));
        (0..octets.len()).for_each(|length| drop(words(&octets[..length])));
    }

    #[test]
    fn transactions_are_counted_that_changed_the_table() {
        let Ok(socket) = Socket::open(NETLINK_NETFILTER) else { return };
        let mut news = News { socket, touches: Vec::new(), begun: false, lost: false };
        let mut hear = |words: &[Word]| {
            let mut heard = Heard::default();
            words.iter().for_each(|word| news.note(*word, &mut heard));
            (heard.concerns, news.since(Generation::of(5)))
        };
        let ended = |number| Word::End(Generation::of(number));
        assert_eq!(hear(&[Word::Other, ended(6)]), (false, Some(0)));
        assert_eq!(hear(&[Word::Elements, ended(7)]), (true, Some(0)));
        assert_eq!(hear(&[Word::Flowtable]), (true, Some(0)));
        assert_eq!(hear(&[Word::Ours]), (true, None));
        assert_eq!(hear(&[ended(8), Word::Other, ended(9)]), (false, Some(1)));
        news.forget_before(Generation::of(8));
        assert_eq!(news.since(Generation::of(5)), Some(0));
        news.lose(&mut Heard::default());
        assert_eq!(news.since(Generation::of(8)), None);
    }
}
