//! ESP of a group's traffic for which there is no key: a sign that the group has one that is not here.

use super::DataPlane;
use gdoi::endpoint::Instant;
use gdoi::policy::Spi;
use std::time::Duration;

/// How often the kernel is asked. A member that lacks a key hears nothing for so long, and a few seconds more.
const INTERVAL: Duration = Duration::from_secs(3);

impl DataPlane {
    /// When the kernel is asked next.
    pub const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// The SPIs of such ESP that came lately, each with its group, if it is time to look.
    pub fn strays(&mut self, now: Instant) -> Vec<(String, Spi)> {
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + INTERVAL;
        let groups = self.groups.iter().zip(&self.views);
        let groups = groups.filter(|(group, view)| group.detached.is_none() && view.registered);
        let planes = groups
            .flat_map(|(group, _)| group.slots.iter().map(|slot| (group.settings.group.name.clone(), *slot)));
        let mut strays = Vec::new();
        for (name, slot) in planes.collect::<Vec<_>>() {
            match self.kernel.strays(slot) {
                Ok(spis) => strays.extend(spis.into_iter().map(|spi| (name.clone(), spi))),
                Err(error) => tracing::debug!("ESP that no key is for: {error}"),
            }
        }
        strays
    }
}
