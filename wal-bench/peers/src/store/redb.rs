//! redb: a transaction that syncs for each put, or one without a sync for many puts. A reader sees what is committed, so that
//! puts wait in memory until there are enough for a transaction, or somebody reads.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use ::redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use bytes::Bytes;
use wal_bench::peer::{PeerMap, PeerStore, Reached};

use super::common::{CACHE, PUTS};
use crate::lock::lock;

/// One table.
pub(super) struct Redb;

struct Map {
    database: Database,
    reached: Reached,
    waiting: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    /// So that a get need not take the lock.
    waits: AtomicBool,
}

const FILE: &str = "kv.redb";
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("kv");

impl PeerStore for Redb {
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
        let database = Database::builder()
            .set_cache_size(CACHE as usize)
            .create(dir.join(FILE))?;
        let made = database.begin_write()?;
        made.open_table(TABLE)?;
        made.commit()?;
        Ok(Some(Box::new(Map {
            database,
            reached,
            waiting: Mutex::new(Vec::with_capacity(PUTS)),
            waits: AtomicBool::new(false),
        })))
    }
}

impl Map {
    fn commit<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        durability: Durability,
    ) -> anyhow::Result<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(durability)?;
        let mut table = write.open_table(TABLE)?;
        for (key, value) in pairs {
            table.insert(key, value)?;
        }
        drop(table);
        Ok(write.commit()?)
    }

    fn commit_waiting(
        &self,
        waiting: &mut Vec<(Vec<u8>, Vec<u8>)>,
        durability: Durability,
    ) -> anyhow::Result<()> {
        let pairs = waiting.iter().map(|(key, value)| (&key[..], &value[..]));
        self.commit(pairs, durability)?;
        waiting.clear();
        self.waits.store(false, Ordering::Release);
        Ok(())
    }

    /// Makes a reader see every put.
    fn settle(&self) -> anyhow::Result<()> {
        if self.waits.load(Ordering::Acquire) {
            let mut waiting = lock(&self.waiting);
            self.commit_waiting(&mut waiting, Durability::None)?;
        }
        Ok(())
    }
}

impl PeerMap for Map {
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        match self.reached {
            Reached::Durable => self.commit([(key, value)], Durability::Immediate),
            Reached::Buffered => {
                let mut waiting = lock(&self.waiting);
                waiting.push((key.to_vec(), value.to_vec()));
                self.waits.store(true, Ordering::Release);
                if waiting.len() == PUTS {
                    self.commit_waiting(&mut waiting, Durability::None)?;
                }
                Ok(())
            }
        }
    }

    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        self.settle()?;
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let found = table.get(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()> {
        self.settle()?;
        let table = self.database.begin_read()?.open_table(TABLE)?;
        for pair in table.iter()? {
            let (key, value) = pair?;
            each(key.value(), value.value());
        }
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        let mut waiting = lock(&self.waiting);
        self.commit_waiting(&mut waiting, Durability::Immediate)
    }
}

impl Drop for Map {
    /// What was committed without a sync is lost without one that syncs.
    fn drop(&mut self) {
        // There is nobody to tell: whoever wants to know has called `sync`.
        let _synced = self.sync();
    }
}
