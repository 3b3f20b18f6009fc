//! A table that is written while traffic passes.
//!
//! A set of ranges is filled after the rules that ask it have come into force (rbtree since Linux 7.0, pipapo always).
//! The more there is to tell a listener, the later.

use xfrm::{Ace, Desired, Gate, Plane, Slot, Spi, SpiBlock};

use crate::bench::{acl, acl_ipv6, dual, permit, prefix, sa, Flood, Lab};

/// So many entries that the lists are sets.
fn entries() -> Vec<Ace> {
    let far = |number| permit(prefix([172, 20, number, 0], 24), prefix([10, 0, 0, 0], 8));
    acl().into_iter().chain((0..40).map(far)).chain(acl_ipv6()).collect()
}

#[test]
fn a_new_table_under_a_flood_loses_nothing() {
    let Some(lab) = Lab::build() else { return };
    let wish = |member, mss| {
        let mut plane = Plane { mss, ..dual(member, entries()) };
        if let Gate::Protect(protection) = &mut plane.gate {
            protection.blocks =
                [0x9000_0000, 0x9010_0000].map(|base| SpiBlock::new(Spi(base), 20).unwrap()).into();
        }
        Desired { planes: vec![plane] }
    };
    for member in ["gm1", "gm2"] {
        lab.apply(member, &wish(member, None));
    }
    let mut listener = lab.start("gm1", "nft monitor > /dev/null");
    let also = Flood::start(&lab, "2001:db8:a2::10");
    Flood::start(&lab, "10.2.2.10").through_rounds(|round| {
        lab.apply("gm1", &wish("gm1", Some(1200 + (round % 100) as u16)));
    });
    also.finish();
    listener.kill().unwrap();
    listener.wait().unwrap();
}

/// What an operator does: `nft list ruleset > /etc/nftables.conf`.
#[test]
fn the_table_is_read_as_it_is_listed() {
    let Some(lab) = Lab::build() else { return };
    // Which has rules of its own.
    lab.run("gm1", "ip link add red type vrf table 10 && ip link set red up && ip link set wan master red");
    let mut plane = Plane { mss: Some(1300), ..dual("gm1", entries()) };
    plane.clear = ["tcp any any eq 179", "icmp any any"].map(|text| text.parse().unwrap()).into();
    plane.servers = vec!["192.0.2.10:848".parse().unwrap()];
    plane.rekey_group = Some("239.1.1.1:848".parse().unwrap());
    if let Gate::Protect(protection) = &mut plane.gate {
        protection.blocks = SpiBlock::new(Spi(0x9000_0000), 20).into_iter().collect();
        protection.inbound.push(sa(1));
    }
    let closed = Plane { slot: Slot::new(1).unwrap(), gate: Gate::Closed, ..plane.clone() };
    lab.run(
        "gm1",
        "nft 'table inet operator { flowtable fast { hook ingress priority 0; devices = { wan, lan }; }; }'",
    );
    lab.apply("gm1", &Desired { planes: vec![plane, closed] });
    let listing =
        || lab.run("gm1", "nft -s -t list table inet gdoi; nft -s -t list table netdev gdoi || true");
    assert!(listing().contains("hook egress"), "{}", listing());
    for form in ["", "-j"] {
        if form == "-j" {
            // The JSON of nft 1.0.6 loses the links of chains, whosesoever.
            lab.run("gm1", "nft 'delete table inet operator; delete table netdev gdoi'");
        }
        let before = listing();
        lab.run(
            "gm1",
            &format!(
                "nft {form} list ruleset > $LAB_OUT/table{form}; nft flush ruleset; nft {form} -f $LAB_OUT/table{form}"
            ),
        );
        let after = listing();
        // JSON does not tell that packets fill a set, and names its type.
        let same = |text: &str| {
            let text = text.replace("typeof meta priority . meta mark", "type classid . mark");
            let lines = text.lines().filter(|line| !line.trim().starts_with("flags "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(same(&after), same(&before), "{form}");
    }
}
