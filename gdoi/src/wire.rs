//! ISAKMP and GDOI messages as octets: RFC 2408 section 3, RFC 2407 section 4.6, RFC 6407 section 5.
//!
//! Parsing is strict: every length is checked against what is there, every list is bounded, octets
//! left over are an error. Numbers that IANA assigns are open newtypes; what this implementation can
//! do with them is decided elsewhere.

mod acl;
mod attribute;
mod codec;
#[cfg(test)]
mod fixture;
mod fragment;
mod gap;
mod header;
mod id;
mod kd;
mod kek;
mod notify;
mod payloads;
mod phase1;
mod postponement;
mod registry;
mod sa;
mod tek;

pub(crate) use acl::write_acl;
pub use acl::{emit_acl, parse_acl, MAX_ACL_LEN};
pub use attribute::{Attribute, Attributes, Value};
pub use codec::{Length, Reader, Writer};
pub use fragment::{Fragment, Position};
pub use gap::{Gap, Holds};
pub use header::{Cookie, Header, Version, HEADER_LEN, MAX_MESSAGE};
pub use id::{IdField, Identification};
pub use kd::{Kd, KeyPacket};
pub use kek::SaKek;
pub use notify::{Delete, Liveness, Notify};
pub(crate) use payloads::write_chain;
pub use payloads::{emit_chain, Chain, Padding, Payload, Payloads, MAX_PAYLOADS};
pub use phase1::{Phase1Sa, Phase1Transform};
pub use postponement::Postponement;
pub use registry::{ExchangeType, Flags, IdType, NotifyType, PayloadType};
pub use sa::{GroupSa, MAX_SA_TEKS};
pub use tek::{SaTek, SenderFields};
