//! Identities: the ID payload (RFC 2407 section 4.6.2) and the shorter form inside SAK and SAT.

use super::codec::{Reader, Writer};
use super::registry::IdType;
use crate::error::{Error, Malformed, Unacceptable};
use crate::policy::{Family, GroupId, Identity, Prefix};
use std::net::IpAddr;

const MAX_ID_LEN: usize = 255;

/// The body of an ID payload, 4 + at most 255 octets.
///
/// ```text
/// |   ID type     |  protocol ID  |           port (2)            | data
/// ```
/// Protocol and port are 0 in GDOI (RFC 6407 section 5.1), in phase 1 they are 0/0 or 17/500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identification {
    /// What the data is.
    pub kind: IdType,
    /// IP protocol.
    pub protocol: u8,
    /// Port.
    pub port: u16,
    /// The identity itself.
    pub data: Vec<u8>,
}

impl Identification {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`]: no data, more than 255 octets of it, or an address that is not as long as its type says.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "ID payload");
        let (kind, protocol, port) = (IdType(reader.u8()?), reader.u8()?, reader.u16()?);
        let data = reader.rest();
        check_id_len(kind, data.len()).ok_or(Malformed::Length("ID payload"))?;
        Ok(Identification { kind, protocol, port, data: data.to_vec() })
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(4 + self.data.len(), |out| self.write(out))
    }

    /// Writes a body.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(self.kind.0);
        out.u8(self.protocol);
        out.u16(self.port);
        out.raw(&self.data);
    }

    /// The payload that names a group: ID_KEY_ID, 4 octets (RFC 6407 section 5.1).
    pub fn group(id: GroupId) -> Self {
        Identification { kind: IdType::KEY_ID, protocol: 0, port: 0, data: id.0.to_be_bytes().to_vec() }
    }

    /// The payload of a phase 1 identity.
    pub fn phase1(identity: &Identity) -> Self {
        let (kind, data) = match identity {
            Identity::Address(address) => (address_type(*address), octets(*address)),
            Identity::Fqdn(name) => (IdType::FQDN, name.as_bytes().to_vec()),
            Identity::UserFqdn(name) => (IdType::USER_FQDN, name.as_bytes().to_vec()),
            Identity::KeyId(octets) => (IdType::KEY_ID, octets.clone()),
        };
        Identification { kind, protocol: 0, port: 0, data }
    }

    /// The phase 1 identity that this payload carries.
    ///
    /// # Errors
    /// A type that is not supported, or a name that is not text.
    pub fn identity(&self) -> Result<Identity, Error> {
        let name = || String::from_utf8(self.data.clone()).map_err(|_| Malformed::Value("ID payload"));
        match self.kind {
            IdType::IPV4_ADDR | IdType::IPV6_ADDR => {
                ip_address(&self.data).map(Identity::Address).ok_or(Malformed::Length("ID payload").into())
            }
            IdType::FQDN => Ok(Identity::Fqdn(name()?)),
            IdType::USER_FQDN => Ok(Identity::UserFqdn(name()?)),
            IdType::KEY_ID => Ok(Identity::KeyId(self.data.clone())),
            other => Err(Unacceptable::Unsupported("identity type", u32::from(other.0)).into()),
        }
    }
}

fn check_id_len(kind: IdType, length: usize) -> Option<()> {
    let fits = match kind {
        IdType::IPV4_ADDR => length == 4,
        IdType::IPV4_ADDR_SUBNET => length == 8,
        IdType::IPV6_ADDR => length == 16,
        IdType::IPV6_ADDR_SUBNET => length == 32,
        _ => (1..=MAX_ID_LEN).contains(&length),
    };
    fits.then_some(())
}

fn ip_address(data: &[u8]) -> Option<IpAddr> {
    let long = || <[u8; 16]>::try_from(data).ok().map(IpAddr::from);
    <[u8; 4]>::try_from(data).ok().map(IpAddr::from).or_else(long)
}

const fn address_type(address: IpAddr) -> IdType {
    match Family::of(address) {
        Family::V4 => IdType::IPV4_ADDR,
        Family::V6 => IdType::IPV6_ADDR,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A source or destination inside SAK and SAT, 4 octets and the data.
///
/// ```text
/// |   ID type     |           port (2)            | data length   | data
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdField {
    /// What the data is.
    pub kind: IdType,
    /// Port, 0 is any.
    pub port: u16,
    /// The identity, at most 255 octets; may be empty.
    pub data: Vec<u8>,
}

impl IdField {
    /// Reads the field off `reader`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, port, length) = (IdType(reader.u8()?), reader.u16()?, usize::from(reader.u8()?));
        Ok(IdField { kind, port, data: reader.take(length)?.to_vec() })
    }

    /// Appends the field; data over 255 octets spoils what it is written into.
    pub fn write(&self, out: &mut Writer) {
        out.u8(self.kind.0);
        out.u16(self.port);
        out.length_u8("ID field").raw(&self.data);
    }

    /// The field of one address: ID_IPV4_ADDR, 4 octets, or ID_IPV6_ADDR, 16 octets.
    pub fn address(address: IpAddr, port: u16) -> Self {
        IdField { kind: address_type(address), port, data: octets(address) }
    }

    /// The field of a prefix: ID_IPV4_ADDR_SUBNET, 8 octets, or ID_IPV6_ADDR_SUBNET, 32 octets.
    pub fn prefix(prefix: &Prefix, port: Option<u16>) -> Self {
        let kind = match prefix.family() {
            Family::V4 => IdType::IPV4_ADDR_SUBNET,
            Family::V6 => IdType::IPV6_ADDR_SUBNET,
        };
        let data = [octets(prefix.address()), octets(prefix.mask())].concat();
        IdField { kind, port: port.unwrap_or(0), data }
    }

    /// The addresses that the field names.
    ///
    /// # Errors
    /// A type that is not supported, data of the wrong length, or a mask with holes.
    pub fn as_prefix(&self) -> Result<Prefix, Error> {
        let length = match self.kind {
            IdType::IPV4_ADDR => 4,
            IdType::IPV4_ADDR_SUBNET => 8,
            IdType::IPV6_ADDR => 16,
            IdType::IPV6_ADDR_SUBNET => 32,
            IdType(other) => {
                return Err(Unacceptable::Unsupported("traffic selector type", u32::from(other)).into())
            }
        };
        if self.data.len() != length {
            return Err(Malformed::Length("traffic selector").into());
        }
        let (network, mask) = self.data.split_at(length / 2);
        let prefix = match self.kind {
            IdType::IPV4_ADDR | IdType::IPV6_ADDR => ip_address(&self.data).map(Prefix::host),
            _ => ip_address(network).zip(ip_address(mask)).and_then(|(one, two)| Prefix::from_mask(one, two)),
        };
        prefix.ok_or(Malformed::Value("traffic selector").into())
    }

    /// The port, where one is named.
    pub fn as_port(&self) -> Option<u16> {
        (self.port != 0).then_some(self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_round_trip() {
        for identity in [
            Identity::Address([192, 0, 2, 1].into()),
            Identity::Address("2001:db8::1".parse().unwrap()),
            Identity::Fqdn("gm1.example".into()),
            Identity::UserFqdn("gm1@example".into()),
            Identity::KeyId(vec![0, 255]),
        ] {
            let body = Identification::phase1(&identity).emit().unwrap();
            assert_eq!(Identification::parse(&body).unwrap().identity(), Ok(identity));
        }
        assert_eq!(Identification::group(GroupId(100)).emit().unwrap(), [11, 0, 0, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn identities_of_impossible_length_are_rejected() {
        for body in
            [&[1, 0, 0, 0][..], &[1, 0, 0, 0, 1, 2, 3], &[4, 0, 0, 0, 1, 2, 3, 4], &[[11; 260]].concat()]
        {
            assert_eq!(Identification::parse(body), Err(Malformed::Length("ID payload")));
        }
        assert_eq!(Identification::parse(&[1, 0]), Err(Malformed::Truncated("ID payload")));
        let odd = Identification::parse(&[2, 0, 0, 0, 0xff]).unwrap();
        assert_eq!(odd.identity(), Err(Malformed::Value("ID payload").into()));
        let unknown = Identification::parse(&[9, 0, 0, 0, 1]).unwrap();
        assert_eq!(unknown.identity(), Err(Unacceptable::Unsupported("identity type", 9).into()));
    }

    #[test]
    fn prefixes_round_trip() {
        let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
        let field = IdField::prefix(&prefix, Some(53));
        let out = Writer::plain(0, |out| field.write(out)).unwrap();
        assert_eq!(out, [4, 0, 53, 8, 10, 0, 0, 0, 255, 0, 0, 0]);
        let parsed = IdField::parse(&mut Reader::new(&out, "test")).unwrap();
        assert_eq!((parsed.as_prefix(), parsed.as_port()), (Ok(prefix), Some(53)));
        let six: Prefix = "2001:db8::/33".parse().unwrap();
        let field = IdField::prefix(&six, None);
        assert_eq!((field.kind, field.data.len(), field.as_prefix()), (IdType(6), 32, Ok(six)));
        let host = IdField { kind: IdType(5), port: 0, data: vec![1; 16] };
        assert_eq!(host.as_prefix().unwrap().length(), 128);
        let host = IdField::address([10, 0, 0, 1].into(), 0);
        assert_eq!((host.as_prefix().unwrap().length(), host.as_port()), (32, None));
    }

    #[test]
    fn data_is_never_cut() {
        let emit = |length| {
            let field = IdField { kind: IdType::KEY_ID, port: 0, data: vec![1; length] };
            Writer::plain(0, |out| field.write(out))
        };
        assert_eq!(emit(255).unwrap().len(), 4 + 255);
        assert_eq!(emit(256), Err(Malformed::Length("ID field")));
    }

    #[test]
    fn selectors_that_name_no_prefix_are_rejected() {
        let field =
            |kind, data: &[u8]| IdField { kind: IdType(kind), port: 0, data: data.to_vec() }.as_prefix();
        for (kind, length) in [(1, 3), (1, 16), (4, 32), (5, 4), (6, 16), (6, 33)] {
            let data = vec![10; length];
            assert_eq!(field(kind, &data), Err(Malformed::Length("traffic selector").into()));
        }
        assert_eq!(
            field(4, &[10, 0, 0, 0, 255, 0, 255, 0]),
            Err(Malformed::Value("traffic selector").into())
        );
        assert_eq!(field(4, &[10, 0, 0, 1, 255, 0, 0, 0]), Err(Malformed::Value("traffic selector").into()));
        assert_eq!(field(6, &[1; 32]), Err(Malformed::Value("traffic selector").into()));
        assert_eq!(field(7, &[0; 8]), Err(Unacceptable::Unsupported("traffic selector type", 7).into()));
        assert_eq!(IdField::parse(&mut Reader::new(&[1, 0, 0, 4, 1], "x")), Err(Malformed::Truncated("x")));
    }
}
