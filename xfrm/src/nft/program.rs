//! What the program nft is asked.

use std::process::Output;

use super::process::Nft;
use super::{border, digest, Border, HeldTable, Slots, Table};
use crate::Error;

/// The comment of the one rule in chain `seal`. It keeps what cannot be known before the table was written: the digest
/// of nft's own listing of it. A listing that differs later was changed by somebody.
const SEAL: &str = "gdoi text=";

/// What sets and chains the table has. A table of another layout cannot be filled anew, it is replaced.
const LAYOUT: u64 = 3;

/// The tables, as nft calls them.
const TABLE: &str = "inet gdoi";
const BORDER: &str = "netdev gdoi";

/// What the kernel holds of the table.
pub fn held(nft: &mut Nft) -> Result<Option<HeldTable>, Error> {
    Ok(listing(nft, TABLE)?.map(|listing| read_seal(&listing)))
}

/// What it holds of the border.
pub fn held_border(nft: &mut Nft) -> Result<Option<HeldTable>, Error> {
    Ok(listing(nft, BORDER)?.map(|listing| read_seal(&listing)))
}

/// Puts `table` in the place of `held` and seals it.
pub fn write(nft: &mut Nft, table: &Table, held: Option<&HeldTable>) -> Result<(), Error> {
    feed(nft, &["-f", "-"], &table.script(held))?;
    seal(nft, TABLE, table.digest(), [table.slots(), table.passing(), table.closed()])
}

/// Puts the border in the place of whatever is there and seals it.
pub fn write_border(nft: &mut Nft, border: &Border) -> Result<(), Error> {
    feed(nft, &["-f", "-"], &border.script())?;
    seal(nft, BORDER, border.digest(), Default::default())
}

fn seal(nft: &mut Nft, table: &str, text: u64, [planes, passing, closed]: [Slots; 3]) -> Result<(), Error> {
    let listing = listing(nft, table)?
        .ok_or_else(|| Error::Nft(format!("table {table} is gone after it was written")))?;
    let seal = format!(
        "flush chain {table} seal\nadd rule {table} seal continue comment \"{SEAL}{text:016x} listing={:016x} planes={:x} passing={:x} closed={:x} layout={LAYOUT:x}\"\n",
        digest(&listing),
        planes.0,
        passing.0,
        closed.0
    );
    feed(nft, &["-f", "-"], &seal)
}

/// Removes the table, whoever changed it.
pub fn remove(nft: &mut Nft) -> Result<(), Error> {
    feed(nft, &["-f", "-"], "table inet gdoi\ndelete table inet gdoi\n")
}

/// Removes the border, whoever changed it.
pub fn remove_border(nft: &mut Nft) -> Result<(), Error> {
    feed(nft, &["-f", "-"], border::removal())
}

/// Asks nft and the kernel whether they would accept the table, and changes nothing.
pub fn check(table: &Table) -> Result<(), Error> {
    feed(&mut Nft::default(), &["-c", "-f", "-"], &table.script(None))
}

/// The same of the border.
pub fn check_border(border: &Border) -> Result<(), Error> {
    feed(&mut Nft::default(), &["-c", "-f", "-"], &border.script())
}

/// nft's text of a table without counts and without elements that come and go.
fn listing(nft: &mut Nft, table: &str) -> Result<Option<String>, Error> {
    let arguments: Vec<_> = ["-s", "-t", "list", "table"].into_iter().chain(table.split(' ')).collect();
    let output = nft.run(&arguments, "")?;
    if is_absent(&output) {
        Ok(None)
    } else {
        accepted(output).map(Some)
    }
}

fn read_seal(listing: &str) -> HeldTable {
    let (seals, rest): (Vec<_>, Vec<_>) = listing.split_inclusive('\n').partition(|line| line.contains(SEAL));
    let fields = seals.first().map(|line| parse_seal(line)).unwrap_or_default();
    let intact =
        seals.len() == 1 && fields.layout == Some(LAYOUT) && fields.listing == Some(digest(&rest.concat()));
    HeldTable {
        digest: fields.text.filter(|_| intact),
        slots: Slots(fields.planes.unwrap_or(0)),
        passing: Slots(fields.passing.unwrap_or(0)),
        closed: Slots(fields.closed.unwrap_or(0)),
    }
}

#[derive(Default)]
struct Seal {
    text: Option<u64>,
    listing: Option<u64>,
    planes: Option<u128>,
    passing: Option<u128>,
    closed: Option<u128>,
    layout: Option<u64>,
}

fn parse_seal(line: &str) -> Seal {
    let field = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        let digits = rest.split(|sign: char| !sign.is_ascii_hexdigit()).next()?;
        u128::from_str_radix(digits, 16).ok()
    };
    let number = |name: &str| field(name).and_then(|value| u64::try_from(value).ok());
    let (text, listing) = (number("text="), number("listing="));
    Seal {
        text,
        listing,
        planes: field("planes="),
        passing: field("passing="),
        closed: field("closed="),
        layout: number("layout="),
    }
}

fn feed(nft: &mut Nft, arguments: &[&str], script: &str) -> Result<(), Error> {
    accepted(nft.run(arguments, script)?).map(drop)
}

fn is_absent(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("No such file or directory")
}

fn accepted(output: Output) -> Result<String, Error> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Nft(first_complaint(&String::from_utf8_lossy(&output.stderr))))
}

/// One refused rule makes nft complain about every later line too.
fn first_complaint(words: &str) -> String {
    let mut lines = words.lines().filter(|line| !line.trim().is_empty());
    let complaint = lines.next().unwrap_or("it failed without a word").trim();
    match lines.next() {
        Some(rule) => format!("{complaint} in `{}`", rule.trim()),
        None => complaint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &str, listing: &str) -> String {
        format!("table inet gdoi {{\n{body}\t\tcontinue comment \"gdoi text=00000000000000ab listing={listing} planes=5 passing=4 closed=1 layout=3\"\n}}\n")
    }

    #[test]
    fn a_seal_vouches_only_for_the_listing_it_was_made_for() {
        let unsealed = "table inet gdoi {\n\tchain x {\n\t}\n}\n";
        let listing = format!("{:016x}", digest(unsealed));
        let good = sealed("\tchain x {\n\t}\n", &listing);
        let held = |digest, slots, passing, closed| HeldTable {
            digest,
            slots: Slots(slots),
            passing: Slots(passing),
            closed: Slots(closed),
        };
        assert_eq!(read_seal(&good), held(Some(0xab), 5, 4, 1));
        let changed = good.replace("chain x", "chain y");
        assert_eq!(read_seal(&changed), held(None, 5, 4, 1));
        assert_eq!(read_seal(unsealed), held(None, 0, 0, 0));
        let earlier = good.replace(" layout=3", "");
        assert_eq!(read_seal(&earlier), held(None, 5, 4, 1));
    }

    #[test]
    fn only_the_first_complaint_is_passed_on() {
        let words =
            "/dev/stdin:3:5-9: Error: syntax error\n    bad rule\n    ^^^\n/dev/stdin:4: Error: other\n";
        assert_eq!(first_complaint(words), "/dev/stdin:3:5-9: Error: syntax error in `bad rule`");
        assert_eq!(first_complaint(""), "it failed without a word");
    }
}
