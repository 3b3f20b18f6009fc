//! What others give their interfaces, addresses, routes, states and policies, however odd, costs ours nothing.

use xfrm::Desired;

use crate::bench::{plane, protect, protecting, sa, Lab};

/// `Zürich` in Latin-1, which is no UTF-8, as the shell writes it.
const ZURICH: &str = "\"$(printf 'Z\\374rich')\"";

/// Fails unless the data plane is put in and repaired beside this, and sees what it saw without it.
fn works_beside(oddities: &[&str]) {
    let Some(lab) = Lab::build() else { return };
    let interfaces = |lab: &Lab| lab.kernel("gm1", |kernel| kernel.interfaces().map(|all| all.len()));
    let before = interfaces(&lab).unwrap();
    let mut made = 0;
    for oddity in oddities {
        let (success, words) = lab.attempt("gm1", oddity);
        match success {
            true => made += 1,
            false => println!("this kernel has no {oddity}: {words}"),
        }
    }
    assert!(made > 0, "none of {oddities:?} can be made");
    assert!(interfaces(&lab).unwrap() >= before);
    lab.protect(&[1]);
    assert!(lab.reaches("h1", "10.2.2.10"));
    for damage in ["ip xfrm policy flush", "ip xfrm state flush", "nft flush ruleset"] {
        lab.run("gm1", damage);
        lab.protect(&[1]);
        assert!(lab.reaches("h1", "10.2.2.10"), "not repaired: {damage}");
    }
    assert!(lab.kernel("gm1", |kernel| kernel.remove_all()).is_ok());
}

#[test]
fn an_alias_or_a_name_that_is_no_text_costs_nothing() {
    works_beside(&[
        &format!("ip link set wan alias {ZURICH}"),
        &format!("ip link set lan alias {ZURICH}"),
        &format!("ip link add {ZURICH} type dummy; ip link set {ZURICH} up"),
        &format!("ip addr add 10.77.0.1/24 dev lan label \"lan:$(printf '\\374')\""),
    ]);
}

/// A list of names that is longer than most answers of the kernel are.
#[test]
fn an_interface_with_very_many_names_costs_nothing() {
    works_beside(&["for n in $(seq 420); do n=$(printf %0120d $n) && echo link property add dev lan altname $n; done | ip -batch - && \
         for n in $(seq 400); do echo link property add dev wan altname $(printf w%0119d $n); done | ip -batch -"]);
}

#[test]
fn routes_of_others_under_our_mark_cost_nothing() {
    works_beside(&[
        "ip route add 10.98.0.0/16 proto 84 nexthop via 192.0.2.2 dev wan weight 3 nexthop dev lan",
        "ip route add 10.97.0.0/16 proto 84 via inet6 2001:db8:1::2 dev wan",
        "ip route add 10.96.0.0/16 proto 84 encap ip id 7 dst 192.0.2.2 dev wan",
        "ip -6 route add 2001:db8:96::/48 proto 84 encap seg6 mode encap segs 2001:db8:1::2 dev wan",
        "ip route add 10.95.0.0/16 proto 84 dev wan mtu lock 1300 congctl reno",
        "ip nexthop add id 9 via 192.0.2.2 dev wan && ip route add 10.94.0.0/16 proto 84 nhid 9",
    ]);
}

/// In 192.0.0.0/24, which the kernel's filter cannot tell from our anchors.
#[test]
fn states_and_policies_of_others_cost_nothing() {
    works_beside(&[
        "ip xfrm state add src 192.0.2.1 dst 192.0.0.9 proto comp spi 0x77 mode tunnel comp deflate",
        "ip xfrm state add src 192.0.2.1 dst 192.0.0.10 proto ah spi 0x78 auth 'hmac(sha256)' 0x01 flag align4",
        "ip xfrm state add src 192.0.2.1 dst 192.0.0.11 proto esp spi 0x79 mode transport enc 'ecb(cipher_null)' '' \
           auth digest_null '' encap espinudp 4500 4500 0.0.0.0 output-mark 7 mask 0xff if_id 99",
        "ip xfrm state add src 192.0.2.1 dst 192.0.0.12 proto esp spi 0x7a mode beet aead 'rfc4106(gcm(aes))' \
           0x0102030405060708090a0b0c0d0e0f1011121314 128 extra-flag dont-encap-dscp mark 5 mask 7 tfcpad 3",
        "ip xfrm policy add dir out src 10.55.0.0/16 dst 10.56.0.0/16 ptype sub",
        "ip xfrm policy add dir fwd src 10.55.0.0/16 dst 10.56.0.0/16 mark 7 mask 0xff if_id 9",
    ]);
}

/// What is under our own marks but not of us, as far as it can be read, is put right.
#[test]
fn what_is_at_our_anchors_is_replaced_however_odd() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    lab.run(
        "gm1",
        "ip xfrm state deleteall; \
         ip xfrm state add src 192.0.2.1 dst 192.0.0.84 proto esp spi 0x84800001 mode transport \
           enc 'cbc(aes)' 0x01020304050607080102030405060708 auth 'hmac(sha256)' 0x01020304050607080102030405060708 \
           encap espinudp 4500 4500 0.0.0.0 output-mark 7",
    );
    let gate = protecting(crate::bench::acl(), vec![sa(1)], Some(sa(1)));
    let report = lab.apply("gm1", &Desired { planes: vec![plane("gm1", gate)] });
    assert!(report.changes.len() >= 3, "{:?}", report.changes);
    assert!(lab.reaches("h1", "10.2.2.10"));
    assert_eq!(lab.apply("gm1", &protect("gm1", &[1])).changes, Vec::<String>::new());
}
