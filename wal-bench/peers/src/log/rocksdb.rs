//! RocksDB as a log: numbers for keys, and a memtable that is never full, so that its log is all that is written
//! until it is opened again: that moves the records into a table, and the next reads that.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ::rocksdb::{DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions, DB};
use wal_bench::peer::{Peer, PeerLog, Reached};

/// Each write handed over to the operating system, and synced for a group where it is asked for.
pub(super) struct RocksDbWal;

struct Log {
    db: DB,
    write: WriteOptions,
    next: AtomicU64,
}

/// Bytes of the memtable: more than a workload writes. Not more than that, for the log gets as much disk at its begin.
const MEMTABLE: usize = 512 << 20;

fn open(dir: &Path) -> anyhow::Result<DB> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(MEMTABLE);
    options.set_compression_type(DBCompressionType::None);
    Ok(DB::open(&options, dir)?)
}

impl Peer for RocksDbWal {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        let mut write = WriteOptions::default();
        write.set_sync(reached == Reached::Durable);
        Ok(Some(Box::new(Log {
            db: open(dir)?,
            write,
            next: AtomicU64::new(0),
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let db = open(dir)?;
        for record in db.iterator(IteratorMode::Start) {
            each(&record?.1);
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
        Ok(self.db.put_opt(self.key(), payload, &self.write)?)
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut batch = WriteBatch::default();
        for payload in payloads {
            batch.put(self.key(), payload);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn flush(&self) -> anyhow::Result<()> {
        Ok(self.db.flush_wal(false)?)
    }
}
