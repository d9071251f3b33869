//! A batch: writes that take place together.

use std::time::Duration;

use wal_core::{Expiry, IntoBytes, Record, RecordKind};

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

    /// The records, with every expiry as a point in time.
    pub(crate) fn into_records(self, now: impl FnOnce() -> wal_core::UnixMillis) -> Vec<Record> {
        let mut records = self.records;
        let is_relative = |record: &Record| matches!(record.expiry(), Expiry::After(_));
        if records.iter().any(is_relative) {
            let now = now();
            for record in &mut records {
                if let Some(at) = record.expiry().resolve(now) {
                    *record = std::mem::replace(record, Record::data([])).with_expiry(at);
                }
            }
        }
        records
    }
}

/// What records of a batch do.
pub(crate) fn changes(records: &[Record]) -> Vec<Change<'_>> {
    let change = |record| change_of(record);
    records.iter().filter_map(change).collect()
}

/// What a record does to its key; `None` for a record without a key.
pub(crate) fn change_of(record: &Record) -> Option<Change<'_>> {
    match record.kind() {
        RecordKind::Put => Some(Change::Put {
            key: &record.key,
            value: &record.value,
            expires_at: record.expires_at(),
        }),
        RecordKind::Delete => Some(Change::Delete { key: &record.key }),
        RecordKind::Data => None,
    }
}
