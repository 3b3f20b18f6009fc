//! The table in the kernel and how it stands. To list it takes a process and, with a long access list, a good part of a
//! second, so it is listed only when some table has changed since it was last known.

use std::collections::BTreeSet;
use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::generation::Generation;
use super::{known, program, strays, HeldTable, Table};
use crate::model::{Slot, Spi};
use crate::socket::Socket;
use crate::Error;

/// `program::write` is two: the table and its seal.
const WRITE: usize = 2;

/// Table `inet gdoi` of the network namespace of the thread that opened it.
pub struct Tables {
    socket: Socket,
    /// What the table was in some generation.
    seen: Option<(Generation, Option<HeldTable>)>,
}

impl Tables {
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(NETLINK_NETFILTER)?, seen: None })
    }

    /// What the kernel holds. A change while nft lists it belongs to a later generation, so it is listed again next time.
    pub fn held(&mut self) -> Result<Option<HeldTable>, Error> {
        let now = self.now()?;
        match self.seen {
            Some((generation, held)) if generation == now => Ok(held),
            _ => {
                let held = program::held()?;
                self.seen = Some((now, held));
                Ok(held)
            }
        }
    }

    /// Puts `table` in the place of `held`.
    pub fn write(&mut self, table: &Table, held: Option<&HeldTable>) -> Result<(), Error> {
        let before = self.now()?;
        self.seen = None;
        program::write(table, held)?;
        let now = self.now()?;
        let (slots, passing, closed) = (table.slots(), table.passing(), table.closed());
        let written = HeldTable { digest: Some(table.digest()), slots, passing, closed };
        self.seen = now.is_after(before, WRITE).then_some((now, Some(written)));
        Ok(())
    }

    /// The SPIs in a plane's set; without the set none.
    pub fn known(&mut self, slot: Slot) -> io::Result<BTreeSet<Spi>> {
        known::held(&mut self.socket, slot)
    }

    /// The SPIs of a plane's strays; without the set none.
    pub fn strays(&mut self, slot: Slot) -> io::Result<BTreeSet<Spi>> {
        known::elements(&mut self.socket, &strays::name(slot))
    }

    /// Those that are there already do no harm.
    pub fn add_known(&mut self, slot: Slot, spis: &[Spi]) -> io::Result<()> {
        let added = self.count(spis, |socket| known::add_new(socket, slot, spis));
        match added {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                known::add(&mut self.socket, slot, spis)
            }
            other => other,
        }
    }

    pub fn remove_known(&mut self, slot: Slot, spis: &[Spi]) -> io::Result<()> {
        self.count(spis, |socket| known::remove(socket, slot, spis))
    }

    /// Changes elements, which are no part of what the seal vouches for: if nobody else did anything meanwhile the table
    /// is as it was.
    fn count(&mut self, spis: &[Spi], change: impl FnOnce(&mut Socket) -> io::Result<()>) -> io::Result<()> {
        let before = Generation::now(&mut self.socket)?;
        let seen = self.seen.take().filter(|(generation, _)| *generation == before);
        change(&mut self.socket)?;
        let now = Generation::now(&mut self.socket)?;
        let alone = now.is_after(before, known::transactions(spis));
        self.seen = seen.filter(|_| alone).map(|(_, held)| (now, held));
        Ok(())
    }

    fn now(&mut self) -> Result<Generation, Error> {
        Generation::now(&mut self.socket)
            .map_err(|error| Error::Refused("the generation of nftables".into(), error))
    }
}
