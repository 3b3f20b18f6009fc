//! Random wishes, the same in every run.

use crate::model::{
    Ace, Action, Aead, Cipher, EspKeys, Family, Gate, Integrity, Lane, PathMtu, Plane, Protection, Replay,
    Sa, Selector, SenderKey, SharedKeys, SpiBlock,
};
use crate::plan::*;
use std::net::IpAddr;

/// xorshift64: the same cases in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    pub fn some<T>(&mut self, pool: impl IntoIterator<Item = T>) -> Vec<T> {
        pool.into_iter().filter(|_| self.below(2) == 0).collect()
    }
}

pub fn selectors() -> [Selector; 4] {
    ["ip 10.0.0.0/8 10.0.0.0/8", "ip 10.0.0.0/8 11.0.0.0/8", "ip any any", "tcp any any eq 22"]
        .map(|text| text.parse().unwrap())
}

/// Where some of the SPIs lie.
pub const BLOCK: u32 = 0x8490_0000;

/// Few SPIs and two keys for each, so that the same SPI comes with another key.
pub fn sa(dice: &mut Dice) -> Sa {
    let key = dice.below(2) as u8;
    Sa {
        spi: Spi([256, BLOCK][dice.below(2)] + dice.below(3) as u32),
        family: Family::ALL[dice.below(2)],
        lane: Lane::Unicast,
        keys: keys(dice, key + 1),
        replay: Replay::Off,
        hard_lifetime: None,
    }
}

fn keys(dice: &mut Dice, octet: u8) -> EspKeys {
    let (encryption, authentication) = (vec![octet; 16].into(), vec![octet; 32].into());
    match dice.below(2) {
        0 => gcm(octet),
        _ => EspKeys::Shared(
            SharedKeys::new((Cipher::AesCbc128, encryption), (Integrity::HmacSha256, authentication))
                .unwrap(),
        ),
    }
}

pub fn gcm(octet: u8) -> EspKeys {
    EspKeys::Sender(SenderKey::new(Aead::AesGcm256, vec![octet; 36].into()).unwrap())
}

pub fn permit(selectors: impl IntoIterator<Item = Selector>) -> Vec<Ace> {
    selectors.into_iter().map(|selector| Ace { action: Action::Permit, selector }).collect()
}

fn gate(dice: &mut Dice) -> Gate {
    match dice.below(6) {
        0 => Gate::Open,
        1 => Gate::Closed,
        _ => {
            let mut inbound: Vec<Sa> = (0..dice.below(4)).map(|_| sa(dice)).collect();
            inbound.sort_by_key(|sa| (sa.spi, sa.family));
            inbound.dedup_by_key(|sa| (sa.spi, sa.family));
            let outbound = inbound.get(dice.below(4)).cloned().into_iter().collect();
            let acl = permit(dice.some(selectors()));
            let blocks = dice.some(SpiBlock::new(Spi(BLOCK), 20));
            Gate::Protect(Protection { acl, blocks, inbound, outbound, ..Default::default() })
        }
    }
}

pub fn desired(dice: &mut Dice) -> Desired {
    let plane = |dice: &mut Dice, number: u8| Plane {
        interface: ["wan0", "wan1", "down", "missing"][dice.below(4)].into(),
        local: IpAddr::from([192, 0, 2, 1]),
        slot: Slot::new(number).unwrap(),
        servers: dice.some(["192.0.2.10:848".parse().unwrap()]),
        rekey_group: dice.some(["239.1.1.1:848".parse().unwrap()]).pop(),
        clear: dice.some(selectors()),
        mss: None,
        path_mtu: PathMtu::default(),
        gate: gate(dice),
    };
    let slots = dice.some(0..3u8);
    Desired { planes: slots.into_iter().map(|number| plane(dice, number)).collect() }
}

pub fn plane(slot: u8, interface: &str) -> Plane {
    Plane {
        interface: interface.into(),
        local: IpAddr::from([127, 0, 0, 1]),
        slot: Slot::new(slot).unwrap(),
        servers: Vec::new(),
        rekey_group: None,
        clear: Vec::new(),
        mss: None,
        path_mtu: PathMtu::default(),
        gate: Gate::Protect(Protection { acl: permit(selectors()), ..Default::default() }),
    }
}
