//! One change of the store, and the record that it is in the log.

use bytes::Bytes;
use wal_core::{Position, Record, RecordKind, RecordRef, UnixMillis};

use crate::{Error, Result};

/// What a write does to one key.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put {
        key: Bytes,
        value: Bytes,
        expires_at: Option<UnixMillis>,
    },
    Delete {
        key: Bytes,
    },
}

impl Change {
    /// What is appended to the log.
    pub(crate) fn record(&self) -> RecordRef<'_> {
        match self {
            Self::Put {
                key,
                value,
                expires_at,
            } => {
                let record = RecordRef::put(key, value);
                match expires_at {
                    Some(at) => record.with_expiry(*at),
                    None => record,
                }
            }
            Self::Delete { key } => RecordRef::delete(key),
        }
    }

    /// What a record of the log did. Key and value are copied out of the read buffer, which they would pin.
    pub(crate) fn of(record: &Record, position: Position) -> Result<Self> {
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        match record.kind() {
            RecordKind::Put => Ok(Self::Put {
                key: copy(&record.key),
                value: copy(&record.value),
                expires_at: record.expires_at(),
            }),
            RecordKind::Delete => Ok(Self::Delete {
                key: copy(&record.key),
            }),
            RecordKind::Data => Err(Error::NotAStore { position }),
        }
    }
}
