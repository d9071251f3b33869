//! sled, the last stable version. Its own sync starts the writing of the pages and waits for it (`sync_file_range`), which is no
//! promise about a disk that loses power: wherever something must be durable, we add an `fdatasync` of its file.

use std::fs::File;
use std::path::Path;

use ::sled::{Config, Db, Mode};
use bytes::Bytes;
use wal_bench::peer::{PeerMap, PeerStore, Reached};

use super::common::CACHE;

/// As it is, for [`Reached::Buffered`], or with our sync after each put.
pub(super) struct Sled(pub(super) Reached);

struct Map {
    db: Db,
    file: File,
    reached: Reached,
}

impl PeerStore for Sled {
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
        if reached != self.0 {
            return Ok(None);
        }
        let db = Config::new()
            .path(dir)
            .cache_capacity(CACHE)
            .mode(Mode::HighThroughput)
            .flush_every_ms(None)
            .open()?;
        let file = File::open(dir.join("db"))?;
        Ok(Some(Box::new(Map { db, file, reached })))
    }
}

impl PeerMap for Map {
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        self.db.insert(key, value)?;
        match self.reached {
            Reached::Buffered => Ok(()),
            Reached::Durable => self.sync(),
        }
    }

    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        let found = self.db.get(key)?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()> {
        for pair in self.db.iter() {
            let (key, value) = pair?;
            each(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}
