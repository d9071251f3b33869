//! fjall as a log: numbers for keys, and a memtable that is never full, so that the journal is all that is written.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use wal_bench::peer::{Peer, PeerLog, Reached};

/// As it is by default, where each insert is handed over to the operating system, or with its buffer.
pub(super) struct FjallJournal {
    pub(super) manual: bool,
}

struct Log {
    database: Database,
    records: Keyspace,
    next: AtomicU64,
    reached: Reached,
}

/// Bytes of the memtable, and of the journal.
const NEVER: u64 = 64 << 30;

impl FjallJournal {
    fn open(&self, dir: &Path) -> anyhow::Result<(Database, Keyspace)> {
        let database = Database::builder(dir)
            .max_journaling_size(NEVER)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(self.manual)
            .open()?;
        let records = database.keyspace("log", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(NEVER)
                .manual_journal_persist(self.manual)
        })?;
        Ok((database, records))
    }
}

impl Peer for FjallJournal {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if self.manual && reached == Reached::Durable {
            return Ok(None);
        }
        let (database, records) = self.open(dir)?;
        Ok(Some(Box::new(Log {
            database,
            records,
            next: AtomicU64::new(0),
            reached,
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let (_database, records) = self.open(dir)?;
        for record in records.iter() {
            each(&record.value()?);
        }
        Ok(Some(()))
    }
}

impl Log {
    fn key(&self) -> [u8; 8] {
        self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }
}

impl PeerLog for Log {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        match self.reached {
            Reached::Buffered => Ok(self.records.insert(self.key(), payload)?),
            Reached::Durable => self.append_batch(&[payload]),
        }
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mode = match self.reached {
            Reached::Buffered => PersistMode::Buffer,
            Reached::Durable => PersistMode::SyncData,
        };
        let mut batch = self.database.batch().durability(Some(mode));
        for payload in payloads {
            batch.insert(&self.records, self.key(), *payload);
        }
        Ok(batch.commit()?)
    }

    fn flush(&self) -> anyhow::Result<()> {
        Ok(self.database.persist(PersistMode::Buffer)?)
    }
}
