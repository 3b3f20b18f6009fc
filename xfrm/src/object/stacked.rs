//! How links lie upon each other.

/// What a link has above and below itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacked {
    /// What kind of link it is, in the kernel's word; a card's is empty.
    pub kind: String,
    /// Index of the bridge, bond or team that it is a port of, or of the VRF that it is in.
    pub master: Option<u32>,
    /// Index of the link that it sends by, in this network namespace.
    pub below: Option<u32>,
}

impl Stacked {
    /// Whether it takes over the packets of its ports. A VRF leaves them where they are.
    pub fn has_ports(&self) -> bool {
        self.kind != "vrf"
    }

    /// Whether it is another end on the wire of the link below it: what that one protects would pass beside it.
    pub fn shares_wire(&self) -> bool {
        ["macvlan", "ipvlan"].contains(&self.kind.as_str())
    }

    /// Whether it is a network of its own on the wire of the link below it.
    pub fn is_tagged(&self) -> bool {
        ["vlan", "macsec"].contains(&self.kind.as_str())
    }
}
