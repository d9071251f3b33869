//! The disk itself: what one sync costs, and how fast bytes go down. A figure above the disk's own rate explains itself by it.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use wal_io::{DiskStorage, OpenMode, Storage as _, StorageFileExt as _};

use crate::figures::Latency;
use crate::load::{histogram_of, nanos};
use crate::size::{KIB, MIB, Size};
use crate::turn::Turn;
use crate::watch::Stopwatch;

/// What the disk can do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Microseconds of a write of 1 KiB and its fdatasync, on blocks written before.
    pub sync: Latency,
    /// A file written from its start to its end, with one fdatasync; the best of two.
    pub sequential_mib_per_second: f64,
}

impl Probe {
    /// Asks the disk of `dir`.
    ///
    /// # Errors
    /// The system's.
    pub fn of(dir: &Path, size: Size) -> io::Result<Self> {
        let own = tempfile::Builder::new().prefix("probe-").tempdir_in(dir)?;
        let storage = DiskStorage::new(own.path().to_owned());
        let (syncs, bytes) = size.pick((5, 256 * KIB), (200, 32 * MIB), (500, 64 * MIB));
        let [first, second] = ["first", "second"].map(|name| sequential(&storage, name, bytes));
        let payload = [0x5a; 1024];
        let file = storage.open("first", OpenMode::ReadWrite)?;
        let mut latencies = Vec::new();
        for n in 0..syncs {
            let begun = Instant::now();
            file.write_all_at(&payload, n * 1024 % bytes)?;
            file.sync_data()?;
            latencies.push(nanos(begun.elapsed()));
        }
        Ok(Self {
            sync: Latency::from(&histogram_of(latencies)),
            sequential_mib_per_second: first?.max(second?),
        })
    }
}

/// Mebibytes a second of a new file of `bytes` bytes in `dir`, with one fdatasync at its end.
///
/// # Errors
/// The system's.
pub(crate) fn sustained(dir: &Path, bytes: u64) -> io::Result<f64> {
    let own = tempfile::Builder::new().prefix("probe-").tempdir_in(dir)?;
    sequential(&DiskStorage::new(own.path().to_owned()), "file", bytes)
}

fn sequential(storage: &DiskStorage, name: &str, bytes: u64) -> io::Result<f64> {
    let mebibyte = vec![0x5a; 1 << 20];
    let file = storage.open(name, OpenMode::CreateNew)?;
    let watch = Stopwatch::start();
    let mut at = 0;
    while at < bytes {
        let step = (bytes - at).min(mebibyte.len() as u64);
        file.write_all_at(&mebibyte[..step as usize], at)?;
        at += step;
    }
    file.sync_data()?;
    let rate = Turn::new(1, bytes, watch.elapsed()).mib_per_second();
    Ok(rate.unwrap_or_default())
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p99, max, .. } = self.sync;
        write!(
            f,
            "1 KiB + fdatasync p50 {p50:.0} us, p99 {p99:.0} us, max {max:.0} us; sequential {:.0} MiB/s",
            self.sequential_mib_per_second
        )
    }
}
