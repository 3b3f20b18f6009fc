//! The kernel as one object: read what it holds, make it hold what is desired.

mod lives;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_XFRM};

use crate::carriers::carriers;
use crate::counters::{self, Counters, StateCounters};
use crate::flows::Flows;
use crate::installed::{Installed, Offload};
use crate::model::{is_named, Desired, Family, Kept, Sa, Slot, Spi};
use crate::nft::{Held, HeldTable, Patience, Tables};
use crate::object::{wall, Direction, HeldState, State};
use crate::obstacles::Reading;
use crate::plan::{plan, Op, Plan};
use crate::socket::Socket;
use crate::used::Used;
use crate::{message, route, settings, Error};

pub use lives::Shortened;

const ESRCH: i32 = 3;

/// An open door to the kernel, in the network namespace of the thread that opened it.
pub struct Kernel {
    xfrm: Socket,
    route: Socket,
    tables: Tables,
    offload: Offload,
    used: Used,
    kept: Kept,
    flows: Flows,
    reading: Reading,
}

/// What `apply` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line per change, in order; empty when the kernel already held what was desired.
    pub changes: Vec<String>,
    /// What could not be done although the rest was, one line each, naming the interface (missing, down, other address).
    pub problems: Vec<String>,
    /// Outbound SAs of one sender whose states somebody removed or changed, so that their sequence numbers are lost.
    /// They are not installed again and what they would send is blocked: the member needs new sender identifiers, and
    /// the SAs that come with them.
    pub spent: Vec<(Slot, Spi)>,
    /// What passes in clear although these planes should hold it, one line each, naming the interface.
    pub exposed: Vec<(Slot, String)>,
    /// Planes of which policies of somebody else take a part; `problems` names these.
    pub displaced: BTreeSet<Slot>,
}

/// What became of senders that were heard for the first time.
#[derive(Debug, Default)]
pub struct Admission {
    /// Who is received from now on.
    pub received: BTreeSet<(Family, Spi)>,
    /// Why others are not: the kernel refused the state, or the table is not there.
    pub refused: Vec<Error>,
}

/// An interface of this router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// The longest packet that it takes, in octets.
    pub mtu: u32,
    /// The name of the VRF that it is in, or is.
    pub vrf: Option<String>,
}

impl Kernel {
    /// Opens the netlink sockets. This needs no privilege; what follows does.
    ///
    /// # Errors
    /// The kernel knows no XFRM or no nftables.
    pub fn open() -> Result<Self, Error> {
        let route = Socket::open(NETLINK_ROUTE).map_err(Error::Socket)?;
        route.filter_dumps();
        let xfrm = Socket::open(NETLINK_XFRM).map_err(Error::Socket)?;
        let tables = Tables::open().map_err(Error::Socket)?;
        Ok(Self {
            xfrm,
            route,
            tables,
            offload: Offload::of_this_machine(),
            used: Used::default(),
            kept: Kept::default(),
            flows: Flows::default(),
            reading: Reading::default(),
        })
    }

    /// What bounds the time that the program nft is waited for.
    pub fn patience(&self) -> Patience {
        self.tables.patience()
    }

    /// Takes what the kernel has told of changes of nftables; whether any of it is reason to compare. It is cheap, and who
    /// does it at every news of [`crate::Subject::Tables`] does not care how many others use nftables.
    pub fn is_concerned(&mut self) -> bool {
        self.tables.hear()
    }

    /// What the kernel holds of ours, and the interfaces it has.
    ///
    /// # Errors
    /// The kernel or nft does not answer, mostly for lack of privilege.
    pub fn installed(&mut self) -> Result<Installed, Error> {
        let states = message::states(&mut self.xfrm).map_err(refused("the list of states"))?;
        self.installed_with(states.into_iter().map(|(state, _)| state).collect())
    }

    fn installed_with(&mut self, states: Vec<HeldState>) -> Result<Installed, Error> {
        let Held { table, border } = self.tables.held()?;
        let links = route::links(&mut self.route).map_err(refused("the list of interfaces"))?;
        self.kept.follow(|own| carriers(&links, own));
        states.iter().filter_map(|held| held.content.as_ref()).for_each(|state| self.used.note(state));
        Ok(Installed {
            known: self.known(table.as_ref()).map_err(refused("the lists of known senders"))?,
            links,
            interfaces: route::interfaces(&mut self.route).map_err(refused("the list of interfaces"))?,
            states,
            policies: message::policies(&mut self.xfrm).map_err(refused("the list of policies"))?,
            foreign: message::foreign(&mut self.xfrm).map_err(refused("the list of policies"))?,
            routes: route::routes(&mut self.route).map_err(refused("the list of routes"))?,
            table,
            border,
            flowtables: self.tables.flowtables().map_err(refused("the list of flowtables"))?,
            offload: self.offload,
            used: self.used.clone(),
            kept: self.kept.clone(),
            now: wall(),
        })
    }

    /// The interfaces that this router has now.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn interfaces(&mut self) -> Result<Vec<Interface>, Error> {
        let links = route::links(&mut self.route).map_err(refused("the list of interfaces"))?;
        Ok(links
            .into_iter()
            .map(|link| Interface {
                index: link.index,
                name: link.name,
                up: link.up,
                mtu: link.mtu,
                vrf: link.vrf.map(|vrf| vrf.name),
            })
            .collect())
    }

    fn known(&mut self, table: Option<&HeldTable>) -> io::Result<BTreeMap<Slot, BTreeSet<Spi>>> {
        let slots = table.map(|table| table.slots).unwrap_or_default();
        slots.iter().map(|slot| Ok((slot, self.tables.known(slot)?))).collect()
    }

    /// Lets a plane receive from senders that were heard for the first time, before their packets are let go. The caller
    /// keeps the SAs for what it desires next: `apply` removes what is not desired.
    ///
    /// The table changes once for all of them: a change waits until the kernel has done with the one before it, tens of
    /// milliseconds on a busy machine.
    pub fn admit(&mut self, slot: Slot, sas: &[Sa]) -> Admission {
        let mut admission = Admission::default();
        for sa in sas {
            let state = State::new(slot, Direction::Inbound, sa);
            match message::add_state(&mut self.xfrm, &state) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    admission.refused.push(Error::Refused(format!("add {}", state.id), error));
                }
                _ => drop(admission.received.insert((sa.family, sa.spi))),
            }
        }
        let spis: Vec<_> = admission.received.iter().map(|(_, spi)| *spi).collect();
        if let Err(error) = self.tables.add_known(slot, &spis) {
            admission.received.clear();
            admission.refused.push(Error::Refused("the lists of known senders".into(), error));
        }
        admission
    }

    /// The SPIs of ESP that lately came to a plane between addresses of its access list, and that no key of the plane is for:
    /// at most 64. Only planes that accept nothing in clear know.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn strays(&mut self, slot: Slot) -> Result<BTreeSet<Spi>, Error> {
        self.tables.strays(slot).map_err(refused("the list of strays"))
    }

    /// Makes the kernel hold exactly what is desired; does nothing where it already does. It reads first, so it also
    /// repairs what was changed by hand, what expired and what a link that went down took along: call it again at any time.
    ///
    /// # Errors
    /// The first change that failed. Earlier ones stay: they only ever added protection.
    pub fn apply(&mut self, desired: &Desired) -> Result<Report, Error> {
        self.apply_as_read(desired, || ())
    }

    /// The same, and says when it has read all that it reads: what is admitted from then on stays.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_as_read(&mut self, desired: &Desired, has_read: impl FnOnce()) -> Result<Report, Error> {
        // States last: what they have carried has been counted by the table before.
        let planes = counters::planes(&self.tables.counters().map_err(refused("the counters"))?);
        let (states, counted) = self.counted_states()?;
        let mut installed = self.installed_with(states)?;
        self.keep_links(&mut installed, desired);
        let counters = Counters { planes, states: counted, ..counters::of_the_kernel() };
        self.reading = Reading { counters, settings: settings::of_planes(&installed, desired) };
        let plan = plan(&installed, desired)?;
        has_read();
        self.used.look(|id| desired.has_block_of(id.slot, id.spi));
        let Plan { ops, problems, spent, exposed, displaced } = plan;
        let mut report = Report { changes: Vec::new(), problems, spent, exposed, displaced };
        for op in ops {
            match self.execute(&op, &installed) {
                Ok(()) => report.changes.push(op.to_string()),
                // The table holds what this one should; the rest of the plan does not depend on it.
                Err(error @ Error::Occupied(_)) => {
                    report.problems.push(error.to_string());
                    report.displaced.extend(op.slot());
                }
                Err(error) if matches!(op, Op::WriteBorder(_)) => {
                    report.problems.push(border_refused(&error))
                }
                Err(error) => return Err(error),
            }
        }
        self.end_earlier_flows(&installed, desired, &mut report);
        Ok(report)
    }

    /// What had been counted when [`Self::apply`] was called last, before anything was changed, and what was seen besides.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Only when all rules are there: what begins from now on is right.
    fn end_earlier_flows(&mut self, before: &Installed, desired: &Desired, report: &mut Report) {
        match self.flows.end_earlier(&mut self.route, before, desired) {
            Ok(0) => {}
            Ok(ended) => report.changes.push(format!("end {ended} flows that began before they were protected")),
            Err(error) => report.problems.push(format!(
                "flows that began before they were protected may stay as they are until they have been silent for some minutes: \
                 the kernel does not tell or end them (module nf_conntrack_netlink): {error}"
            )),
        }
    }

    /// The links that planes protect, also those that have got another name since.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A plane protects this link, whatever it is called: what an earlier process knew, for example.
    pub fn keep(&mut self, slot: Slot, index: u32) {
        self.kept.add(slot, index);
    }

    /// What is known when the rest cannot be read.
    pub(crate) fn links_alone(&mut self) -> io::Result<Installed> {
        Ok(Installed { links: route::links(&mut self.route)?, offload: self.offload, ..Default::default() })
    }

    /// The same links with what carries their packets now.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn carried(&mut self, mut kept: Kept) -> Result<Kept, Error> {
        let links = route::links(&mut self.route).map_err(refused("the list of interfaces"))?;
        kept.follow(|own| carriers(&links, own));
        Ok(kept)
    }

    /// Looks for what carries the packets of the links that are kept.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn find_carriers(&mut self) -> Result<(), Error> {
        self.kept = self.carried(self.kept.clone())?;
        Ok(())
    }

    pub(crate) fn keep_links(&mut self, installed: &mut Installed, desired: &Desired) {
        self.kept.retain(&installed.links.iter().map(|link| link.index).collect());
        for plane in &desired.planes {
            let is_whole = !plane.interface.ends_with('*');
            for link in installed.links.iter().filter(|link| is_named(&plane.interface, &link.name)) {
                self.kept.add(plane.slot, link.index);
                if is_whole {
                    self.kept.settle(plane.slot, link.index);
                }
            }
        }
        self.kept.follow(|own| carriers(&installed.links, own));
        installed.kept.clone_from(&self.kept);
    }

    /// Removes everything of ours.
    ///
    /// # Errors
    /// The first removal that failed.
    pub fn remove_all(&mut self) -> Result<Report, Error> {
        self.apply(&Desired::default())
    }

    /// The present counters.
    ///
    /// # Errors
    /// The kernel or nft does not answer.
    pub fn counters(&mut self) -> Result<Counters, Error> {
        Ok(Counters {
            planes: counters::planes(&self.tables.counters().map_err(refused("the counters"))?),
            states: self.states()?,
            ..counters::of_the_kernel()
        })
    }

    fn counted_states(&mut self) -> Result<(Vec<HeldState>, Vec<StateCounters>), Error> {
        let states = message::states(&mut self.xfrm).map_err(refused("the list of states"))?;
        let counted = states.iter().map(|(state, usage)| counters::state(state.id, *usage)).collect();
        Ok((states.into_iter().map(|(state, _)| state).collect(), counted))
    }

    /// What each state has carried.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn states(&mut self) -> Result<Vec<StateCounters>, Error> {
        self.counted_states().map(|(_, counted)| counted)
    }

    pub(crate) fn execute(&mut self, op: &Op, installed: &Installed) -> Result<(), Error> {
        let result = match op {
            Op::WriteTable(table) => return self.tables.write(table, installed.table.as_ref()),
            Op::RemoveTable => return self.tables.remove(),
            Op::WriteBorder(border) => return self.tables.write_border(border),
            Op::RemoveBorder => return self.tables.remove_border(),
            Op::AddKnown(slot, spis) => self.tables.add_known(*slot, spis),
            Op::RemoveKnown(slot, spis) => gone_is_fine(self.tables.remove_known(*slot, spis)),
            Op::AddRoute(route) => route::replace_route(&mut self.route, *route),
            Op::RemoveRoute(route) => gone_is_fine(route::remove_route(&mut self.route, *route)),
            Op::AddState(state) => {
                self.used.note(state);
                message::add_state(&mut self.xfrm, state)
            }
            Op::Prolong(state) => {
                let held = installed.states.iter().find(|held| held.id == state.id);
                let life = held.map(|held| held.life).unwrap_or_default();
                let life = life.lasting(wall(), state.hard_lifetime);
                gone_is_fine(message::set_life(&mut self.xfrm, state, life))
            }
            Op::RemoveState(id) => gone_is_fine(message::remove_state(&mut self.xfrm, *id)),
            Op::AddPolicy(index, policy) => message::add_policy(&mut self.xfrm, *index, policy),
            Op::UpdatePolicy(index, policy) => message::update_policy(&mut self.xfrm, *index, policy),
            Op::RemovePolicy(index, if_id) => {
                gone_is_fine(message::remove_policy(&mut self.xfrm, *index, *if_id))
            }
            Op::SetInterface(interface) => route::set_interface(&mut self.route, *interface),
            Op::RemoveInterface(held) => gone_is_fine(route::remove_interface(&mut self.route, *held)),
        };
        result.map_err(|error| match op {
            Op::AddPolicy(..) if error.kind() == io::ErrorKind::AlreadyExists => {
                Error::Occupied(op.to_string())
            }
            _ => Error::Refused(op.to_string(), error),
        })
    }

    /// Adds a state and removes it again, to learn whether the kernel can.
    pub(crate) fn try_state(&mut self, state: &State) -> io::Result<()> {
        match message::add_state(&mut self.xfrm, state) {
            // One that was killed at this very point left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                gone_is_fine(message::remove_state(&mut self.xfrm, state.id))?;
                message::add_state(&mut self.xfrm, state)?;
            }
            other => other?,
        }
        message::remove_state(&mut self.xfrm, state.id)
    }
}

/// What others forward is not seen then; the rest of the plan does not depend on it.
fn border_refused(error: &Error) -> String {
    format!(
        "what a flowtable forwards is not held back, clear packets of protected flows can pass: remove the flowtable ({error})"
    )
}

fn refused(object: &str) -> impl FnOnce(io::Error) -> Error + use<'_> {
    move |error| Error::Refused(object.to_owned(), error)
}

/// States expire and interfaces take their routes along at any moment.
fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(ESRCH) || error.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}
