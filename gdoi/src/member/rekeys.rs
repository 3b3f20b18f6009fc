//! The rekey messages that a member got: what became of them, and the acknowledgement of the last one.

use crate::crypto::prf::digest;
use crate::crypto::Hash;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::group::{Kek, Rekey};
use crate::keyring::Keyring;
use crate::phase1::Cookies;
use crate::push::{claimed_time, receive, Acknowledgement};
use crate::status::RekeyCounters;
use crate::wire::Header;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How far the pseudotime of a message may be from ours: the time that its retransmissions take, and more.
const TOLERANCE: Duration = Duration::from_secs(100);

/// Whoever has the KEK and makes messages with old numbers makes a member verify so many signatures in such a time, and no
/// more.
const SCRUTINY: Duration = Duration::from_secs(1);
const MOST_LOOKED_INTO: u32 = 10;

/// State that outlives the single message.
#[derive(Debug, Default)]
pub(super) struct Rekeys {
    pub(super) counters: RekeyCounters,
    /// The last message taken in, and what acknowledged it.
    last: Option<([u8; 32], Option<Transmit>)>,
    /// Since when, and how many that repeat a number were looked into.
    scrutiny: (Instant, u32),
    /// When and with what number it came.
    pub(super) last_received: Option<(Instant, u32)>,
}

/// What a rekey message led to.
pub(super) enum Received {
    /// It is new and true; acknowledge with this.
    New(Box<Rekey>, Option<Transmit>),
    /// It was taken in before; acknowledge again.
    Again(Option<Transmit>),
    /// It changes nothing.
    Refused(Error),
}

impl Rekeys {
    /// Looks at a rekey message. The sender keeps sending it until the acknowledgement arrives, so the same
    /// one gets the same answer.
    pub(super) fn receive(
        &mut self,
        keyring: &Keyring,
        own: Option<IpAddr>,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Received {
        let fingerprint = digest(Hash::Sha256, &[datagram]).try_into().unwrap_or_default();
        if let Some((_, ack)) = self.last.as_ref().filter(|(last, _)| *last == fingerprint) {
            self.counters.repeated += 1;
            return Received::Again(ack.clone());
        }
        match self.take(keyring, datagram, now) {
            Ok(rekey) => {
                let ack = acknowledgement(keyring, own, from, &rekey, now);
                self.last = Some((fingerprint, ack.clone()));
                self.last_received = Some((now, rekey.sequence));
                self.counters.received += 1;
                Received::New(Box::new(rekey), ack)
            }
            Err(reason) => {
                self.count(&reason);
                Received::Refused(reason)
            }
        }
    }

    fn take(&self, keyring: &Keyring, datagram: &[u8], now: Instant) -> Result<Rekey, Error> {
        let (header, _) = Header::parse(datagram)?;
        let kek = keyring.kek_named(Cookies::of(&header).octets(), now).ok_or(Misbehaved::UnknownExchange)?;
        let rekey = receive(kek, datagram)?;
        keyring.check(&rekey)?;
        let theirs = rekey.policy.as_ref().and_then(|policy| policy.pseudotime);
        if let (Some(theirs), Some(ours)) = (theirs, keyring.pseudotime(now)) {
            check_pseudotime(theirs, ours)?;
        }
        Ok(rekey)
    }

    /// Whether a message with a number that was used is the key server's, and was made after the last one that was taken
    /// in: then the server has gone back to an older state. A message that is only sent once more was not.
    pub(super) fn is_newer(&mut self, keyring: &Keyring, datagram: &[u8], now: Instant) -> bool {
        let Ok((header, _)) = Header::parse(datagram) else { return false };
        let kek = keyring.kek_named(Cookies::of(&header).octets(), now);
        let Some(any_number) = kek.map(|kek| Kek { sequence: 0, ..kek.clone() }) else { return false };
        let told = keyring.told_time();
        let is_later = |made: Option<u64>| made.zip(told).is_some_and(|(made, told)| made > told);
        // Whoever sends old messages again does not use up what there is for those that may be new.
        if !is_later(claimed_time(&any_number, datagram)) || !self.may_look(now) {
            return false;
        }
        let policy = receive(&any_number, datagram).ok().and_then(|rekey| rekey.policy);
        is_later(policy.and_then(|policy| policy.pseudotime))
    }

    /// Whether one more signature may be verified that may come to nothing.
    fn may_look(&mut self, now: Instant) -> bool {
        if now >= self.scrutiny.0 + SCRUTINY {
            self.scrutiny = (now, 0);
        }
        self.scrutiny.1 = self.scrutiny.1.saturating_add(1);
        self.scrutiny.1 <= MOST_LOOKED_INTO
    }

    /// Counts one that changes nothing.
    pub(super) fn count(&mut self, reason: &Error) {
        let counters = &mut self.counters;
        *match reason {
            Error::Misbehaved(Misbehaved::Sequence { .. }) => &mut counters.replayed,
            Error::Misbehaved(Misbehaved::TooOld(_) | Misbehaved::TooNew(_)) => &mut counters.untimely,
            Error::Misbehaved(Misbehaved::UnknownExchange) => &mut counters.unknown_spi,
            Error::Unauthenticated(Unauthenticated::Signature) => &mut counters.forged,
            _ => &mut counters.malformed,
        } += 1;
    }
}

fn check_pseudotime(theirs: u64, ours: u64) -> Result<(), Misbehaved> {
    let tolerance = TOLERANCE.as_millis() as u64;
    match (ours.saturating_sub(theirs), theirs.saturating_sub(ours)) {
        (age, _) if age > tolerance => Err(Misbehaved::TooOld(age / 1000)),
        (_, ahead) if ahead > tolerance => Err(Misbehaved::TooNew(ahead / 1000)),
        _ => Ok(()),
    }
}

/// The acknowledgement, if the KEK asks for one and the member knows the address that it registered with.
fn acknowledgement(
    keyring: &Keyring,
    own: Option<IpAddr>,
    from: SocketAddr,
    rekey: &Rekey,
    now: Instant,
) -> Option<Transmit> {
    let (kek, sequence) = (keyring.kek_named(rekey.kek_spi, now)?, rekey.sequence);
    let destination = kek.destination.ip();
    let unicast = !destination.is_multicast() && !destination.is_unspecified();
    let member = unicast.then_some(destination).or(own)?;
    let payload = Acknowledgement { sequence, member }.emit(kek)?;
    Some(Transmit { to: from, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_out_of_time_are_refused() {
        assert_eq!(check_pseudotime(1_000_000, 1_000_000), Ok(()));
        assert_eq!(check_pseudotime(900_000, 1_000_000), Ok(()));
        assert_eq!(check_pseudotime(1_100_000, 1_000_000), Ok(()));
        assert_eq!(check_pseudotime(899_000, 1_000_000), Err(Misbehaved::TooOld(101)));
        assert_eq!(check_pseudotime(1_101_000, 1_000_000), Err(Misbehaved::TooNew(101)));
    }
}
