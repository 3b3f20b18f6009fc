//! Who may join, and what is said to members of other software: they get what RFC 6407 can say, and are refused where
//! that would leave traffic in clear.

use super::Group;
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::group::{GroupPolicy, Tek};
use crate::policy::{Acl, Action, Family, Selector};
use crate::server::held::Held;
use crate::server::keys::MAX_TEKS;
use crate::server::registrant::Registrant;
use crate::wire::MAX_MESSAGE;
use std::net::SocketAddr;

/// What a message needs besides its SATs, at most, in octets: KEK, delays, keys, signature.
const REST: usize = 4_000;

impl Group {
    /// Whether this member may join and can be told the group's ACL and use its keys. Deny entries are left out for other
    /// software, so that it encrypts more, and an event says so.
    ///
    /// # Errors
    /// Not authorized, removed, too many, [`Unacceptable::Inexpressible`], [`Unacceptable::ForeignMember`].
    pub(in crate::server) fn authorize(&mut self, registrant: &Registrant) -> Result<(), Unacceptable> {
        let result = self.check(registrant);
        self.refused += u64::from(result.is_err());
        let entries = result?;
        if entries > 0 {
            let (group, member) = (self.name(), registrant.address);
            self.tell(KeyServerEvent::DeniesLeftOut { group, member, entries });
        }
        Ok(())
    }

    /// How many deny entries it cannot be told.
    ///
    /// # Errors
    /// Those of [`Group::authorize`].
    pub(in crate::server) fn check(&self, registrant: &Registrant) -> Result<usize, Unacceptable> {
        let address = registrant.address.ip();
        let revoked = &self.ledger.state().revoked;
        if revoked.contains(&address) || revoked.iter().any(|removed| registrant.is_bound_like(*removed)) {
            return Err(Unacceptable::Revoked);
        }
        if self.ledger.members().is_full_for(address, registrant.shared) {
            return Err(Unacceptable::Busy);
        }
        self.config.authorization.check(registrant)?;
        if registrant.ours {
            return Ok(0);
        }
        let acl = self.terms().acl;
        if self.is_per_sender() {
            return Err(Unacceptable::ForeignMember);
        }
        express(&acl)?;
        Ok(acl.entries().iter().filter(|ace| ace.action == Action::Deny).count())
    }

    /// Whether members may register now; who is put off is told of.
    pub(in crate::server) fn admits(&mut self, member: SocketAddr) -> bool {
        let admits = self.standing.admits();
        if !admits {
            self.say(CoopEvent::RegistrationBlocked(member));
        }
        admits
    }

    /// Records a member that has proved to be alive and is given these keys, and tells the other servers.
    pub(in crate::server) fn register(&mut self, registrant: &Registrant, given: &GroupPolicy, now: Instant) {
        let (owner, time) = (self.standing.owner(), self.ledger.time(now));
        let since = self.ledger.members().seen().of(self.ledger.members().author());
        self.ledger.amend_members().register(registrant, Held::offered(given), owner, time);
        let (member, identity) = (registrant.address, registrant.identity.clone());
        self.tell(KeyServerEvent::Registered { group: self.name(), member, identity });
        self.standing.share_members(&self.ledger, since, now);
        self.welcome(member.ip(), time);
    }

    /// Members that cannot be told the list of now, or cannot use these keys, get no more rekey messages: their keys are of
    /// the list before, and end. Nor may they be told what is said of keys of which every sender has its own (RFC 6407
    /// section 5.3.2).
    pub(super) fn part_with_foreigners(&mut self, teks: &[Tek]) {
        let reason = match teks.iter().any(|tek| tek.transform.is_per_sender()) {
            true => Err(Unacceptable::ForeignMember),
            false => express(&self.config.acl),
        };
        let Err(reason) = reason else { return };
        for member in self.ledger.members().foreigners() {
            self.ledger.amend_members().forget(member.ip());
            let (group, reason) = (Some(self.name()), Error::from(reason.clone()));
            self.tell(KeyServerEvent::Refused { group, member, reason });
        }
    }
}

/// Whether RFC 6407 can say which traffic a list encrypts: a range of ports has no form, and a message must have room
/// for the SATs of all TEKs that may live at once.
fn express(acl: &Acl) -> Result<(), Unacceptable> {
    let refuse = |reason| Err(Unacceptable::Inexpressible(reason));
    if let Some(range) = acl.permits().find(|selector| has_range(selector)) {
        return refuse(format!("`permit {range}` has a range of ports"));
    }
    let octets = acl.permits().map(sat_length).sum::<usize>() * MAX_TEKS;
    match acl.permits().count() {
        0 => refuse("there is no permit entry".into()),
        entries if octets + REST > MAX_MESSAGE => refuse(format!("{entries} permit entries are too many")),
        _ => Ok(()),
    }
}

fn has_range(selector: &Selector) -> bool {
    let sides = [selector.source(), selector.destination()];
    sides.iter().filter_map(|side| side.ports).any(|ports| ports.single().is_none())
}

/// The length of a SAT payload in octets.
const fn sat_length(selector: &Selector) -> usize {
    match selector.family() {
        Family::V4 => 67,
        Family::V6 => 67 + 2 * 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[&str]) -> Acl {
        Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
    }

    fn reason(entries: &[&str]) -> String {
        express(&acl(entries)).unwrap_err().to_string()
    }

    #[test]
    fn what_the_rfc_can_say_is_said() {
        let list = ["deny tcp any gt 1023 any", "permit udp any eq 53 any", "permit ipv6 any any"];
        assert_eq!(express(&acl(&list)), Ok(()));
        assert_eq!(express(&acl(&["permit ip any any"; 119])), Ok(()));
    }

    #[test]
    fn what_would_leave_traffic_in_clear_is_refused() {
        assert!(reason(&["permit tcp any any gt 1023"]).contains("`permit tcp any any gt 1023` has a range"));
        assert!(reason(&["permit tcp any lt 9 any"]).contains("has a range of ports"));
        assert!(reason(&["deny ip any any"]).contains("no permit entry"));
        assert!(reason(&["permit ip any any"; 120]).contains("120 permit entries are too many"));
        assert!(reason(&["permit ipv6 any any"; 70]).contains("too many"));
    }
}
