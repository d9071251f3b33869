//! open-wal, which has one writer: behind a lock, that is held over the sync. Its append fills a buffer in memory without
//! bounds; its only way to write them, `commit`, syncs.

use std::path::Path;
use std::sync::Mutex;

use open_wal::{Lsn, Wal, WalConfig};
use wal_bench::peer::{Peer, PeerLog, Reached};

use crate::lock::lock;

/// A commit for each append.
pub(super) struct OpenWal;

/// One commit for all, in `flush`.
pub(super) struct OpenWalBuffered;

struct Log {
    wal: Mutex<Wal>,
    reached: Reached,
}

pub(super) const VERSION: &str = env!("VERSION_OPEN_WAL");

/// With its default settings: segments of 128 MiB.
pub(super) fn open(dir: &Path) -> anyhow::Result<Wal> {
    Ok(Wal::open(dir, WalConfig::default())?.0)
}

pub(super) fn replay(dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
    let wal = open(dir)?;
    let mut reader = wal.reader_from(Lsn(0))?;
    while let Some(record) = reader.next() {
        each(record?.1);
    }
    Ok(Some(()))
}

fn create(dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
    let wal = Mutex::new(open(dir)?);
    Ok(Some(Box::new(Log { wal, reached })))
}

impl Peer for OpenWal {
    fn name(&self) -> &'static str {
        "open-wal"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        match reached {
            Reached::Buffered => Ok(None),
            Reached::Durable => create(dir, reached),
        }
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        replay(dir, each)
    }
}

impl Peer for OpenWalBuffered {
    fn name(&self) -> &'static str {
        "open-wal (flush syncs)"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        match reached {
            Reached::Buffered => create(dir, reached),
            Reached::Durable => Ok(None),
        }
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        replay(dir, each)
    }
}

impl PeerLog for Log {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        self.append_batch(&[payload])
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut wal = lock(&self.wal);
        for payload in payloads {
            wal.append(payload)?;
        }
        if self.reached == Reached::Durable {
            wal.commit()?;
        }
        Ok(())
    }

    fn flush(&self) -> anyhow::Result<()> {
        lock(&self.wal).commit()?;
        Ok(())
    }
}
