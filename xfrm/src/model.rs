//! What a caller asks of the kernel. Everything here is plain data: comparing, planning and applying live elsewhere.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use zeroize::Zeroize;

/// Everything that this crate shall hold in the kernel; the default holds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// One entry per group and protected interface; earlier planes win where selectors are equal.
    pub planes: Vec<Plane>,
}

/// One group on one protected interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Name of the protected (WAN) interface.
    pub interface: String,
    /// The router's own address that GDOI is spoken from.
    pub local: Ipv4Addr,
    /// Which pair of anchor addresses the plane uses; no two planes share one.
    pub slot: Slot,
    /// Key servers: UDP between `local` and exactly these addresses and ports is never held or encrypted.
    pub servers: Vec<SocketAddrV4>,
    /// The multicast group and UDP port to which the key servers send rekey messages, where they do: these, and the IGMP
    /// (RFC 3376) that asks the network for them, are never held or encrypted either.
    pub rekey_group: Option<SocketAddrV4>,
    /// The local `deny` entries: always in clear, in both directions, evaluated before anything else.
    pub clear: Vec<Selector>,
    /// What happens to all other traffic of the interface.
    pub gate: Gate,
}

/// What a plane does with traffic that is neither GDOI nor named by `clear`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Fail-close before registration: nothing passes the interface (ARP and IPv6 neighbour discovery do).
    Closed,
    /// Fail-open before registration: nothing is held, the plane leaves no trace in the kernel.
    Open,
    /// Traffic that `acl` names passes only encrypted, the rest in clear.
    Protect {
        /// The group's permit entries, judged source to destination in both directions.
        acl: Vec<Selector>,
        /// What may be received.
        inbound: Vec<Sa>,
        /// What is sent with; without it traffic that `acl` names is blocked, never sent in clear.
        outbound: Option<Sa>,
    },
}

/// The number of a plane on this router, 0 to 41: it chooses the plane's two anchor addresses and its reqid.
///
/// Anchors lie in 192.0.0.84 to 192.0.0.167, special-purpose addresses (RFC 6890) that no network routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

/// A security parameter index (RFC 4303 section 2.1), host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

/// An IPv4 prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: Ipv4Addr,
    length: u8,
}

/// One entry of an access list. Ports are for protocols that have them; without a protocol they mean TCP and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Where packets come from.
    pub source: Prefix,
    /// Where packets go to.
    pub destination: Prefix,
    /// IP protocol number; none means any.
    pub protocol: Option<u8>,
    /// Transport source port; none means any.
    pub source_port: Option<u16>,
    /// Transport destination port; none means any.
    pub destination_port: Option<u16>,
}

/// A group security association: ESP tunnel mode with a shared key, no replay window, no extended sequence numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    /// Its name on the wire.
    pub spi: Spi,
    /// Cipher and key.
    pub encryption: EncryptionKey,
    /// Authenticator and key.
    pub integrity: IntegrityKey,
    /// The kernel forgets the state this long after it was installed (whole seconds). A backstop for a dead agent:
    /// it is set when the state is added and not compared afterwards.
    pub hard_lifetime: Option<Duration>,
}

/// Cipher and key of an SA (RFC 3602).
#[derive(Clone, PartialEq, Eq)]
pub enum EncryptionKey {
    /// AES-CBC with a 128-bit key.
    AesCbc128(Key<16>),
    /// AES-CBC with a 256-bit key.
    AesCbc256(Key<32>),
}

/// Authenticator and key of an SA; the value on the wire is the first half of the hash (RFC 4868 section 2.1.1).
#[derive(Clone, PartialEq, Eq)]
pub enum IntegrityKey {
    /// HMAC-SHA-256-128.
    HmacSha256(Key<32>),
    /// HMAC-SHA-384-192.
    HmacSha384(Key<48>),
    /// HMAC-SHA-512-256.
    HmacSha512(Key<64>),
}

/// `N` secret octets: zeroed on drop, compared in constant time, never formatted.
#[derive(Clone)]
pub struct Key<const N: usize>([u8; N]);

impl Slot {
    /// How many slots there are.
    pub const COUNT: u8 = 42;

    /// The last one, where preflight tries things out.
    pub(crate) const LAST: Self = Self(Self::COUNT - 1);

    /// The slot with this number, or none when it is out of range.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The slot's number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// VI, where received ESP is handed to the kernel.
    pub fn inbound_anchor(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 0, 84 + 2 * self.0)
    }

    /// VO, where packets seem to go while they are encrypted.
    pub fn outbound_anchor(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 0, 85 + 2 * self.0)
    }
}

impl Prefix {
    /// Every address.
    pub const ANY: Self = Self { address: Ipv4Addr::UNSPECIFIED, length: 0 };

    /// The prefix `address/length`; none when the length is over 32 or host bits are set.
    pub fn new(address: Ipv4Addr, length: u8) -> Option<Self> {
        let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        (length <= 32 && address.to_bits() & host == 0).then_some(Self { address, length })
    }

    /// The prefix of exactly one address.
    pub fn host(address: Ipv4Addr) -> Self {
        Self { address, length: 32 }
    }

    /// Its lowest address.
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// Its length in bits.
    pub fn length(self) -> u8 {
        self.length
    }
}

impl Selector {
    /// Any protocol and port between two prefixes.
    pub fn between(source: Prefix, destination: Prefix) -> Self {
        Self { source, destination, protocol: None, source_port: None, destination_port: None }
    }
}

impl EncryptionKey {
    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::AesCbc128(key) => key.octets(),
            Self::AesCbc256(key) => key.octets(),
        }
    }
}

impl IntegrityKey {
    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::HmacSha256(key) => key.octets(),
            Self::HmacSha384(key) => key.octets(),
            Self::HmacSha512(key) => key.octets(),
        }
    }

    /// Octets of the authenticator on the wire: half the hash (RFC 4868 section 2.1.1).
    pub fn tag_length(&self) -> u32 {
        self.octets().len() as u32 / 2
    }
}

impl<const N: usize> Key<N> {
    /// Takes the octets in; the caller zeroes its own copy.
    pub fn new(octets: [u8; N]) -> Self {
        Self(octets)
    }

    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Drop for Key<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Key<N> {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl<const N: usize> Eq for Key<N> {}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Some(number) => write!(f, "{number} ")?,
            None => f.write_str("ip ")?,
        }
        let side = |prefix: Prefix, port: Option<u16>| {
            port.map_or(prefix.to_string(), |port| format!("{prefix} eq {port}"))
        };
        write!(f, "{} {}", side(self.source, self.source_port), side(self.destination, self.destination_port))
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesCbc128(_) => "AesCbc128",
            Self::AesCbc256(_) => "AesCbc256",
        })
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256(_) => "HmacSha256",
            Self::HmacSha384(_) => "HmacSha384",
            Self::HmacSha512(_) => "HmacSha512",
        })
    }
}
