//! The demonstration: the whole path in one narrative.

use crate::capture::Capture;
use crate::corp::{self, flow, pairs, ping_all, protection, registered, Crossed};
use crate::daemon::Daemon;
use crate::outcome::{ensure, Outcome};
use crate::packet::Packet;
use crate::site::{Site, HOSTS, KS1, MEMBERS};

/// How many packets of the capture are printed.
const SHOWN: usize = 6;

/// Shows everything on standard output; the last line says whether it is as it must be.
pub fn demo() -> Outcome {
    say("A core router that knows plain IPv4 only, and around it three group members (gm1, gm2, gm3),");
    say("each with a host on its LAN (10.1.1.10, 10.2.2.10, 10.3.3.10), and one key server (192.0.2.10).");
    let site = Site::build()?;
    let mut core = Capture::start(site.host("core")?, &site.places.out, &site.places.next_name("demo-core"))?;
    let start_member = |host| site.member(host, corp::member(&[KS1]));
    let mut members = MEMBERS.into_iter().map(start_member).collect::<Outcome<Vec<_>>>()?;
    let mut packets = before_registration(&site, &mut core, &members)?;
    let key_server = site.key_server("ks1", corp::key_server(KS1))?;
    registration(&mut members)?;
    let reached = reach(&site)?;
    packets.extend(core.fresh()?);
    core.close()?;
    let crossed = Crossed::sort(packets);
    print_capture(&crossed);
    print_status(&members[0], &key_server)?;
    verdict(reached, &crossed)
}

fn say(text: &str) {
    println!("demo: {text}");
}

fn before_registration(site: &Site, core: &mut Capture, members: &[Daemon]) -> Outcome<Vec<Packet>> {
    say("The member daemons run, the key server does not: the members are closed.");
    members.iter().try_for_each(|member| protection(member, "closed"))?;
    let answers = site.host(HOSTS[0].0)?.ping(HOSTS[1].1)?;
    let packets = core.fresh()?;
    let left = packets.iter().filter(|packet| packet.source == HOSTS[0].1).count();
    say(&format!(
        "10.1.1.10 asks 10.2.2.10 three times: {answers} answers, {left} of its packets in the core."
    ));
    ensure!(answers == 0 && left == 0, "a member let traffic pass before its registration");
    Ok(packets)
}

fn registration(members: &mut [Daemon]) -> Outcome {
    say("The key server starts. The members authenticate with it and download policy and keys:");
    for member in members {
        registered(member)?;
        let line = member.says(&["GM_REGS_COMPL"], corp::REGISTRATION)?;
        println!("    {}: {line}", member.host().name());
    }
    Ok(())
}

fn reach(site: &Site) -> Outcome<usize> {
    say("Every host asks every other host three times, through the core:");
    let reached = ping_all(site)?;
    println!("    {reached} of {} directed pairs answered", pairs().count());
    Ok(reached)
}

fn print_capture(crossed: &Crossed) {
    say("What the core saw of it, the first packets of the capture:");
    for packet in crossed.esp.iter().take(SHOWN) {
        let spi = packet.spi().unwrap_or_default();
        println!(
            "    {} > {}: ESP(spi={spi:#010x}), length {}",
            packet.source, packet.destination, packet.length
        );
    }
}

fn print_status(member: &Daemon, key_server: &Daemon) -> Outcome {
    say("gdoictl show gm, on gm1:");
    print_indented(&member.control("show gm")?);
    say("gdoictl show ks members, on the key server:");
    print_indented(&key_server.control("show ks members")?);
    Ok(())
}

fn print_indented(text: &str) {
    text.lines().for_each(|line| println!("    {line}"));
}

fn verdict(reached: usize, crossed: &Crossed) -> Outcome {
    let (esp, clear) = (crossed.esp.len(), crossed.clear.len());
    say(&format!(
        "{reached} of {} host pairs reachable, {esp} ESP packets, {clear} clear packets in the core",
        pairs().count()
    ));
    let flows = crossed.esp_flows();
    ensure!(reached == 6 && clear == 0, "it is not as it must be");
    ensure!(
        pairs().all(|(_, source, destination)| flows.contains(&flow(source, destination))),
        "not all pairs sent ESP"
    );
    Ok(())
}
