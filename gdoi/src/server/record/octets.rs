//! The parts that records are made of: numbers, counted octets, lists, and what may be absent.

use super::VALUE;
use crate::error::{Error, Malformed};
use crate::wire::Reader;

pub(in crate::server) fn flag(reader: &mut Reader<'_>) -> Result<bool, Error> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(VALUE.into()),
    }
}

pub(in crate::server) fn octets<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = usize::from(reader.u16()?);
    Ok(reader.take(length)?)
}

pub(in crate::server) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
    Ok(std::str::from_utf8(octets(reader)?).map_err(|_| VALUE)?)
}

pub(in crate::server) fn optional<T>(
    reader: &mut Reader<'_>,
    parse: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    flag(reader)?.then(|| parse(reader)).transpose()
}

/// So many entries, if they are not more than `most`.
pub(in crate::server) fn list<T>(
    count: u32,
    most: usize,
    reader: &mut Reader<'_>,
    mut entry: impl FnMut(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    match count as usize <= most {
        true => (0..count).map(|_| entry(reader)).collect(),
        false => Err(Malformed::TooMany("state records").into()),
    }
}
