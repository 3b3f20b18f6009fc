//! How a rule knows a plane's links.
//!
//! By name a link is held from its first moment on, and by index also when somebody has given it another name, before
//! anybody can notice. nft prints the name of an index and refuses names that it does not find when it loads what it has
//! printed; of a number that can be no index it prints the number. So the index is compared beside a bit that none has.
//!
//! Packets that came in by a link of a VRF (virtual routing and forwarding) have the VRF for their incoming interface behind
//! prerouting, and the link itself is told apart (`sdif`).

use std::collections::BTreeSet;

/// The kernel counts indices from 1 up and gives no link this one.
const BIT: u32 = 1 << 30;

/// A plane's links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// A name, or the beginning of names and `*`.
    pub name: String,
    /// Those that there are.
    pub indices: BTreeSet<u32>,
    /// Those of them that are called otherwise by now.
    pub renamed: BTreeSet<u32>,
    /// Where they route.
    pub routing: Routing,
}

/// By which tables a plane's links route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// By those of the whole machine.
    #[default]
    Main,
    /// Some of them by those of a VRF, which packets pass by twice.
    Vrf,
}

/// Where packets meet a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They come in; in prerouting.
    In,
    /// They have come in, and it is known where they go.
    Behind,
    /// They leave.
    Out,
}

impl Interfaces {
    /// What is true of the plane's packets, even if the links have got other names since: for what holds packets back.
    pub fn held(&self, way: Way) -> Vec<String> {
        self.conditions(way, &self.indices)
    }

    /// What is true of the plane's packets as long as the links keep the names that they have: for all other rules, of
    /// which there are many.
    pub fn served(&self, way: Way) -> Vec<String> {
        self.conditions(way, &self.renamed)
    }

    fn conditions(&self, way: Way, indices: &BTreeSet<u32>) -> Vec<String> {
        let (index, name) = match way {
            Way::In => ("iif", "iifname"),
            Way::Out => ("oif", "oifname"),
            Way::Behind => {
                let seen = [("iif", "iifname"), ("meta sdif", "meta sdifname")];
                return seen.into_iter().flat_map(|names| self.named(names, indices)).collect();
            }
        };
        self.named((index, name), indices)
    }

    fn named(&self, (index, name): (&str, &str), indices: &BTreeSet<u32>) -> Vec<String> {
        let own = &self.name;
        let others = indices.iter().filter(|number| **number < BIT);
        let others = others.map(|number| format!("{index} | {BIT} == {} {name} != \"{own}\"", BIT | number));
        std::iter::once(format!("{name} \"{own}\"")).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_known_by_name_and_by_index() {
        let routing = Routing::Main;
        let links = Interfaces { name: "ppp*".into(), indices: [3, 9].into(), renamed: [9].into(), routing };
        assert_eq!(
            links.held(Way::Out),
            [
                "oifname \"ppp*\"",
                "oif | 1073741824 == 1073741827 oifname != \"ppp*\"",
                "oif | 1073741824 == 1073741833 oifname != \"ppp*\""
            ]
        );
        assert_eq!(
            links.served(Way::In),
            ["iifname \"ppp*\"", "iif | 1073741824 == 1073741833 iifname != \"ppp*\""]
        );
        assert_eq!(
            links.served(Way::Behind)[2..],
            ["meta sdifname \"ppp*\"", "meta sdif | 1073741824 == 1073741833 meta sdifname != \"ppp*\""]
        );
    }
}
