//! Keys, and values that say all about themselves: which write made them, and for which key.
//!
//! An *item* is what is written at once: one key, or a set of keys that a batch writes together.

use serde::{Deserialize, Serialize};

use crate::harness::mix;

use super::plan::Plan;

/// The number of an item.
pub(crate) type Item = u32;

/// The number of a write: no two of a round have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WriteId(pub(crate) u64);

impl WriteId {
    /// Write `count` of a thread in a life, whose values have the sizes of `class`.
    pub(crate) fn new(life: u64, thread: u64, class: u64, count: u64) -> Self {
        Self(((life & 0xFFFF) << 48) | ((thread & 0xFF) << 40) | ((class & 3) << 38) | count)
    }

    fn class(self) -> u64 {
        (self.0 >> 38) & 3
    }

    /// Length of its value for the key with this hash.
    pub(crate) fn value_len(self, hash: u64) -> usize {
        let most = [112, 992, 15 << 10, 100 << 10][self.class() as usize];
        8 + (mix(self.0 ^ hash) % most) as usize
    }
}

/// What kind of item it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Hot,
    Expiring,
    /// With the number of its keys.
    Set(u32),
}

/// All items of a round.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    plain: u32,
    hot: u32,
    expiring: u32,
    sets: Vec<u32>,
}

impl Items {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            plain: plan.plain,
            hot: plan.hot,
            expiring: plan.expiring,
            sets: plan.sets.clone(),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.plain + self.hot + self.expiring + self.sets.len() as u32
    }

    /// Keys, if all are there.
    pub(crate) fn keys(&self) -> u64 {
        let singles = self.plain + self.hot + self.expiring;
        u64::from(singles) + self.sets.iter().map(|set| u64::from(*set)).sum::<u64>()
    }

    pub(crate) fn largest_set(&self) -> u64 {
        u64::from(self.sets.iter().copied().max().unwrap_or(0))
    }

    pub(crate) fn plain(&self, n: u64) -> Item {
        (n % u64::from(self.plain)) as Item
    }

    pub(crate) fn hot(&self, n: u64) -> Item {
        self.plain + (n % u64::from(self.hot)) as Item
    }

    pub(crate) fn expiring(&self, n: u64) -> Item {
        self.plain + self.hot + (n % u64::from(self.expiring)) as Item
    }

    pub(crate) fn set(&self, n: u64) -> Item {
        self.plain + self.hot + self.expiring + (n % self.sets.len() as u64) as Item
    }

    pub(crate) fn kind(&self, item: Item) -> Option<Kind> {
        let mut at = item;
        for (count, kind) in [
            (self.plain, Kind::Plain),
            (self.hot, Kind::Hot),
            (self.expiring, Kind::Expiring),
        ] {
            match at.checked_sub(count) {
                Some(rest) => at = rest,
                None => return Some(kind),
            }
        }
        self.sets.get(at as usize).map(|keys| Kind::Set(*keys))
    }

    /// The key of a single item, or key `member` of a set.
    pub(crate) fn key(&self, item: Item, member: u32) -> Vec<u8> {
        let letter = match self.kind(item) {
            Some(Kind::Plain) => b'p',
            Some(Kind::Hot) => b'h',
            Some(Kind::Expiring) => b'e',
            Some(Kind::Set(_)) | None => b's',
        };
        let mut key = Vec::with_capacity(32);
        key.push(letter);
        key.extend(item.to_be_bytes());
        if letter == b's' {
            key.extend(member.to_be_bytes());
        } else {
            // Keys of several lengths.
            key.resize(5 + (mix(u64::from(item)) % 24) as usize, b'.');
        }
        key
    }

    /// The keys of a set begin with this.
    pub(crate) fn prefix(item: Item) -> Vec<u8> {
        let mut prefix = vec![b's'];
        prefix.extend(item.to_be_bytes());
        prefix
    }

    /// The item and the member that a key belongs to.
    pub(crate) fn parse(&self, key: &[u8]) -> Option<(Item, u32)> {
        let item = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
        let member = match self.kind(item)? {
            Kind::Set(keys) => {
                let member = u32::from_be_bytes(key.get(5..9)?.try_into().ok()?);
                (member < keys).then_some(member)?
            }
            Kind::Plain | Kind::Hot | Kind::Expiring => 0,
        };
        (self.key(item, member) == key).then_some((item, member))
    }
}

fn hash(key: &[u8]) -> u64 {
    let step = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    mix(key.iter().fold(0xCBF2_9CE4_8422_2325, step))
}

/// The value that a write gives to a key.
pub(crate) fn value(key: &[u8], id: WriteId) -> Vec<u8> {
    let hash = hash(key);
    let len = id.value_len(hash);
    let mut value = Vec::with_capacity(len + 8);
    value.extend(id.0.to_le_bytes());
    let mut word = mix(id.0 ^ hash);
    while value.len() < len {
        value.extend(word.to_le_bytes());
        word = word.rotate_left(7).wrapping_add(hash);
    }
    value.truncate(len);
    value
}

/// Which write has made a value; `None` if it is the value of no write to this key.
pub(crate) fn written_by(key: &[u8], found: &[u8]) -> Option<WriteId> {
    let id = WriteId(u64::from_le_bytes(*found.first_chunk()?));
    (value(key, id) == found).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Items {
        Items {
            plain: 3,
            hot: 2,
            expiring: 4,
            sets: vec![5, 6],
        }
    }

    #[test]
    fn every_key_says_which_item_it_belongs_to() {
        let items = items();
        for item in 0..items.count() {
            let members = match items.kind(item) {
                Some(Kind::Set(keys)) => keys,
                _ => 1,
            };
            for member in 0..members {
                let key = items.key(item, member);
                assert_eq!(items.parse(&key), Some((item, member)));
            }
        }
        assert_eq!(items.kind(items.count()), None);
        assert_eq!(items.parse(b"p\0\0\0\x01"), None);
        assert_eq!(items.keys(), 3 + 2 + 4 + 11);
    }

    #[test]
    fn a_value_says_which_write_made_it_and_for_which_key() {
        for class in 0..4 {
            let id = WriteId::new(3, 2, class, 77);
            let value = value(b"a key", id);
            assert_eq!(written_by(b"a key", &value), Some(id));
            assert_eq!(written_by(b"another", &value), None);
            let mut damaged = value.clone();
            *damaged.last_mut().expect("it has bytes") ^= 1;
            assert_eq!(written_by(b"a key", &damaged), None);
        }
    }
}
