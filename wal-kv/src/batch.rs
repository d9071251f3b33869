//! A batch: writes that take place together.

use std::time::Duration;

use wal_core::{Expiry, IntoBytes, Record, RecordKind, UnixMillis};

use crate::history::shifted;
use crate::index::Change;

/// Writes that are shown together and survive a crash all or none. Of two writes of one key the later counts.
///
/// ```
/// use wal_kv::{Batch, KvConfig, blocking::KvStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("store");
/// let store = KvStore::open(&dir, KvConfig::default())?;
/// store.write(Batch::new().put("account:1", "90").put("account:2", "110"))?;
/// assert_eq!(store.len(), 2);
/// # store.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
}

impl Batch {
    /// No writes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of `key`.
    #[must_use]
    pub fn put(mut self, key: impl IntoBytes, value: impl IntoBytes) -> Self {
        self.records.push(Record::put(key, value));
        self
    }

    /// Sets the value of `key` for a time: `ttl` from the call of `write` on.
    #[must_use]
    pub fn put_with_ttl(
        mut self,
        key: impl IntoBytes,
        value: impl IntoBytes,
        ttl: Duration,
    ) -> Self {
        let record = Record::put(key, value).with_ttl(ttl);
        self.records.push(record);
        self
    }

    /// Removes `key`.
    #[must_use]
    pub fn delete(mut self, key: impl IntoBytes) -> Self {
        self.records.push(Record::delete(key));
        self
    }

    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, with every expiry as a point in time: `after` gives it by the store's steady time, and the wall clock is ahead
    /// of that by `offset`.
    pub(crate) fn into_records(
        self,
        offset: i64,
        after: impl Fn(Duration) -> UnixMillis,
    ) -> Records {
        let mut records = Records {
            records: self.records,
            offset,
        };
        records.give_expiries(|expiry| match expiry {
            Expiry::After(ttl) => Some(shifted(after(ttl), offset)),
            _ => None,
        });
        records
    }
}

/// The records of a batch. Expiries are by the wall clock, which is ahead of the store's steady time by an offset.
#[derive(Debug)]
pub(crate) struct Records {
    records: Vec<Record>,
    offset: i64,
}

impl Records {
    pub(crate) fn as_slice(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// What they do.
    pub(crate) fn changes(&self) -> Vec<Change<'_>> {
        let mut changes: Vec<_> = self.records.iter().filter_map(change_of).collect();
        if self.offset != 0 {
            for change in &mut changes {
                if let Change::Put {
                    expires_at: Some(at),
                    ..
                } = change
                {
                    *at = shifted(*at, -self.offset);
                }
            }
        }
        changes
    }

    /// The wall clock is ahead by another offset.
    pub(crate) fn move_to(&mut self, offset: i64) {
        let by = offset.saturating_sub(self.offset);
        self.give_expiries(|expiry| match expiry {
            Expiry::At(at) => Some(shifted(at, by)),
            _ => None,
        });
        self.offset = offset;
    }

    fn give_expiries(&mut self, expiry_of: impl Fn(Expiry) -> Option<UnixMillis>) {
        for record in &mut self.records {
            if let Some(at) = expiry_of(record.expiry()) {
                *record = std::mem::replace(record, Record::data([])).with_expiry(at);
            }
        }
    }
}

/// What a record does to its key, with the expiry that it has in the log; `None` for a record without a key.
pub(crate) fn change_of(record: &Record) -> Option<Change<'_>> {
    match record.kind() {
        RecordKind::Put => Some(Change::Put {
            key: &record.key,
            value: &record.value,
            expires_at: record.expires_at(),
        }),
        RecordKind::Delete => Some(Change::Delete { key: &record.key }),
        _ => None,
    }
}
