//! RocksDB: each put in its log, handed over to the operating system, and synced for a group where it is asked for.

use std::path::Path;

use ::rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, IteratorMode, Options, WriteOptions, DB,
};
use bytes::Bytes;
use wal_bench::peer::{PeerMap, PeerStore, Reached};

use super::common::CACHE;

/// One column family.
pub(super) struct RocksDb;

struct Map {
    db: DB,
    write: WriteOptions,
}

/// Of the filter that answers most gets of keys that a file does not have. There is none by default.
const BITS_PER_KEY: f64 = 10.0;

impl PeerStore for RocksDb {
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(CACHE as usize));
        blocks.set_bloom_filter(BITS_PER_KEY, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::None);
        let mut write = WriteOptions::default();
        write.set_sync(reached == Reached::Durable);
        let db = DB::open(&options, dir)?;
        Ok(Some(Box::new(Map { db, write })))
    }
}

impl PeerMap for Map {
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        let found = self.db.get_pinned(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()> {
        for pair in self.db.iterator(IteratorMode::Start) {
            let (key, value) = pair?;
            each(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(self.db.flush_wal(true)?)
    }
}
