//! What can be held beside flowtables, and what cannot.

use std::collections::BTreeSet;

use super::{is_name, Target};
use crate::installed::Installed;
use crate::model::{Desired, Gate, Mode};
use crate::nft::{comes_after, Border, Flowtable, PlaneRules};

impl Target {
    /// For these planes, at those of their links that flowtables serve.
    pub(super) fn hold_at_links(&mut self, installed: &Installed, desired: &Desired, rules: &[PlaneRules]) {
        let mut served = BTreeSet::new();
        for plane in desired.planes.iter().filter(|plane| plane.gate != Gate::Open) {
            for link in installed.links_of(plane).into_iter().map(|link| &link.name) {
                let problems = installed.flowtables.iter().filter_map(|one| problem(one, link, &plane.gate));
                self.problems.extend(problems);
                if is_name(link) && installed.flowtables.iter().any(|one| one.serves(link)) {
                    served.insert(link.clone());
                }
            }
        }
        self.border = Border::new(rules, &served);
    }
}

fn problem(flowtable: &Flowtable, link: &str, gate: &Gate) -> Option<String> {
    let accepts_clear = matches!(gate, Gate::Protect(protection) if protection.mode == Mode::AcceptClear);
    let problem = if !flowtable.serves(link) || !is_name(link) {
        format!(
            "{flowtable} does not name it, so flows to which NAT gives an address of the access list can leave through it in \
             clear: add {link} to its devices"
        )
    } else if comes_after(flowtable) {
        format!(
            "{flowtable} comes first, so clear packets of protected flows can come in by it: give it a higher priority than {}",
            flowtable.priority
        )
    } else if flowtable.in_hardware {
        format!(
            "{flowtable} works in hardware, where nothing holds flows to which NAT gives an address of the access list, or that \
             come in clear: keep them out of it (encrypted flows are never there)"
        )
    } else if accepts_clear {
        format!(
            "{flowtable} takes flows that come in clear, and their answers are held back then because they would be clear, too: \
             as long as clear packets are accepted, keep it from what comes in by {link}"
        )
    } else {
        return None;
    };
    Some(format!("interface {link}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protection;

    #[test]
    fn what_cannot_be_held_is_told() {
        let (usual, first) = (Flowtable::of("wan0", 0), Flowtable::of("wan0", i32::MIN));
        let mut hard = usual.clone();
        hard.in_hardware = true;
        let said = |flowtable, link| problem(flowtable, link, &Gate::Closed).unwrap_or_default();
        assert_eq!(said(&usual, "wan0"), "");
        assert!(said(&usual, "wan1").contains("add wan1 to its devices"));
        assert!(said(&first, "wan0").contains("comes first") && said(&hard, "wan0").contains("in hardware"));
        let passive = Gate::Protect(Protection { mode: Mode::AcceptClear, ..Default::default() });
        assert!(problem(&usual, "wan0", &passive).is_some_and(|said| said.contains("answers are held back")));
    }
}
