//! Daemons that are killed while keys change.

use crate::corp::registered;
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{failed, Outcome};
use crate::rekeying::{received, receives, repetitions, Rekeyed, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::Site;
use std::process::Child;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "rekey-restart",
        "kill -9 of the key server in a rekey: nobody registers again, nothing is lost",
        key_server,
    ),
    Scenario::empty(
        "rekey-killed-member",
        "kill -9 of a member in a rekey: nothing is clear, and it is a member again; losses are printed",
        member,
    ),
];

/// How far a rekey has come when a daemon is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Gdoictl was started to ask for it.
    Asked,
    /// The key server says that it sends it.
    Sent,
    /// A member has it.
    Heard,
}

const MOMENTS: [Moment; 3] = [Moment::Asked, Moment::Sent, Moment::Heard];

/// What a member logs about a sequence number that it has seen before.
const REUSED: &str = "GDOI_REKEY_SEQ_FAILURE";

fn key_server(site: &Site) -> Outcome {
    let times = repetitions("LAB_KILLS", MOMENTS.len());
    let mut rekeyed = Rekeyed::start(site, Transport::Unicast)?;
    let mut sent = 0;
    // The list of members is stored a little after they come, with a rekey at the latest.
    rekeyed.key_server.control("ks rekey")?;
    rekeyed.agrees()?;
    for kill in 0..times {
        sent += usize::from(kill_key_server(&mut rekeyed, MOMENTS[kill % MOMENTS.len()])?);
        rekeyed.agrees()?;
    }
    rekeyed.never_registered_again()?;
    rekeyed.members.iter().try_for_each(none_reused)?;
    println!("   {times} kills, {sent} after the first message was sent: {}", rekeyed.finish()?);
    Ok(())
}

/// Kills the key server when it was told to rekey and has come so far, and has it rekey after its restart. Whether the
/// rekey was sent before the kill.
fn kill_key_server(rekeyed: &mut Rekeyed, moment: Moment) -> Outcome<bool> {
    let Rekeyed { key_server, members, .. } = rekeyed;
    let before = rekeys_sent(key_server)?;
    let mut request = begin_rekey(key_server, &members[0], moment)?;
    key_server.kill()?;
    // Not after a look at anything else: members that have the new key send with it when the ATD is over.
    let log = key_server.log()?;
    key_server.start_again()?;
    request.wait()?;
    let sent = rekeys_in(&log) > before;
    key_server.says(&["KS_STATE_LOADED"], SOON)?;
    key_server.control("ks rekey")?;
    Ok(sent)
}

/// Has the key server rekey and waits until it has come so far. Gdoictl may not have its answer yet.
fn begin_rekey(key_server: &Daemon, first: &Daemon, moment: Moment) -> Outcome<Child> {
    let (sent, heard) = (rekeys_sent(key_server)?, received(first)?);
    let request = key_server.request("ks rekey")?;
    match moment {
        Moment::Asked => {}
        Moment::Sent => {
            eventually_true("a rekey is sent", SOON, || Ok(rekeys_sent(key_server)? > sent))?;
        }
        Moment::Heard => receives(first, heard)?,
    }
    Ok(request)
}

fn rekeys_sent(key_server: &Daemon) -> Outcome<usize> {
    key_server.log().map(|log| rekeys_in(&log))
}

fn rekeys_in(log: &str) -> usize {
    log.matches("KS_SEND_UNICAST_REKEY").count()
}

/// Fails if a member has been sent a number twice.
fn none_reused(member: &Daemon) -> Outcome {
    let log = member.log()?;
    match log.lines().find(|line| line.contains(REUSED)) {
        Some(line) => failed(format!("{}: {line}", member.host().name())),
        None => Ok(()),
    }
}

fn member(site: &Site) -> Outcome {
    let times = repetitions("LAB_KILLS", MOMENTS.len());
    let mut rekeyed = Rekeyed::start(site, Transport::Unicast)?;
    for kill in 0..times {
        kill_member(&mut rekeyed, kill % 3, MOMENTS[kill % MOMENTS.len()])?;
        rekeyed.agrees()?;
    }
    // A member that registers in the last second of a key, which lists no such key, may miss what others send with it.
    println!("   {times} kills: {}, 0 clear", rekeyed.finish_lossy()?);
    Ok(())
}

/// Kills a member when the key server was told to rekey and has come so far, and has the key server rekey after the
/// member's restart.
fn kill_member(rekeyed: &mut Rekeyed, number: usize, moment: Moment) -> Outcome {
    let Rekeyed { key_server, members, .. } = rekeyed;
    let member = &mut members[number];
    let mut request = begin_rekey(key_server, member, moment)?;
    member.kill()?;
    request.wait()?;
    member.start_again()?;
    registered(member)?;
    key_server.control("ks rekey").map(drop)
}
