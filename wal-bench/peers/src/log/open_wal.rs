//! open-wal, which has one writer: behind a lock, that is held over the sync. Its append fills a buffer in memory without
//! bounds; its only way to write them, `commit`, syncs.

use std::path::Path;
use std::sync::Mutex;

use open_wal::{Lsn, Wal, WalConfig};
use wal_bench::peer::{Peer, PeerLog, Reached};

use crate::lock::lock;

/// [`Reached::Durable`]: a commit for each append. [`Reached::Buffered`]: one commit for all, in `flush`.
pub(super) struct OpenWal(pub(super) Reached);

struct Log {
    wal: Mutex<Wal>,
    reached: Reached,
}

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

impl Peer for OpenWal {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if reached != self.0 {
            return Ok(None);
        }
        let wal = Mutex::new(open(dir)?);
        Ok(Some(Box::new(Log { wal, reached })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        replay(dir, each)
    }
}

impl PeerLog for Log {
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
