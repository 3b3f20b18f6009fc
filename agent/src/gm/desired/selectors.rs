//! Access lists in the kernel's form.

use gdoi::policy::Side;
use xfrm::{Ace, Action, Family, Ports, Prefix, Selector};

/// One entry.
///
/// # Errors
/// A prefix or port range that the kernel has no form for.
pub fn ace(ace: &gdoi::policy::Ace) -> Result<Ace, String> {
    let action = match ace.action {
        gdoi::policy::Action::Permit => Action::Permit,
        gdoi::policy::Action::Deny => Action::Deny,
    };
    Ok(Ace { action, selector: selector(&ace.selector)? })
}

/// The packets of an entry.
///
/// # Errors
/// A prefix or port range that the kernel has no form for.
pub fn selector(selector: &gdoi::policy::Selector) -> Result<Selector, String> {
    let impossible = || format!("`{selector}` is not possible");
    let (source, destination) = (selector.source(), selector.destination());
    Ok(Selector {
        source: prefix(source).ok_or_else(impossible)?,
        destination: prefix(destination).ok_or_else(impossible)?,
        protocol: selector.protocol(),
        source_ports: ports(source).ok_or_else(impossible)?,
        destination_ports: ports(destination).ok_or_else(impossible)?,
    })
}

/// The families of which a list protects anything.
pub fn families(acl: &[Ace]) -> Vec<Family> {
    let permits = |family: &Family| {
        acl.iter().any(|ace| ace.action == Action::Permit && ace.selector.family() == *family)
    };
    Family::ALL.into_iter().filter(permits).collect()
}

fn prefix(side: Side) -> Option<Prefix> {
    Prefix::new(side.prefix.address(), side.prefix.length())
}

/// None inside where all ports are meant.
fn ports(side: Side) -> Option<Option<Ports>> {
    match side.ports {
        Some(ports) => Ports::new(ports.first(), ports.last()).map(Some),
        None => Some(None),
    }
}
