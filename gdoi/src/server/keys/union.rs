//! Keys of servers that were apart.

use super::Keys;

impl Keys {
    /// Takes in what another side has. Where both have a key, it ends at the earlier time; what either ended is over.
    pub(in crate::server) fn join(&mut self, other: &Keys) {
        for (spi, expires) in &other.ended {
            if self.ended.iter().all(|(ended, _)| ended != spi) {
                self.ended.push((*spi, *expires));
            }
        }
        for tek in &other.teks {
            match self.teks.iter_mut().find(|known| known.spi == tek.spi) {
                Some(known) => known.expires = known.expires.min(tek.expires),
                None => self.teks.push(tek.clone()),
            }
        }
        let ended = &self.ended;
        self.teks.retain(|tek| ended.iter().all(|(spi, _)| *spi != tek.spi));
        self.teks.sort_by_key(|tek| tek.expires);
        self.join_keks(other);
        self.bound();
    }

    /// What is known of used numbers stays known.
    pub(in crate::server) fn keep_numbers_of(&mut self, before: &Keys) {
        before.spent.iter().for_each(|spent| self.spend(*spent));
    }

    /// The KEK of this side stays the current one.
    fn join_keks(&mut self, other: &Keys) {
        other.spent.iter().for_each(|spent| self.spend(*spent));
        let last = other.told_until().max(self.told_until());
        let theirs = other.kek.iter().map(|kek| kek.clone().serving_until(last));
        for kek in other.previous_keks.iter().cloned().chain(theirs) {
            let known = self.kek.iter_mut().chain(&mut self.previous_keks).find(|known| known.spi == kek.spi);
            match known {
                Some(known) => {
                    known.sequence = known.sequence.max(kek.sequence);
                    known.succession = known.succession.max(kek.succession);
                    if known.authors.len() < kek.authors.len() {
                        known.authors.clone_from(&kek.authors);
                    }
                    known.serves = known.serves.max(kek.serves);
                }
                None => self.previous_keks.push(kek),
            }
        }
    }
}

#[cfg(test)]
mod tests;
