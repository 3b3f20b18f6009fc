//! Talking to the program nft.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::{digest, HeldTable, Slots, Table, COUNTERS};
use crate::model::Slot;
use crate::Error;

/// Searched after PATH, which a service manager may have cut short.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// The comment of the one rule in chain `seal`. It keeps what cannot be known before the table was written: the digest
/// of nft's own listing of it. A listing that differs later was changed by somebody.
const SEAL: &str = "gdoi text=";

/// What the kernel holds of the table.
pub fn held() -> Result<Option<HeldTable>, Error> {
    Ok(listing()?.map(|listing| read_seal(&listing)))
}

/// Puts `table` in the place of `held` and seals it.
pub fn write(table: &Table, held: Option<&HeldTable>) -> Result<(), Error> {
    feed(&["-f", "-"], &table.script(held))?;
    let listing = listing()?.ok_or_else(|| Error::Nft("the table is gone after it was written".into()))?;
    let seal = format!(
        "flush chain inet gdoi seal\nadd rule inet gdoi seal continue comment \"{SEAL}{:016x} listing={:016x} planes={:x} passing={:x} closed={:x}\"\n",
        table.digest(),
        digest(&listing),
        table.slots().0,
        table.passing().0,
        table.closed().0
    );
    feed(&["-f", "-"], &seal)
}

/// Removes the table, whoever changed it.
pub fn remove() -> Result<(), Error> {
    feed(&["-f", "-"], "table inet gdoi\ndelete table inet gdoi\n")
}

/// Asks nft and the kernel whether they would accept the table, and changes nothing.
pub fn check(table: &Table) -> Result<(), Error> {
    feed(&["-c", "-f", "-"], &table.script(None))
}

/// Packets and octets by plane and counter name.
pub fn counters() -> Result<Vec<(Slot, &'static str, u64, u64)>, Error> {
    let output = run(&["-j", "list", "counters", "table", "inet", "gdoi"])?;
    if is_absent(&output) {
        return Ok(Vec::new());
    }
    let json: serde_json::Value =
        serde_json::from_str(&accepted(output)?).map_err(|e| Error::Answer(e.to_string()))?;
    let entries = json["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| read_counter(&entry["counter"])).collect())
}

fn read_counter(counter: &serde_json::Value) -> Option<(Slot, &'static str, u64, u64)> {
    let (name, number) = counter["name"].as_str()?.rsplit_once('_')?;
    let name = COUNTERS.into_iter().find(|known| *known == name)?;
    Some((Slot::new(number.parse().ok()?)?, name, counter["packets"].as_u64()?, counter["bytes"].as_u64()?))
}

/// nft's text of the table without counts and without elements that come and go.
fn listing() -> Result<Option<String>, Error> {
    let output = run(&["-s", "-t", "list", "table", "inet", "gdoi"])?;
    if is_absent(&output) {
        Ok(None)
    } else {
        accepted(output).map(Some)
    }
}

fn read_seal(listing: &str) -> HeldTable {
    let (seals, rest): (Vec<_>, Vec<_>) = listing.split_inclusive('\n').partition(|line| line.contains(SEAL));
    let fields = seals.first().map(|line| parse_seal(line)).unwrap_or_default();
    let intact = seals.len() == 1 && fields.listing == Some(digest(&rest.concat()));
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
    planes: Option<u64>,
    passing: Option<u64>,
    closed: Option<u64>,
}

fn parse_seal(line: &str) -> Seal {
    let field = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        let digits = rest.split(|sign: char| !sign.is_ascii_hexdigit()).next()?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (text, listing) = (field("text="), field("listing="));
    Seal { text, listing, planes: field("planes="), passing: field("passing="), closed: field("closed=") }
}

fn feed(arguments: &[&str], script: &str) -> Result<(), Error> {
    let mut child = nft()?.args(arguments).stdin(Stdio::piped()).spawn().map_err(Error::NftMissing)?;
    let fed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().map_err(Error::NftMissing)?;
    accepted(output)?;
    fed.map_err(Error::NftMissing)
}

fn run(arguments: &[&str]) -> Result<Output, Error> {
    nft()?.args(arguments).stdin(Stdio::null()).output().map_err(Error::NftMissing)
}

fn nft() -> Result<Command, Error> {
    let path = find().ok_or_else(|| Error::NftMissing(std::io::ErrorKind::NotFound.into()))?;
    let mut command = Command::new(path);
    command.env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join("nft")).find(|file| file.is_file())
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
        format!("table inet gdoi {{\n{body}\t\tcontinue comment \"gdoi text=00000000000000ab listing={listing} planes=5 passing=4 closed=1\"\n}}\n")
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
    }

    #[test]
    fn only_the_first_complaint_is_passed_on() {
        let words =
            "/dev/stdin:3:5-9: Error: syntax error\n    bad rule\n    ^^^\n/dev/stdin:4: Error: other\n";
        assert_eq!(first_complaint(words), "/dev/stdin:3:5-9: Error: syntax error in `bad rule`");
        assert_eq!(first_complaint(""), "it failed without a word");
    }
}
