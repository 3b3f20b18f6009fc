//! Cooperating key servers that are strangers, are broken or lie: what is refused is named, counted and changes nothing.

mod datagrams;
mod messages;
mod records;
pub mod siege;
