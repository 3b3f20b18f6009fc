//! Numbers that IANA assigns, with the names of those that occur here.

use std::fmt;

macro_rules! registry {
    ($(#[$doc:meta])* $name:ident($width:ty) { $($(#[$item_doc:meta])* $item:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $width);

        impl $name {
            $($(#[$item_doc])* pub const $item: $name = $name($value);)*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name::$item => f.write_str($text),)*
                    $name(other) => write!(f, "{other}"),
                }
            }
        }
    };
}

registry! {
    /// Next payload types (RFC 2408 section 3.1, RFC 6407 section 5).
    PayloadType(u8) {
        /// No more payloads.
        NONE = 0 "none",
        /// Security association.
        SA = 1 "SA",
        /// A proposal, inside a phase 1 SA.
        PROPOSAL = 2 "proposal",
        /// A transform, inside a proposal.
        TRANSFORM = 3 "transform",
        /// Key exchange.
        KE = 4 "KE",
        /// Identification.
        ID = 5 "ID",
        /// Hash.
        HASH = 8 "HASH",
        /// Signature.
        SIG = 9 "SIG",
        /// Nonce.
        NONCE = 10 "nonce",
        /// Notification.
        NOTIFY = 11 "notify",
        /// Delete.
        DELETE = 12 "delete",
        /// Vendor ID.
        VENDOR = 13 "vendor ID",
        /// SA KEK, inside a group SA.
        SAK = 15 "SAK",
        /// SA TEK, inside a group SA.
        SAT = 16 "SAT",
        /// Key download.
        KD = 17 "KD",
        /// Sequence number.
        SEQ = 18 "SEQ",
        /// Group associated policy.
        GAP = 22 "GAP",
        /// A message between cooperating key servers; from the private range.
        COOP = 128 "COOP",
        /// A whole access control list, inside a group SA; from the private range.
        ACL = 129 "ACL",
        /// A part of a message; from the private range, as other implementations use it.
        FRAGMENT = 132 "fragment",
    }
}

registry! {
    /// Exchange types (RFC 2408 section 3.1, RFC 6407 section 3.2.1).
    ExchangeType(u8) {
        /// Main Mode.
        IDENTITY_PROTECTION = 2 "identity protection",
        /// Aggressive Mode, refused here.
        AGGRESSIVE = 4 "aggressive",
        /// Informational.
        INFORMATIONAL = 5 "informational",
        /// GROUPKEY-PULL.
        GROUPKEY_PULL = 32 "GROUPKEY-PULL",
        /// GROUPKEY-PUSH.
        GROUPKEY_PUSH = 33 "GROUPKEY-PUSH",
        /// The acknowledgement of a GROUPKEY-PUSH (RFC 8263).
        GROUPKEY_PUSH_ACK = 35 "GROUPKEY-PUSH-ACK",
        /// Between cooperating key servers; from the private range.
        COOP = 240 "COOP",
    }
}

impl ExchangeType {
    /// What a datagram says that it is, whether or not the rest of it can be read.
    pub fn claimed_by(datagram: &[u8]) -> Option<Self> {
        datagram.get(18).copied().map(ExchangeType)
    }
}

registry! {
    /// Notify message types (RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 section 5.2).
    NotifyType(u16) {
        /// The payloads cannot be understood.
        PAYLOAD_MALFORMED = 16 "PAYLOAD-MALFORMED",
        /// The phase 1 exchange type is not spoken.
        UNSUPPORTED_EXCHANGE_TYPE = 29 "UNSUPPORTED-EXCHANGE-TYPE",
        /// An attribute is not understood.
        ATTRIBUTES_NOT_SUPPORTED = 13 "ATTRIBUTES-NOT-SUPPORTED",
        /// No proposal suits.
        NO_PROPOSAL_CHOSEN = 14 "NO-PROPOSAL-CHOSEN",
        /// The group identity is unknown.
        INVALID_ID_INFORMATION = 18 "INVALID-ID-INFORMATION",
        /// The hash does not match.
        INVALID_HASH_INFORMATION = 23 "INVALID-HASH-INFORMATION",
        /// Authentication failed, or the peer is not authorized.
        AUTHENTICATION_FAILED = 24 "AUTHENTICATION-FAILED",
        /// The key servers elect a primary: ask again (of our own, from the range for private use).
        TRY_LATER = 8240 "TRY-LATER",
        /// The first contact after a restart.
        INITIAL_CONTACT = 24578 "INITIAL-CONTACT",
        /// The question whether the peer is alive.
        R_U_THERE = 36136 "R-U-THERE",
        /// The answer that it is.
        R_U_THERE_ACK = 36137 "R-U-THERE-ACK",
    }
}

impl NotifyType {
    /// Whether the type reports an error (1 to 16383, from 8192 on for private use).
    pub const fn is_error(self) -> bool {
        self.0 >= 1 && self.0 <= 16_383
    }
}

registry! {
    /// Identification types (RFC 2407 section 4.6.2.1).
    IdType(u8) {
        /// 4 octets.
        IPV4_ADDR = 1 "ID_IPV4_ADDR",
        /// A domain name.
        FQDN = 2 "ID_FQDN",
        /// A user at a domain.
        USER_FQDN = 3 "ID_USER_FQDN",
        /// An address and a mask, 8 octets.
        IPV4_ADDR_SUBNET = 4 "ID_IPV4_ADDR_SUBNET",
        /// 16 octets.
        IPV6_ADDR = 5 "ID_IPV6_ADDR",
        /// An address and a mask, 32 octets.
        IPV6_ADDR_SUBNET = 6 "ID_IPV6_ADDR_SUBNET",
        /// Opaque octets; in GDOI the group number, 4 octets.
        KEY_ID = 11 "ID_KEY_ID",
    }
}

/// ISAKMP header flags, 1 octet (RFC 2408 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// All payloads after the header are encrypted.
    pub const ENCRYPTED: Flags = Flags(1);

    /// Whether the payloads are encrypted.
    pub const fn is_encrypted(self) -> bool {
        self.0 & 1 == 1
    }
}
