//! For whoever replays a seed.

use super::hostile::HOSTILE;
use super::Schedule;
use crate::bench::alliance::address;
use crate::bench::fleet::member_address;
use gdoi::MemberEvent;

impl Schedule {
    /// What servers and members said, for whoever replays a seed.
    pub(super) fn tell_events(&self) {
        for number in (1..=self.servers).filter(|number| self.world.has_server(address(*number))) {
            let skew = self.world.clock_of(address(number)).saturating_since(self.world.now);
            for (at, event) in self.world.server_events(address(number)) {
                let at = at.before(skew).as_millis() as f64 / 1000.0 - 1000.0;
                println!("server {number} {at:>8.2} {}: {event}", event.name());
            }
        }
        let hostile = HOSTILE.into_iter().filter(|number| self.world.has_member(member_address(*number)));
        for number in self.everybody().into_iter().chain(hostile) {
            for (at, event) in self.world.member_events(member_address(number)) {
                let at = at.as_millis() as f64 / 1000.0 - 1000.0;
                match event {
                    MemberEvent::ViewChanged(view) => {
                        let held: Vec<_> = view.inbound.iter().map(|sa| sa.spi).collect();
                        let sent = view.outbound.as_ref().map(|sa| sa.spi);
                        println!("member {number} {at:>8.2} holds {held:?}, sends with {sent:?}");
                    }
                    event => println!("member {number} {at:>8.2} {}: {event}", event.name()),
                }
            }
        }
    }
}
