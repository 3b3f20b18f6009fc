//! Reading values so that an error carries the line of the very value it is about.
//!
//! serde_yaml adds a position to errors that are raised while it is inside a scalar, list or mapping. A
//! check after `deserialize` has returned comes too late for that, so every check here runs inside the visitor.

use super::discretion::{of_value, own};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

/// A value that is written as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ParsedVisitor(PhantomData))
    }
}

struct ParsedVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for ParsedVisitor<T> {
    type Value = Parsed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Parsed<T>, E> {
        text.parse().map(Parsed).map_err(|error: T::Err| E::custom(of_value(text, &error.to_string())))
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64> Bounded<MIN, 65_535> {
    /// The number in the 16 bits that it fits into.
    pub const fn narrow(self) -> u16 {
        self.0 as u16
    }
}

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// The number taken as seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Bounded<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Bounded(number)),
            _ => Err(format!("`{text}` is no whole number from {MIN} to {MAX}")),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|Parsed(number)| number)
    }
}

/// Reads a mapping as `Raw` and turns it into `T` before the reader leaves the mapping.
pub fn mapping<'de, D, Raw, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    Raw: Deserialize<'de>,
    T: TryFrom<Raw, Error = String>,
{
    deserializer.deserialize_map(MappingVisitor(PhantomData::<(Raw, T)>))
}

struct MappingVisitor<Raw, T>(PhantomData<(Raw, T)>);

impl<'de, Raw: Deserialize<'de>, T: TryFrom<Raw, Error = String>> Visitor<'de> for MappingVisitor<Raw, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let raw = Raw::deserialize(MapAccessDeserializer::new(map))?;
        T::try_from(raw).map_err(|reason| A::Error::custom(own(reason)))
    }
}

/// Reads what stands behind a key. Without this a key whose list or section is empty, or all commented out, would count as
/// one that is left out, which may mean much more than nothing.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// What may not stand twice in a list.
pub trait Clash {
    /// Why `self` cannot stand in a list with `earlier`, if so.
    fn clash(&self, earlier: &Self) -> Option<String>;
}

impl<T: PartialEq + Display> Clash for Parsed<T> {
    fn clash(&self, earlier: &Self) -> Option<String> {
        (self == earlier).then(|| format!("`{}` stands here twice", self.0))
    }
}

/// A list with at least one element and at most `MOST`, none of which clashes with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct<T, const MOST: usize = { usize::MAX }>(pub Vec<T>);

impl<'de, T: Deserialize<'de> + Clash, const MOST: usize> Deserialize<'de> for Distinct<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DistinctVisitor(PhantomData))
    }
}

struct DistinctVisitor<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Clash, const MOST: usize> Visitor<'de> for DistinctVisitor<T, MOST> {
    type Value = Distinct<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Distinct<T, MOST>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(After(&elements))? {
            elements.push(element);
        }
        match elements.len() {
            0 => Err(A::Error::custom(own("the list is empty"))),
            length if length > MOST => {
                Err(A::Error::custom(own(format_args!("{length} elements, at most {MOST} are possible"))))
            }
            _ => Ok(Distinct(elements)),
        }
    }
}

/// The element that follows the given ones.
struct After<'a, T>(&'a [T]);

impl<T: Clash> After<'_, T> {
    fn admit<E: Error>(&self, element: T) -> Result<T, E> {
        match self.0.iter().find_map(|earlier| element.clash(earlier)) {
            Some(reason) => Err(E::custom(own(reason))),
            None => Ok(element),
        }
    }
}

impl<'de, T: Deserialize<'de> + Clash> DeserializeSeed<'de> for After<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de> + Clash> Visitor<'de> for After<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element of the list")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        self.admit(T::deserialize(MapAccessDeserializer::new(map))?)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.admit(T::deserialize(StrDeserializer::new(text))?)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
