//! Data attributes (RFC 2408 section 3.3).

use super::codec::{Reader, Writer};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};

/// 64 sender IDs, how many bits they have, and their generation.
const MAX_ATTRIBUTES: usize = 66;

/// A value: 2 octets in the TV form, else octets of any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// TV, "basic".
    Basic(u16),
    /// TLV, "variable".
    Variable(&'a [u8]),
}

/// One attribute; its type is below 32768.
///
/// ```text
/// |1|     attribute type          |           value (2)           |
/// |0|     attribute type          |          length (2)           | value (length)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type, without the format bit.
    pub kind: u16,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// A TV attribute.
    pub const fn basic(kind: u16, value: u16) -> Self {
        Attribute { kind, value: Value::Basic(value) }
    }

    /// A TLV attribute.
    pub const fn variable(kind: u16, value: &'a [u8]) -> Self {
        Attribute { kind, value: Value::Variable(value) }
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (kind, word) = (reader.u16()?, reader.u16()?);
        let value = match kind & 0x8000 {
            0 => Value::Variable(reader.take(usize::from(word))?),
            _ => Value::Basic(word),
        };
        Ok(Attribute { kind: kind & 0x7fff, value })
    }

    /// Appends the attribute.
    pub fn write(&self, out: &mut Writer) {
        match self.value {
            Value::Basic(value) => {
                out.u16(self.kind | 0x8000);
                out.u16(value);
            }
            Value::Variable(value) => {
                out.u16(self.kind);
                out.length_u16("attribute").raw(value);
            }
        }
    }
}

/// A list of attributes, each to be taken by its type once; at most 66.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a>(Vec<Attribute<'a>>);

impl<'a> Attributes<'a> {
    /// Reads attributes to the end of `bytes`; `part` names them in errors.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &'a [u8], part: &'static str) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, part);
        let mut list = Vec::new();
        while !reader.is_empty() {
            if list.len() == MAX_ATTRIBUTES {
                return Err(Malformed::TooMany("attributes"));
            }
            list.push(Attribute::parse(&mut reader)?);
        }
        Ok(Attributes(list))
    }

    /// A list of one.
    pub fn single(attribute: Attribute<'a>) -> Self {
        Attributes(vec![attribute])
    }

    /// The attributes in order.
    pub fn as_slice(&self) -> &[Attribute<'a>] {
        &self.0
    }

    fn take(&mut self, kind: u16, name: &'static str) -> Result<Option<Value<'a>>, Error> {
        let Some(position) = self.0.iter().position(|attribute| attribute.kind == kind) else {
            return Ok(None);
        };
        let value = self.0.remove(position).value;
        match self.0.iter().any(|attribute| attribute.kind == kind) {
            true => Err(Misbehaved::DuplicateAttribute(name).into()),
            false => Ok(Some(value)),
        }
    }

    /// A number, in either form, of at most 4 octets.
    ///
    /// # Errors
    /// A duplicate, or a longer value.
    pub fn number(&mut self, kind: u16, name: &'static str) -> Result<Option<u32>, Error> {
        match self.take(kind, name)? {
            None => Ok(None),
            Some(Value::Basic(value)) => Ok(Some(u32::from(value))),
            Some(Value::Variable(octets)) if (1..=4).contains(&octets.len()) => {
                Ok(Some(octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet))))
            }
            Some(Value::Variable(_)) => Err(Malformed::Length(name).into()),
        }
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// [`Misbehaved::MissingAttribute`], else as [`Attributes::number`].
    pub fn required(&mut self, kind: u16, name: &'static str) -> Result<u32, Error> {
        self.number(kind, name)?.ok_or(Misbehaved::MissingAttribute(name).into())
    }

    /// Octets in the TLV form.
    ///
    /// # Errors
    /// A duplicate, or the TV form.
    pub fn optional_octets(&mut self, kind: u16, name: &'static str) -> Result<Option<&'a [u8]>, Error> {
        match self.take(kind, name)? {
            Some(Value::Variable(octets)) => Ok(Some(octets)),
            Some(Value::Basic(_)) => Err(Malformed::Value(name).into()),
            None => Ok(None),
        }
    }

    /// Octets in the TLV form that must be there.
    ///
    /// # Errors
    /// [`Misbehaved::MissingAttribute`], a duplicate, or the TV form.
    pub fn octets(&mut self, kind: u16, name: &'static str) -> Result<&'a [u8], Error> {
        self.optional_octets(kind, name)?.ok_or(Misbehaved::MissingAttribute(name).into())
    }

    /// The end: an implementation must abort where it does not understand one (RFC 6407 section 5.3.2).
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`] names the first that was not taken.
    pub fn finish(self, name: &'static str) -> Result<(), Error> {
        match self.0.first() {
            Some(attribute) => Err(Unacceptable::Unsupported(name, u32::from(attribute.kind)).into()),
            None => Ok(()),
        }
    }
}

/// These alone, for what tests put them into.
#[cfg(test)]
pub(super) fn emitted(attributes: &[Attribute<'_>]) -> Vec<u8> {
    Writer::plain(0, |out| attributes.iter().for_each(|attribute| attribute.write(out))).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let list = [Attribute::basic(1, 7), Attribute::variable(12, &[0, 1, 0x51, 0x80])];
        let bytes = emitted(&list);
        assert_eq!(bytes, [0x80, 1, 0, 7, 0, 12, 0, 4, 0, 1, 0x51, 0x80]);
        assert_eq!(Attributes::parse(&bytes, "test").unwrap().as_slice(), list);
    }

    #[test]
    fn numbers_come_in_both_forms() {
        let bytes = emitted(&[
            Attribute::basic(1, 7),
            Attribute::variable(2, &[1, 0, 0]),
            Attribute::variable(3, &[0; 5]),
        ]);
        let mut attributes = Attributes::parse(&bytes, "test").unwrap();
        assert_eq!(attributes.number(1, "one"), Ok(Some(7)));
        assert_eq!(attributes.required(2, "two"), Ok(65536));
        assert_eq!(attributes.number(3, "three"), Err(Malformed::Length("three").into()));
        assert_eq!(attributes.required(4, "four"), Err(Misbehaved::MissingAttribute("four").into()));
        assert_eq!(attributes.finish("test"), Ok(()));
    }

    #[test]
    fn values_are_never_cut() {
        let emit = |length| {
            let value = vec![0; length];
            Writer::plain(0, |out| Attribute::variable(1, &value).write(out))
        };
        assert_eq!(emit(65_535).unwrap().len(), 4 + 65_535);
        assert_eq!(emit(65_536), Err(Malformed::Length("attribute")));
    }

    #[test]
    fn rejects() {
        let parse = |bytes: &'static [u8]| Attributes::parse(bytes, "test").unwrap_err();
        assert_eq!(parse(&[0x80, 1, 0]), Malformed::Truncated("test"));
        assert_eq!(parse(&[0, 1, 0, 2, 9]), Malformed::Truncated("test"));
        let many = emitted(&[Attribute::basic(1, 1); 67]);
        assert_eq!(Attributes::parse(&many, "test"), Err(Malformed::TooMany("attributes")));
        let twice = emitted(&[Attribute::basic(1, 1); 2]);
        let mut attributes = Attributes::parse(&twice, "test").unwrap();
        assert_eq!(attributes.number(1, "one"), Err(Misbehaved::DuplicateAttribute("one").into()));
        let basic = emitted(&[Attribute::basic(1, 1)]);
        let mut attributes = Attributes::parse(&basic, "test").unwrap();
        assert_eq!(attributes.octets(1, "one"), Err(Malformed::Value("one").into()));
        let attributes = Attributes::parse(&basic, "test").unwrap();
        assert_eq!(
            attributes.finish("test attribute"),
            Err(Unacceptable::Unsupported("test attribute", 1).into())
        );
    }
}
