//! What the workloads share: how a log is set up, named, filled and checked.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wal_core::{FsyncPolicy, Lsn, RecordRef, Stats, WalConfig, blocking::Wal};

use crate::limits::RawChunk;
use crate::payload::Payloads;
use crate::size::{GIB, KIB, MIB};

/// The policies, with the window of `Batch` that all workloads use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Policy {
    Always,
    Batch,
    Os,
}

impl Policy {
    fn fsync(self) -> FsyncPolicy {
        match self {
            Self::Always => FsyncPolicy::Always,
            Self::Batch => FsyncPolicy::Batch(Duration::from_millis(5)),
            Self::Os => FsyncPolicy::Os,
        }
    }

    /// As the rows name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Batch => "Batch(5ms)",
            Self::Os => "Os",
        }
    }

    /// The default settings with this policy.
    pub(crate) fn config(self) -> WalConfig {
        WalConfig {
            fsync_policy: self.fsync(),
            ..WalConfig::default()
        }
    }

    /// The same with segments of this length.
    pub(crate) fn config_with(self, max_segment_size: u64) -> WalConfig {
        WalConfig {
            max_segment_size,
            ..self.config()
        }
    }
}

/// Bytes as the rows name them.
pub(crate) fn size_name(bytes: u64) -> String {
    for (unit, name) in [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} B")
}

/// "1 writer", "8 writers".
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Where a turn has its log.
pub(crate) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// A new log whose first segment is there: it is made with the first append.
pub(crate) fn begun(dir: &Path, config: WalConfig) -> wal_core::Result<Wal> {
    let wal = Wal::open(log_dir(dir), config)?;
    wal.append(RecordRef::data(b"the first"))?;
    wal.sync()?;
    Ok(wal)
}

/// The same under `Always`, with time to write zeros ahead of the records: the files of the limits were written before, too.
pub(crate) fn prepared(dir: &Path) -> wal_core::Result<Wal> {
    let wal = begun(dir, Policy::Always.config())?;
    while_zeros_are_written(|| wal.stats());
    Ok(wal)
}

/// Returns when no zeros were written for a while, or it has taken too long.
pub(crate) fn while_zeros_are_written(stats: impl Fn() -> Stats) {
    let begun = Instant::now();
    let mut seen = 0;
    while begun.elapsed() < MOST_PREPARING {
        thread::sleep(PREPARED_AFTER);
        let now = stats().bytes_prewritten;
        if now == seen {
            return;
        }
        seen = now;
    }
}

/// A step on a slow disk, and the rest behind it.
const PREPARED_AFTER: Duration = Duration::from_millis(60);
const MOST_PREPARING: Duration = Duration::from_secs(1);

/// Appends `bytes` bytes of payload in records of `record`, without waiting for a sync; returns their number.
pub(crate) fn fill(wal: &Wal, record: u64, bytes: u64) -> wal_core::Result<u64> {
    let (payloads, count) = (Payloads::default(), bytes / record);
    for n in 0..count {
        wal.append(RecordRef::data(payloads.get(n, record)))?;
    }
    wal.flush()?;
    Ok(count)
}

/// Writes `count` records of `record` bytes to a new file of raw-chunk in `dir`.
pub(crate) fn fill_raw(dir: &Path, record: u64, count: u64) -> anyhow::Result<()> {
    let (mut file, payloads) = (RawChunk::create(dir)?, Payloads::default());
    for n in 0..count {
        file.append(payloads.get(n, record))?;
    }
    Ok(file.flush()?)
}

/// A closed log of that kind in `log`; returns the number of its records.
pub(crate) fn closed(
    log: &Path,
    config: WalConfig,
    record: u64,
    bytes: u64,
) -> anyhow::Result<u64> {
    let wal = Wal::open(log, config)?;
    let count = fill(&wal, record, bytes)?;
    wal.close()?;
    Ok(count)
}

/// A contender that lost or doubled a record has no figure.
pub(crate) fn check_last(found: Lsn, expected: u64) -> anyhow::Result<()> {
    ensure!(
        found.get() == expected,
        "the log holds {found} records, {expected} were appended"
    );
    Ok(())
}

/// Ends a log that nobody will read. Its files are cut to nothing first: dropping the last handle syncs, and what the turn wrote
/// would go down to the disk for nothing.
pub(crate) fn discard<W>(wal: W, dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(log_dir(dir))? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        match std::fs::File::options().write(true).open(path) {
            Ok(file) => file.set_len(0)?,
            // A thread of the log has renamed it, or removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    drop(wal);
    Ok(())
}
