//! One thing to show.

use crate::cell::Cell;
use crate::corp::Corp;
use crate::outcome::Outcome;
use crate::site::Site;

/// One thing to show.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What must be so, in one line.
    pub about: &'static str,
    /// How it is shown.
    pub run: Run,
}

/// What a scenario starts from.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// A key server and three registered members, shared with the scenarios before and after it.
    Registered(fn(&Site, &mut Corp) -> Outcome),
    /// A site without daemons, and nothing in any kernel.
    Empty(fn(&Site) -> Outcome),
    /// The same, for a cell of the matrix.
    Cell(fn(&Site, Cell) -> Outcome, Cell),
}

impl Scenario {
    /// Starts from [`Run::Registered`].
    pub const fn registered(
        name: &'static str,
        about: &'static str,
        run: fn(&Site, &mut Corp) -> Outcome,
    ) -> Self {
        Scenario { name, about, run: Run::Registered(run) }
    }

    /// Starts from [`Run::Empty`].
    pub const fn empty(name: &'static str, about: &'static str, run: fn(&Site) -> Outcome) -> Self {
        Scenario { name, about, run: Run::Empty(run) }
    }

    /// Starts from [`Run::Cell`].
    pub const fn of_cell(
        name: &'static str,
        about: &'static str,
        run: fn(&Site, Cell) -> Outcome,
        cell: Cell,
    ) -> Self {
        Scenario { name, about, run: Run::Cell(run, cell) }
    }
}
