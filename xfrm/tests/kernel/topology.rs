//! Two members with a host each and a plain core between them, in network namespaces:
//! h1 10.1.1.10 - gm1 192.0.2.1 - core - gm2 198.51.100.1 - h2 10.2.2.10
//!
//! Few processes: starting one is what takes time in a user-mode or emulated kernel.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use nix::mount::{umount2, MntFlags};

use crate::place::Place;

/// A namespace each, with the addresses and routes that it has.
const HOSTS: [(&str, &str); 5] = [("h1", H1), ("gm1", GM1), ("core", CORE), ("gm2", GM2), ("h2", H2)];

/// What is between them; `@` stands for what the names of the namespaces begin with.
const LINKS: &str = "\
link add eth0 netns @h1 type veth peer name lan netns @gm1
link add wan netns @gm1 type veth peer name p1 netns @core
link add p2 netns @core type veth peer name wan netns @gm2
link add lan netns @gm2 type veth peer name eth0 netns @h2
";

/// 172.16/16 and 2001:db8:c0::/44 are what no access list entry names.
const H1: &str = "\
link set lo up
link set eth0 up
addr add 10.1.1.10/24 dev eth0
addr add 172.16.1.10/24 dev eth0
route add default via 10.1.1.1
route add 172.16.0.0/16 via 172.16.1.1
addr add 2001:db8:a1::10/64 dev eth0
addr add 2001:db8:c1::10/64 dev eth0
route add default via 2001:db8:a1::1
route add 2001:db8:c0::/44 via 2001:db8:c1::1
";

const GM1: &str = "\
link set lo up
link set lan up
link set wan up
addr add 10.1.1.1/24 dev lan
addr add 172.16.1.1/24 dev lan
addr add 192.0.2.1/30 dev wan
route add default via 192.0.2.2
addr add 2001:db8:a1::1/64 dev lan
addr add 2001:db8:c1::1/64 dev lan
addr add 2001:db8:1::1/64 dev wan
route add default via 2001:db8:1::2
";

const CORE: &str = "\
link set lo up
link set p1 up
link set p2 up
addr add 192.0.2.2/30 dev p1
addr add 198.51.100.2/30 dev p2
route add 10.1.1.0/24 via 192.0.2.1
route add 172.16.1.0/24 via 192.0.2.1
route add 10.2.2.0/24 via 198.51.100.1
route add 172.16.2.0/24 via 198.51.100.1
addr add 2001:db8:1::2/64 dev p1
addr add 2001:db8:2::2/64 dev p2
route add 2001:db8:a1::/64 via 2001:db8:1::1
route add 2001:db8:c1::/64 via 2001:db8:1::1
route add 2001:db8:a2::/64 via 2001:db8:2::1
route add 2001:db8:c2::/64 via 2001:db8:2::1
";

const GM2: &str = "\
link set lo up
link set lan up
link set wan up
addr add 10.2.2.1/24 dev lan
addr add 172.16.2.1/24 dev lan
addr add 198.51.100.1/30 dev wan
route add default via 198.51.100.2
addr add 2001:db8:a2::1/64 dev lan
addr add 2001:db8:c2::1/64 dev lan
addr add 2001:db8:2::1/64 dev wan
route add default via 2001:db8:2::2
";

const H2: &str = "\
link set lo up
link set eth0 up
addr add 10.2.2.10/24 dev eth0
addr add 172.16.2.10/24 dev eth0
route add default via 10.2.2.1
route add 172.16.0.0/16 via 172.16.2.1
addr add 2001:db8:a2::10/64 dev eth0
addr add 2001:db8:c2::10/64 dev eth0
route add default via 2001:db8:a2::1
route add 2001:db8:c0::/44 via 2001:db8:c2::1
";

/// Addresses of IPv6 are good at once.
const SETTINGS: [(&str, &str); 2] =
    [("ipv6/conf/default/accept_dad", "0"), ("ipv6/conf/all/accept_dad", "0")];
const ROUTERS: [&str; 3] = ["gm1", "core", "gm2"];
const FORWARDING: [(&str, &str); 2] = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];

pub fn build(place: &Place) {
    remove(place);
    batch(&HOSTS.map(|(host, _)| format!("netns add {}\n", place.name(host))).concat());
    HOSTS.iter().for_each(|(host, _)| set(place, host, SETTINGS));
    batch(&LINKS.replace('@', &place.name("")));
    HOSTS.iter().for_each(|(host, lines)| place.within(host, || batch(lines)));
    ROUTERS.iter().for_each(|host| set(place, host, FORWARDING));
}

fn set(place: &Place, host: &str, settings: [(&str, &str); 2]) {
    place.within(host, || {
        for (file, value) in settings {
            fs::write(format!("/proc/sys/net/{file}"), value).unwrap();
        }
    });
}

pub fn remove(place: &Place) {
    for (host, _) in HOSTS {
        let file = place.file(host);
        let _ = umount2(&file, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(file);
    }
}

fn batch(lines: &str) {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip refuses: {lines}");
}
