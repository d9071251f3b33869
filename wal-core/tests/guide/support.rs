//! What the guide takes for granted: an open log, some records, and a look at what came of them.

use anyhow::Result;
use tempfile::TempDir;
use wal_core::{Lsn, Record, Wal, WalConfig};

/// A log in a directory of its own, which lives as long as this does.
pub(super) struct Log {
    pub(super) wal: Wal,
    dir: TempDir,
}

impl Log {
    pub(super) async fn open(config: WalConfig) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let wal = Wal::open(dir.path().join("log"), config).await?;
        Ok(Self { wal, dir })
    }

    /// Closes the log and opens it with other settings.
    pub(super) async fn reopen(self, config: WalConfig) -> Result<Self> {
        self.wal.close().await?;
        let wal = Wal::open(self.dir.path().join("log"), config).await?;
        Ok(Self { wal, ..self })
    }

    /// Closes the log, opens it again and returns all of its records.
    pub(super) async fn into_records(self) -> Result<Vec<Record>> {
        let log = self.reopen(WalConfig::default()).await?;
        assert!(log.wal.recovery_report().clean);
        let records = read_all(&log.wal).await?;
        log.wal.close().await?;
        Ok(records)
    }
}

pub(super) async fn read_all(wal: &Wal) -> Result<Vec<Record>> {
    let mut reader = wal.read_from(Lsn::ZERO).await?;
    let mut records = Vec::new();
    while let Some((record, position)) = reader.next_record().await? {
        records.push(record);
        assert_eq!(position.lsn.get(), records.len() as u64);
    }
    Ok(records)
}

/// Some records.
pub(super) fn records(count: usize) -> Vec<Record> {
    (0..count)
        .map(|n| Record::put(format!("key{n}"), format!("value{n}")))
        .collect()
}

/// A JSON document that compresses well.
pub(super) fn document(len: usize) -> Vec<u8> {
    br#"{"id":1,"name":"Ada","tags":["a","b"]},"#.iter().copied().cycle().take(len).collect()
}
