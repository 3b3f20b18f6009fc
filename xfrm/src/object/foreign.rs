//! XFRM policies of others.

use std::fmt;

use super::{Hook, KernelSelector};

/// A policy of somebody else that packets of ours can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignPolicy {
    /// Where it is consulted.
    pub hook: Hook,
    /// Index of the output interface it is limited to.
    pub interface: Option<u32>,
    /// What it matches.
    pub selector: KernelSelector,
    /// Lower wins.
    pub priority: u32,
    /// Whether it drops.
    pub blocks: bool,
    /// Whether it is of a tunnel, or some other use of IPsec.
    pub transforms: bool,
}

impl fmt::Display for ForeignPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, selector, priority, .. } = self;
        write!(f, "policy {hook} {selector}, priority {priority}")?;
        f.write_str(if self.blocks { ", which drops," } else { "" })
    }
}
