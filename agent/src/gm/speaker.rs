//! From which address GDOI is spoken: the one that is configured, or that of the first interface, which may change.

use crate::addresses::Addresses;
use crate::config::{InterfaceName, InterfacePattern, MemberSettings};
use crate::events::{Event, Severity};
use crate::socket::{Device, Place};
use gdoi::policy::Family;
use nix::net::if_::if_nametoindex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    vrf: Option<InterfaceName>,
    /// The VRF, while it is there.
    device: Option<Device>,
    port: u16,
    family: Family,
    source: Source,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The same whatever the interfaces have.
    Configured(IpAddr),
    /// An address of this interface.
    Interface(InterfacePattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There has been no address since the start.
    Waiting,
    /// It is there.
    Speaking(IpAddr),
    /// It was there.
    Silent(IpAddr),
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The interface has no address any more.
    Lost(IpAddr),
    /// The address is back.
    Back(IpAddr),
    /// There is another address, or the first one.
    Moved(Option<IpAddr>, IpAddr),
}

impl Speaker {
    /// One for each VRF that groups name, and for none, in the order of the groups.
    pub fn all(settings: &MemberSettings, own: &Addresses) -> Vec<Self> {
        let mut vrfs = Vec::new();
        for (group, _) in &settings.groups {
            if !vrfs.contains(&&group.vrf) {
                vrfs.push(&group.vrf);
            }
        }
        vrfs.into_iter().filter_map(|vrf| Self::new(settings, vrf.as_ref(), own)).collect()
    }

    /// What the first group of this VRF says; None without any.
    fn new(settings: &MemberSettings, vrf: Option<&InterfaceName>, own: &Addresses) -> Option<Self> {
        let (group, _) = settings.groups.iter().find(|(group, _)| group.vrf.as_ref() == vrf)?;
        let source = match group.local_address {
            Some(address) => Source::Configured(address),
            None => Source::Interface(group.interfaces.first()?.clone()),
        };
        let family = Family::of(group.servers.first()?.ip());
        let (vrf, port) = (vrf.cloned(), settings.port);
        let mut speaker = Speaker { vrf, device: None, port, family, source, state: State::Waiting };
        speaker.look(own);
        Some(speaker)
    }

    /// Compares with what the interfaces have now. An address that is still there is kept, whatever else came.
    pub fn look(&mut self, own: &Addresses) -> Option<Change> {
        let before = self.state;
        self.device = self.vrf.as_ref().and_then(device);
        self.state = self.seen(own);
        match (before, self.state) {
            (State::Speaking(old) | State::Silent(old), State::Speaking(new)) if old != new => {
                Some(Change::Moved(Some(old), new))
            }
            (State::Silent(_), State::Speaking(address)) => Some(Change::Back(address)),
            (State::Waiting, State::Speaking(new)) => Some(Change::Moved(None, new)),
            (State::Speaking(_), State::Silent(old)) => Some(Change::Lost(old)),
            _ => None,
        }
    }

    fn seen(&self, own: &Addresses) -> State {
        let found = match &self.source {
            _ if self.lacks_vrf() => None,
            Source::Configured(address) => Some(*address),
            Source::Interface(interface) => {
                let kept = self.address().filter(|address| own.holds(interface.as_str(), *address));
                kept.or_else(|| own.first_of(interface.as_str(), self.family))
            }
        };
        match (found, self.address()) {
            (Some(address), _) => State::Speaking(address),
            (None, Some(old)) => State::Silent(old),
            (None, None) => State::Waiting,
        }
    }

    /// The address, there or not; None if there has been none.
    pub fn address(&self) -> Option<IpAddr> {
        match self.state {
            State::Waiting => None,
            State::Speaking(address) | State::Silent(address) => Some(address),
        }
    }

    /// What the data plane lets GDOI pass from.
    pub fn local(&self) -> IpAddr {
        self.address().unwrap_or(nowhere(self.family))
    }

    /// The VRF that is spoken through.
    pub fn vrf(&self) -> Option<&InterfaceName> {
        self.vrf.as_ref()
    }

    fn lacks_vrf(&self) -> bool {
        self.vrf.is_some() && self.device.is_none()
    }

    /// Where the socket is.
    pub fn place(&self) -> Place {
        let address = match self.address().filter(|_| !self.lacks_vrf()) {
            Some(address) => SocketAddr::new(address, self.port),
            None => SocketAddr::new(nowhere(self.family), 0),
        };
        Place { address, device: self.device.clone() }
    }

    /// What the operator must know while there is no address.
    pub fn problem(&self) -> Option<String> {
        if let Some(vrf) = self.vrf.as_ref().filter(|_| self.lacks_vrf()) {
            return Some(format!("VRF {vrf} does not exist: registration waits for it"));
        }
        let Source::Interface(interface) = &self.source else { return None };
        match self.state {
            State::Waiting => Some(format!(
                "{interface} has no {} address yet, and no local-address is configured: registration waits for one",
                self.family
            )),
            State::Silent(old) => Some(format!(
                "{interface} has lost the address {old} and has no other: registration waits, keys are used to their end"
            )),
            State::Speaking(_) => None,
        }
    }
}

fn device(vrf: &InterfaceName) -> Option<Device> {
    let index = if_nametoindex(vrf.as_str()).ok()?;
    Some(Device { name: vrf.to_string(), index })
}

/// While there is no address nobody can be spoken to: a socket here sends to this host at most.
const fn nowhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

impl Change {
    /// What the log says.
    pub fn event(&self) -> Event {
        match self {
            Change::Lost(old) => Event::new(
                Severity::Warning,
                "GM_ADDRESS_MISSING",
                format!("{old}, from which GDOI is spoken, is gone, and its interface has no other; waiting for one"),
            ),
            Change::Back(address) => Event::new(
                Severity::Notice,
                "GM_ADDRESS_CHANGED",
                format!("{address}, from which GDOI is spoken, is back"),
            ),
            Change::Moved(None, new) => {
                Event::new(Severity::Notice, "GM_ADDRESS_CHANGED", format!("GDOI is spoken from {new}"))
            }
            Change::Moved(Some(old), new) => Event::new(
                Severity::Notice,
                "GM_ADDRESS_CHANGED",
                format!("GDOI is spoken from {new} instead of {old}; registering from there"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source as File};
    use std::path::Path;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 33));

    fn own(addresses: &[(&str, IpAddr)]) -> Addresses {
        addresses.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect()
    }

    fn speaker(local: &str, addresses: &Addresses) -> Speaker {
        let text = format!(
            r#"groups: [{{name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0, wan1], pre-shared-key: "only for tests"{local}}}]
"#
        );
        let mut source = File::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        Speaker::all(&file.settle(&mut source).unwrap(), addresses).remove(0)
    }

    #[test]
    fn the_first_address_of_the_first_interface_is_spoken_from() {
        let speaker = speaker("", &own(&[("wan1", B), ("wan0", A), ("wan0", B)]));
        assert_eq!((speaker.place().address, speaker.local()), (SocketAddr::new(A, 848), A));
        assert_eq!(speaker.problem(), None);
    }

    #[test]
    fn without_an_address_it_waits() {
        let mut speaker = speaker("", &own(&[("wan1", B)]));
        assert_eq!((speaker.address(), speaker.place().address), (None, "127.0.0.1:0".parse().unwrap()));
        assert!(speaker.problem().unwrap().starts_with("wan0 has no IPv4 address yet"));
        assert_eq!(speaker.look(&own(&[])), None);
        assert_eq!(speaker.look(&own(&[("wan0", A)])), Some(Change::Moved(None, A)));
        assert_eq!((speaker.address(), speaker.problem()), (Some(A), None));
    }

    #[test]
    fn an_address_that_is_there_is_kept_and_another_taken_when_it_goes() {
        let mut speaker = speaker("", &own(&[("wan0", A)]));
        assert_eq!(speaker.look(&own(&[("wan0", B), ("wan0", A)])), None);
        assert_eq!(speaker.look(&own(&[("wan0", B), ("wan1", A)])), Some(Change::Moved(Some(A), B)));
        assert_eq!(speaker.place().address, SocketAddr::new(B, 848));
    }

    #[test]
    fn an_address_that_comes_back_is_no_other() {
        let mut speaker = speaker("", &own(&[("wan0", A)]));
        assert_eq!(speaker.look(&own(&[])), Some(Change::Lost(A)));
        assert_eq!((speaker.look(&own(&[])), speaker.local()), (None, A));
        assert!(speaker.problem().unwrap().starts_with("wan0 has lost the address 198.51.100.1"));
        let mut other = speaker.clone();
        assert_eq!(speaker.look(&own(&[("wan0", A)])), Some(Change::Back(A)));
        assert_eq!(other.look(&own(&[("wan0", B)])), Some(Change::Moved(Some(A), B)));
    }

    #[test]
    fn the_servers_say_of_which_family_the_address_is() {
        let text = "groups: [{name: a, identity-number: 1, servers: [2001:db8::10], interfaces: [wan0], pre-shared-key: \"only for tests\"}]\n";
        let mut source = File::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let mut speaker = Speaker::all(&file.settle(&mut source).unwrap(), &own(&[("wan0", A)])).remove(0);
        assert_eq!((speaker.address(), speaker.place().address), (None, "[::1]:0".parse().unwrap()));
        assert!(speaker.problem().unwrap().starts_with("wan0 has no IPv6 address yet"));
        assert_eq!(speaker.look(&own(&[("wan0", A), ("wan0", six)])), Some(Change::Moved(None, six)));
        assert_eq!(speaker.place().address, SocketAddr::new(six, 848));
    }

    /// The loopback stands for a VRF that is there.
    #[test]
    fn each_vrf_has_a_speaker_which_waits_for_it() {
        let group = |name: &str, number: u8, vrf: &str| {
            format!(
                r#"{{name: {name}, identity-number: {number}, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"{vrf}}}"#
            )
        };
        let groups = [
            group("a", 1, ", vrf: lo"),
            group("b", 2, ""),
            group("c", 3, ", vrf: gone0"),
            group("d", 4, ", vrf: lo"),
        ];
        let text = format!("groups: [{}]\n", groups.join(", "));
        let mut source = File::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        let speakers = Speaker::all(&file.settle(&mut source).unwrap(), &own(&[("wan0", A)]));
        let places: Vec<_> = speakers.iter().map(Speaker::place).collect();
        let lo = Device { name: "lo".into(), index: 1 };
        assert_eq!(places[0], Place { address: SocketAddr::new(A, 848), device: Some(lo) });
        assert_eq!(places[1], Place { address: SocketAddr::new(A, 848), device: None });
        assert_eq!(places[2], Place { address: "127.0.0.1:0".parse().unwrap(), device: None });
        assert_eq!(speakers[2].problem(), Some("VRF gone0 does not exist: registration waits for it".into()));
        assert_eq!(speakers.len(), 3);
    }

    #[test]
    fn a_configured_address_stays() {
        let mut speaker = speaker(", local-address: 198.51.100.33", &own(&[]));
        assert_eq!(speaker.address(), Some(B));
        assert_eq!(speaker.look(&own(&[("wan0", A)])), None);
    }
}
