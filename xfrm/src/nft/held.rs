//! The table in the kernel and how it stands. To list it takes a process and, with a long access list, a good part of a
//! second, so it is listed only when it was changed, by somebody or nobody knows by whom, since it was last known.

use std::collections::BTreeSet;
use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::counted::{self, Counted};
use super::flowtables::{self, Flowtable};
use super::generation::Generation;
use super::news::News;
use super::process::{Nft, Patience};
use super::{known, program, strays, Border, HeldTable, Table};
use crate::model::{Slot, Spi};
use crate::socket::Socket;
use crate::Error;

/// `program::write` is two: a table and its seal.
const WRITE: usize = 2;

/// What the kernel holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Table `inet gdoi`.
    pub table: Option<HeldTable>,
    /// Table `netdev gdoi`.
    pub border: Option<HeldTable>,
}

/// The tables of the network namespace of the thread that opened it.
pub struct Tables {
    socket: Socket,
    nft: Nft,
    /// None without the right to listen: then any transaction may have changed it.
    news: Option<News>,
    /// What the tables were in some generation.
    seen: Option<(Generation, Held)>,
}

impl Tables {
    pub fn open() -> io::Result<Self> {
        let socket = Socket::open(NETLINK_NETFILTER)?;
        Ok(Self { socket, nft: Nft::default(), news: News::open(), seen: None })
    }

    /// What bounds the time of nft.
    pub fn patience(&self) -> Patience {
        self.nft.patience()
    }

    /// What the kernel holds. A change while nft lists it belongs to a later generation, so it is listed again next time.
    pub fn held(&mut self) -> Result<Held, Error> {
        if let Some(held) = self.seen_still()? {
            return Ok(held);
        }
        let now = self.now()?;
        self.seen = None;
        let (table, border) = (program::held(&mut self.nft)?, program::held_border(&mut self.nft)?);
        let held = Held { table, border };
        self.know(now, held);
        Ok(held)
    }

    /// Puts `table` in the place of `held`.
    pub fn write(&mut self, table: &Table, held: Option<&HeldTable>) -> Result<(), Error> {
        let (slots, passing, closed) = (table.slots(), table.passing(), table.closed());
        let written = HeldTable { digest: Some(table.digest()), slots, passing, closed };
        self.change(|nft| program::write(nft, table, held), |held| Held { table: Some(written), ..held })
    }

    /// Puts `border` in the place of whatever is there.
    pub fn write_border(&mut self, border: &Border) -> Result<(), Error> {
        let written = HeldTable { digest: Some(border.digest()), ..HeldTable::default() };
        self.change(|nft| program::write_border(nft, border), |held| Held { border: Some(written), ..held })
    }

    /// What was known before is known after a change by nobody else.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Nft) -> Result<(), Error>,
        after: impl FnOnce(Held) -> Held,
    ) -> Result<(), Error> {
        let known = self.seen_still()?;
        let before = self.now()?;
        self.seen = None;
        change(&mut self.nft)?;
        let now = self.now()?;
        let alone = match self.news {
            Some(_) => self.touched_since(before)? == Some(WRITE),
            None => now.is_after(before, WRITE),
        };
        if let Some(held) = known.filter(|_| alone) {
            self.know(now, after(held));
        }
        Ok(())
    }

    fn seen_still(&mut self) -> Result<Option<Held>, Error> {
        match self.seen {
            Some((generation, held)) => Ok((self.touched_since(generation)? == Some(0)).then_some(held)),
            None => Ok(None),
        }
    }

    /// Removes the border.
    pub fn remove_border(&mut self) -> Result<(), Error> {
        self.seen = None;
        program::remove_border(&mut self.nft)
    }

    /// The flowtables that there are, whosesoever.
    pub fn flowtables(&mut self) -> io::Result<Vec<Flowtable>> {
        flowtables::flowtables(&mut self.socket)
    }

    /// Removes it.
    pub fn remove(&mut self) -> Result<(), Error> {
        self.seen = None;
        program::remove(&mut self.nft)
    }

    /// Takes what was told of changes; whether any of it concerns the table.
    pub fn hear(&mut self) -> bool {
        self.news.as_mut().is_none_or(|news| news.take().concerns)
    }

    /// The counters of all planes.
    pub fn counters(&mut self) -> io::Result<Vec<Counted>> {
        counted::counters(&mut self.socket)
    }

    fn know(&mut self, now: Generation, held: Held) {
        if let Some(news) = &mut self.news {
            news.forget_before(now);
        }
        self.seen = Some((now, held));
    }

    /// How many transactions have changed the table since that one; none when it is not known.
    fn touched_since(&mut self, then: Generation) -> Result<Option<usize>, Error> {
        match &mut self.news {
            Some(news) => {
                news.take();
                Ok(news.since(then))
            }
            None => Ok((self.now()? == then).then_some(0)),
        }
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

    /// Changes elements, which are no part of what the seal vouches for. Who hears of transactions knows that; for who does
    /// not, the table is as it was if nobody else did anything meanwhile.
    fn count(&mut self, spis: &[Spi], change: impl FnOnce(&mut Socket) -> io::Result<()>) -> io::Result<()> {
        if self.news.is_some() {
            return change(&mut self.socket);
        }
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
