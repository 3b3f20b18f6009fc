//! Daemons that are killed while keys change.

use crate::corp::registered;
use crate::daemon::Daemon;
use crate::outcome::{failed, Outcome};
use crate::rekeying::{repetitions, Rekeyed, Transport, SOON};
use crate::site::Site;
use std::thread;
use std::time::Duration;

/// From one kill to the next, so that they hit different steps of a rekey.
const STEP: Duration = Duration::from_millis(15);

/// The stored list of members may lag by a second; one that is not in it registers again.
const STORED: Duration = Duration::from_millis(1_500);

/// What a member logs about a sequence number that it has seen before.
const REUSED: &str = "GDOI_REKEY_SEQ_FAILURE";

pub fn key_server(site: &Site) -> Outcome {
    let times = repetitions("LAB_KILLS", 2);
    let mut rekeyed = Rekeyed::start(site, Transport::Unicast)?;
    let mut sent = 0;
    thread::sleep(STORED);
    for kill in 0..times {
        sent += usize::from(kill_key_server(&mut rekeyed, STEP * kill as u32)?);
        rekeyed.agrees()?;
    }
    rekeyed.never_registered_again()?;
    rekeyed.members.iter().try_for_each(none_reused)?;
    println!("   {times} kills, {sent} after the first message was sent: {}", rekeyed.finish()?);
    Ok(())
}

/// Kills the key server so long after it was told to rekey, and has it rekey after its restart. Whether the rekey was
/// sent before the kill.
fn kill_key_server(rekeyed: &mut Rekeyed, delay: Duration) -> Outcome<bool> {
    let key_server = &mut rekeyed.key_server;
    let before = rekeys_sent(key_server)?;
    let mut request = key_server.request("ks rekey")?;
    thread::sleep(delay);
    key_server.kill()?;
    request.wait()?;
    let sent = rekeys_sent(key_server)? > before;
    key_server.start_again()?;
    key_server.says(&["KS_STATE_LOADED"], SOON)?;
    key_server.control("ks rekey")?;
    Ok(sent)
}

fn rekeys_sent(key_server: &Daemon) -> Outcome<usize> {
    Ok(key_server.log()?.matches("KS_SEND_UNICAST_REKEY").count())
}

/// Fails if a member has been sent a number twice.
fn none_reused(member: &Daemon) -> Outcome {
    let log = member.log()?;
    match log.lines().find(|line| line.contains(REUSED)) {
        Some(line) => failed(format!("{}: {line}", member.host().name())),
        None => Ok(()),
    }
}

pub fn member(site: &Site) -> Outcome {
    let times = repetitions("LAB_KILLS", 2);
    let mut rekeyed = Rekeyed::start(site, Transport::Unicast)?;
    for kill in 0..times {
        kill_member(&mut rekeyed, kill % 3, STEP * kill as u32)?;
        rekeyed.agrees()?;
    }
    // A member that registers in the last second of a key, which lists no such key, may miss what others send with it.
    println!("   {times} kills: {}, 0 clear", rekeyed.finish_lossy()?);
    Ok(())
}

/// Kills a member so long after the key server was told to rekey, and has the key server rekey after its restart.
fn kill_member(rekeyed: &mut Rekeyed, number: usize, delay: Duration) -> Outcome {
    let Rekeyed { key_server, members, .. } = rekeyed;
    key_server.control("ks rekey")?;
    thread::sleep(delay);
    let member = &mut members[number];
    member.kill()?;
    member.start_again()?;
    registered(member)?;
    key_server.control("ks rekey").map(drop)
}
