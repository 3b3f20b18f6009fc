//! Acknowledgements of rekey messages (RFC 8263).

use super::Group;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::server::config::RekeyConfig;
use crate::wire::Header;
use std::net::SocketAddr;

impl Group {
    /// An acknowledgement could not even be read.
    pub(in crate::server) fn count_malformed(&mut self) {
        self.rekeying.count_malformed();
    }

    /// Takes in an acknowledgement of a message under the KEK with this SPI.
    ///
    /// # Errors
    /// It changed nothing but a counter.
    pub(in crate::server) fn acknowledge(
        &mut self,
        from: SocketAddr,
        spi: [u8; 16],
        message: (&Header, &[u8]),
        now: Instant,
    ) -> Result<(), Error> {
        let time = self.ledger.time(now);
        let terms = self.rekey_under(spi).map(RekeyConfig::terms);
        let kek = terms.zip(self.keys().kek_named(spi)).map(|(terms, kek)| self.kek_of(&terms, kek, time));
        let conveyed = self.rekeying.acknowledge(from, kek.as_ref(), message)?;
        self.ledger.amend_members().acknowledged(from.ip(), conveyed, time);
        Ok(())
    }
}
