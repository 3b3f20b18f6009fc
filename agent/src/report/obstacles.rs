//! What else on the router eats a group's packets.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// Something eats a group's packets on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// The protected interface.
    pub interface: String,
    /// Where they are lost.
    pub place: ObstaclePlace,
    /// How many were lost since then; none were counted where a setting says it.
    pub lost_packets: u64,
    /// How many came there.
    pub of_packets: u64,
    /// When it was noticed.
    pub since: Timestamp,
}

/// Where packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstaclePlace {
    /// ESP that comes in: in hook prerouting, up to priority raw.
    PreroutingRaw,
    /// The same: in hook prerouting, behind priority raw.
    Prerouting,
    /// What comes in: in reverse path filtering.
    ReversePath,
    /// ESP for the inbound anchor: where it is routed.
    Routing,
    /// ESP for the inbound anchor: in hook input.
    Input,
    /// What was decrypted: in hook prerouting.
    PreroutingDecrypted,
    /// What was decrypted: by XFRM policies of others.
    Policy,
    /// What was decrypted: the interface does not forward.
    Forwarding,
    /// What was decrypted: in hook forward.
    Forward,
    /// What is to be encrypted: `disable_xfrm` is set.
    DisableXfrm,
    /// What is to be encrypted: in hook postrouting.
    PostroutingClear,
    /// ESP that leaves: in hook output.
    Output,
    /// The same: in hook postrouting.
    Postrouting,
}

impl Obstacle {
    /// What happens, and where.
    pub fn label(&self) -> String {
        format!("{}, {}", self.interface, self.place.words().0)
    }

    /// What happens, where, and what to do.
    pub fn text(&self) -> String {
        let Obstacle { interface, lost_packets, of_packets, .. } = self;
        let advice = self.place.words().1.replace("WAN", interface);
        let counted = match of_packets {
            0 => String::new(),
            _ => format!(" ({lost_packets} of {of_packets} packets lost)"),
        };
        format!("{}{counted}: {advice}", self.label())
    }
}

impl ObstaclePlace {
    /// Whether an operator may well want it.
    pub const fn may_be_meant(self) -> bool {
        matches!(self, ObstaclePlace::Forward | ObstaclePlace::PostroutingClear)
    }

    /// Where and what, and what to do, in which WAN stands for the interface.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            ObstaclePlace::PreroutingRaw => (
                "hook prerouting up to priority raw drops ESP that comes in",
                "accept `iifname WAN meta l4proto esp` there first; its addresses are the hosts' own, which filters of bogons or \
                 private sources name",
            ),
            ObstaclePlace::Prerouting => (
                "hook prerouting behind priority raw drops ESP that comes in",
                "accept `iifname WAN meta l4proto esp` there first; there its destination is an anchor, which filters of bogons \
                 name unless `anchors: as112` is configured",
            ),
            ObstaclePlace::ReversePath => (
                "rp_filter drops what comes in",
                "the way back to its source is not WAN: mend the routes, or set net.ipv4.conf.WAN.rp_filter and that of \
                 `all` to 2 or 0",
            ),
            ObstaclePlace::Routing => (
                "the routing decision drops ESP for the inbound anchor",
                "`ip route get ANCHOR from HOST iif WAN` must say `local`: look for rules before table local (`ip rule`)",
            ),
            ObstaclePlace::Input => {
                ("hook input drops ESP", "accept `iifname WAN meta l4proto esp` there before anything drops")
            }
            ObstaclePlace::PreroutingDecrypted => (
                "hook prerouting drops what was decrypted",
                "accept `iifname WAN meta ipsec exists` there before private or bogon sources are dropped",
            ),
            ObstaclePlace::Policy => (
                "XFRM policies of others drop what was decrypted",
                "`ip xfrm policy`: which `fwd` or `in` policy names the hosts and comes first?",
            ),
            ObstaclePlace::Forwarding => (
                "what was decrypted is not forwarded",
                "set net.ipv4.ip_forward and net.ipv4.conf.WAN.forwarding to 1",
            ),
            ObstaclePlace::Forward => (
                "hook forward drops all that was decrypted",
                "if that is not meant, accept `iifname WAN meta ipsec exists` there",
            ),
            ObstaclePlace::DisableXfrm => (
                "disable_xfrm is set: nothing is encrypted, and what should be is blocked",
                "set net.ipv4.conf.WAN.disable_xfrm and that of `all` to 0",
            ),
            ObstaclePlace::PostroutingClear => (
                "hook postrouting drops all that is to be encrypted",
                "if that is not meant, accept `oifname WAN rt ipsec exists` there",
            ),
            ObstaclePlace::Output => {
                ("hook output drops ESP", "accept `oifname WAN meta l4proto esp` there before anything drops")
            }
            ObstaclePlace::Postrouting => (
                "hook postrouting drops ESP that leaves",
                "accept `oifname WAN meta l4proto esp` there before anything drops",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_where_and_what_to_do() {
        let obstacle = |place, lost_packets, of_packets| Obstacle {
            interface: "wan0".into(),
            place,
            lost_packets,
            of_packets,
            since: Timestamp::now(),
        };
        assert_eq!(
            obstacle(ObstaclePlace::Input, 40, 41).text(),
            "wan0, hook input drops ESP (40 of 41 packets lost): accept `iifname wan0 meta l4proto esp` there before \
             anything drops"
        );
        assert_eq!(
            obstacle(ObstaclePlace::DisableXfrm, 0, 0).text(),
            "wan0, disable_xfrm is set: nothing is encrypted, and what should be is blocked: set \
             net.ipv4.conf.wan0.disable_xfrm and that of `all` to 0"
        );
        assert_eq!(serde_json::to_value(ObstaclePlace::PreroutingRaw).unwrap(), "prerouting_raw");
    }
}
