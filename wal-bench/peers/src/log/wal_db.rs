//! wal-db: one file, each append a `pwrite` of its own, a leader's `fdatasync` for all who wait.

use std::path::Path;

use wal_bench::peer::{Peer, PeerLog, Reached};
use wal_db::Wal;

/// With its default settings.
pub(super) struct WalDb;

struct Log {
    wal: Wal,
    reached: Reached,
}

const FILE: &str = "log";

impl Peer for WalDb {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        let wal = Wal::open(dir.join(FILE))?;
        Ok(Some(Box::new(Log { wal, reached })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let wal = Wal::open(dir.join(FILE))?;
        for record in wal.iter()? {
            each(record?.data());
        }
        Ok(Some(()))
    }
}

impl PeerLog for Log {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        let _lsn = match self.reached {
            Reached::Buffered => self.wal.append(payload)?,
            Reached::Durable => self.wal.append_and_sync(payload)?,
        };
        Ok(())
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        for payload in payloads {
            let _lsn = self.wal.append(payload)?;
        }
        if self.reached == Reached::Durable {
            self.wal.sync()?;
        }
        Ok(())
    }
}
