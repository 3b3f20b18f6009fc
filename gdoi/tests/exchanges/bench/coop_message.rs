//! What cooperating key servers send each other, by the documented layout: to change it anywhere, and to make it anew.

use gdoi::policy::Identity;
use gdoi::wire::Identification;
use std::net::IpAddr;

/// Where the fields of an announcement begin.
pub mod at {
    pub const KIND: usize = 0;
    pub const FORMAT: usize = 1;
    pub const GROUP: usize = 4;
    pub const LINEAGE: usize = 8;
    pub const PSEUDOTIME: usize = 16;
    pub const EPOCH: usize = 24;
    pub const ROLE: usize = 32;
    pub const SUCCESSOR: usize = 40;
    pub const REIGN: usize = 56;
    pub const REIGN_EPOCH: usize = 72;
    pub const HEARTBEAT: usize = 80;
    pub const VERSIONS: usize = 157;
}

pub const ANNOUNCEMENT: u8 = 1;
pub const STATE: u8 = 2;
pub const MEMBERS: u8 = 3;

/// The message with these octets there.
pub fn patched(message: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut changed = message.to_vec();
    changed[at..at + octets.len()].copy_from_slice(octets);
    changed
}

pub fn number(message: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(message[at..at + 8].try_into().unwrap())
}

/// The first list of versions in an announcement: the changes in the keys.
pub fn versions_of(announcement: &[u8]) -> Vec<(u64, u64)> {
    let list = &announcement[at::VERSIONS..];
    let entries = list[1..1 + usize::from(list[0]) * 16].chunks(16);
    entries.map(|entry| (number(entry, 0), number(entry, 8))).collect()
}

fn versions(list: &[(u64, u64)], out: &mut Vec<u8>) {
    out.push(list.len() as u8);
    for (author, number) in list {
        out.extend_from_slice(&author.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// The front of a message of any kind: head, lineage and what stands in the place of the pseudotime.
fn front(like: &[u8], kind: u8, third: u64) -> Vec<u8> {
    let mut out = patched(&like[..at::PSEUDOTIME], at::KIND, &[kind]);
    out.extend_from_slice(&third.to_be_bytes());
    out
}

/// An address as all messages have it.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn counted(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

/// A state with the lists that can be wrong.
#[derive(Clone)]
pub struct State {
    pub versions: Vec<(u64, u64)>,
    pub rekeys: u64,
    pub teks: Vec<Tek>,
    pub ended: u16,
    pub keks: u8,
    pub kek_len: usize,
    pub sequence: u32,
    pub succession: u8,
    pub revoked: u32,
    /// As in the ACL payload.
    pub acl: Vec<u8>,
    pub delay: u64,
}

#[derive(Clone)]
pub struct Tek {
    pub spi: u32,
    pub transform: &'static str,
    pub key_len: usize,
    pub expires: u64,
}

impl State {
    /// A sound one with the changes of these authors.
    pub fn sound(versions: Vec<(u64, u64)>) -> State {
        State {
            versions,
            rekeys: 3,
            teks: vec![Tek::sound(0x7777)],
            ended: 1,
            keks: 1,
            kek_len: 48,
            sequence: 7,
            succession: 0,
            revoked: 1,
            acl: vec![1, 0, 0, 1, 0, 0, 8, 8, 10, 10],
            delay: 5_000,
        }
    }

    /// Sent with the head and the lineage of `announcement` at this pseudotime.
    pub fn emit(&self, announcement: &[u8], pseudotime: u64) -> Vec<u8> {
        let mut out = front(announcement, STATE, pseudotime);
        out.extend_from_slice(&announcement[at::LINEAGE..at::PSEUDOTIME]);
        versions(&self.versions, &mut out);
        out.extend_from_slice(&self.rekeys.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        self.keys(&mut out);
        out.extend_from_slice(&self.revoked.to_be_bytes());
        let address = |number: u32| IpAddr::from((0xcb00_0000 + number).to_be_bytes());
        (0..self.revoked).for_each(|number| out.extend_from_slice(&mapped(address(number))));
        // No generation of sender IDs, no grantor, no places.
        out.extend_from_slice(&[0; 12 + 8 + 1 + 4 + 8]);
        self.terms(&mut out);
        out
    }

    fn keys(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.teks.len() as u16).to_be_bytes());
        self.teks.iter().for_each(|tek| out.extend_from_slice(&tek.emit()));
        out.extend_from_slice(&self.ended.to_be_bytes());
        (0..self.ended).for_each(|number| {
            out.extend_from_slice(&(0x9999 + u32::from(number)).to_be_bytes());
            out.extend_from_slice(&u64::MAX.to_be_bytes());
        });
        out.push(1);
        out.extend_from_slice(&self.kek(0));
        out.push(self.keks);
        (1..=self.keks).for_each(|number| out.extend_from_slice(&self.kek(number)));
        out.push(0);
    }

    fn kek(&self, number: u8) -> Vec<u8> {
        let key = counted(&vec![5; self.kek_len]);
        let numbers = [&u64::MAX.to_be_bytes()[..], &self.sequence.to_be_bytes()].concat();
        [&[number; 16][..], &key, &numbers, &[self.succession], &[1; 8], &[0xff; 8], &[0; 12 + 1]].concat()
    }

    fn terms(&self, out: &mut Vec<u8>) {
        out.push(1);
        out.extend_from_slice(&counted(&self.acl));
        out.push(0);
        [self.delay; 2].iter().for_each(|delay| out.extend_from_slice(&delay.to_be_bytes()));
        out.extend_from_slice(&[0, 0]);
    }
}

impl Tek {
    pub fn sound(spi: u32) -> Tek {
        Tek { spi, transform: "aes-256-cbc/hmac-sha-256", key_len: 32, expires: u64::MAX }
    }

    fn emit(&self) -> Vec<u8> {
        let (transform, key) = (counted(self.transform.as_bytes()), counted(&vec![3; self.key_len]));
        let ends = self.expires.to_be_bytes();
        [&self.spi.to_be_bytes()[..], &transform, &key, &counted(&[4; 32]), &ends, &[0]].concat()
    }
}

/// A message of members with the head and the lineage of `announcement`: the changes of `author` after `from` and up
/// to `to`.
pub fn members(announcement: &[u8], author: u64, (from, to): (u64, u64), records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = front(announcement, MEMBERS, author);
    [from, to].iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    out.push(0);
    out.extend_from_slice(&(records.len() as u16).to_be_bytes());
    records.iter().for_each(|record| out.extend_from_slice(record));
    out
}

/// A member that registered with the server at `owner`.
pub fn record(member: IpAddr, owner: IpAddr, author: u64, version: u64) -> Vec<u8> {
    let identity = counted(&Identification::phase1(&Identity::Address(member)).emit().unwrap());
    let head = [&mapped(member)[..], &848u16.to_be_bytes(), &mapped(owner)].concat();
    let author = [author.to_be_bytes(), version.to_be_bytes()].concat();
    let counts = [[0; 8], [0; 8], 1u64.to_be_bytes()].concat();
    [&head[..], &author, &[0], &identity, &counts, &[1], &[0; 8]].concat()
}
