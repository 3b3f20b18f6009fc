//! Only the primary of the key servers that share a group makes keys and removes members: others tell whom to ask.

use gdoi::coop::{CoopPeerStatus, CoopPeerWord, CoopStatus, Role};
use gdoi::GroupStatus;

/// Whether this key server may change these groups. One that it may not is enough: what an operator asks for is done in
/// all of them or in none.
///
/// # Errors
/// It is not primary of a group; the reason says whom to ask.
pub fn require(groups: &[&GroupStatus]) -> Result<(), String> {
    let foreign = groups.iter().filter_map(|group| Some((group, whom_to_ask(group.coop.as_ref()?)?))).next();
    match foreign {
        Some((group, advice)) => Err(format!("group {}: {advice}; nothing was changed", group.group.name)),
        None => Ok(()),
    }
}

fn whom_to_ask(coop: &CoopStatus) -> Option<String> {
    match (coop.role, coop.primary) {
        (Role::Primary, _) => None,
        (Role::Yielding, _) => {
            Some("this key server hands the role of the primary over, try again in a few seconds".into())
        }
        (Role::Secondary | Role::Starting, Some(primary)) => {
            Some(format!("this key server is not primary, ask {primary}"))
        }
        _ => Some("no primary key server is elected yet, try again in a few seconds".into()),
    }
}

/// The groups of `groups` whose role of the primary this server can give away.
///
/// # Errors
/// It is primary of none, or no other server could take the role of one.
pub fn can_be_given_away(groups: &[GroupStatus]) -> Result<Vec<&GroupStatus>, String> {
    let shared: Vec<_> = groups.iter().filter(|group| group.coop.is_some()).collect();
    if shared.is_empty() {
        return Err("there is nobody to take the role of the primary: no `redundancy` is configured".into());
    }
    let led: Vec<_> = shared.iter().copied().filter(|group| role(group) == Some(Role::Primary)).collect();
    if led.is_empty() {
        require(&shared)?;
    }
    match led.iter().find(|group| !has_successor(group)) {
        Some(group) => Err(format!(
            "group {}: no other key server is alive, secondary and has the same keys, see `gdoictl show ks coop`; \
             nothing was changed",
            group.group.name
        )),
        None => Ok(led),
    }
}

fn has_successor(group: &GroupStatus) -> bool {
    let able = |said: CoopPeerWord| said.role == Role::Secondary && said.in_step;
    let ready = |peer: &CoopPeerStatus| peer.alive && peer.said.is_some_and(able);
    group.coop.as_ref().is_some_and(|coop| coop.peers.iter().any(ready))
}

fn role(group: &GroupStatus) -> Option<Role> {
    group.coop.as_ref().map(|coop| coop.role)
}

/// What became of an attempt to give the role away.
///
/// # Errors
/// The server has kept it.
pub fn given_away(after: &GroupStatus) -> Result<String, String> {
    let name = &after.group.name;
    match after.coop.as_ref().map(|coop| (coop.role, coop.primary)) {
        Some((Role::Secondary, Some(primary))) => Ok(format!("{primary} is primary now")),
        Some((Role::Yielding | Role::Secondary, _)) => {
            Ok("the role of the primary is handed over; `gdoictl show ks coop` tells to whom".into())
        }
        _ => Err(format!("group {name}: the role of the primary could not be handed over, see the log")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{coop, group};
    use super::*;

    fn asked(role: Role, primary: Option<u8>) -> Result<(), String> {
        require(&[&group("alone", None), &group("corp", Some(coop(role, primary)))])
    }

    #[test]
    fn the_primary_and_a_server_without_others_may_act() {
        assert_eq!(asked(Role::Primary, Some(10)), Ok(()));
        assert_eq!(require(&[&group("alone", None)]), Ok(()));
    }

    #[test]
    fn others_say_whom_to_ask() {
        for (role, primary, reason) in [
            (Role::Secondary, Some(11), "this key server is not primary, ask 192.0.2.11"),
            (Role::Starting, Some(11), "this key server is not primary, ask 192.0.2.11"),
            (Role::Starting, None, "no primary key server is elected yet"),
            (Role::Secondary, None, "no primary key server is elected yet"),
            (Role::Electing, Some(11), "no primary key server is elected yet"),
            (Role::Yielding, Some(10), "this key server hands the role of the primary over"),
        ] {
            let refused = asked(role, primary).unwrap_err();
            assert!(refused.starts_with(&format!("group corp: {reason}")), "{refused}");
            assert!(refused.ends_with("; nothing was changed"), "{refused}");
        }
    }

    #[test]
    fn one_group_of_another_primary_stops_all() {
        let (own, other) = (coop(Role::Primary, Some(10)), coop(Role::Secondary, Some(11)));
        let refused = require(&[&group("own", Some(own)), &group("other", Some(other))]).unwrap_err();
        assert!(refused.starts_with("group other: "), "{refused}");
    }

    #[test]
    fn the_role_of_all_groups_that_it_leads_is_given_away() {
        let groups = [
            group("alone", None),
            group("own", Some(coop(Role::Primary, Some(10)))),
            group("other", Some(coop(Role::Secondary, Some(11)))),
        ];
        let led = can_be_given_away(&groups).unwrap();
        assert_eq!(led.iter().map(|group| group.group.name.as_str()).collect::<Vec<_>>(), ["own"]);
        let refused = can_be_given_away(&groups[..1]).unwrap_err();
        assert!(refused.ends_with("no `redundancy` is configured"), "{refused}");
        let refused = can_be_given_away(&groups[2..]).unwrap_err();
        assert!(refused.contains("ask 192.0.2.11"), "{refused}");
    }

    #[test]
    fn without_a_server_alive_and_in_step_the_role_stays() {
        let unable: [fn(&mut CoopPeerStatus); 4] = [
            |peer| peer.alive = false,
            |peer| peer.said = None,
            |peer| peer.said = peer.said.map(|said| CoopPeerWord { in_step: false, ..said }),
            |peer| peer.said = peer.said.map(|said| CoopPeerWord { role: Role::Starting, ..said }),
        ];
        for change in unable {
            let mut coop = coop(Role::Primary, Some(10));
            change(&mut coop.peers[0]);
            let refused = can_be_given_away(&[group("corp", Some(coop))]).map(drop).unwrap_err();
            assert!(refused.starts_with("group corp: no other key server is alive, secondary"), "{refused}");
        }
    }

    #[test]
    fn what_became_of_it_is_told() {
        let told = |role, primary| given_away(&group("corp", Some(coop(role, primary))));
        assert!(told(Role::Yielding, Some(10)).unwrap().contains("is handed over"));
        assert!(told(Role::Secondary, None).unwrap().contains("is handed over"));
        assert_eq!(told(Role::Secondary, Some(11)), Ok("192.0.2.11 is primary now".into()));
        assert!(told(Role::Primary, Some(10)).unwrap_err().contains("could not be handed over, see the log"));
    }
}
