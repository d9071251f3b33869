//! walrus: one topic, one `pwrite` for each record, one `fsync` for each where it is asked for. A full block, of 10 MiB, is
//! synced in any case.
//!
//! It has no close: the threads and the open files of a log live as long as the process.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, Once};

use wal_bench::peer::{Peer, PeerLog, Reached};
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::lock::lock;

/// With its default backend: plain writes, and `io_uring` for batches.
pub(super) struct WalrusRust;

struct Log(Walrus);

/// The folder of a log, and what its records are filed under.
const KEY: &str = "log";
/// Bytes that are read at once.
const READ: usize = 1 << 20;
/// Records that a batch may have.
const BATCH: usize = 2000;

/// Files of earlier logs. walrus keeps them open, so that those which were removed would stay on the disk.
static USED: Mutex<Vec<File>> = Mutex::new(Vec::new());

fn open(dir: &Path, schedule: FsyncSchedule) -> anyhow::Result<Walrus> {
    // Held to the end: the environment says where, and there is one for all threads.
    let mut used = lock(&USED);
    empty_the_removed(&mut used)?;
    env::set_var("WALRUS_QUIET", "1");
    env::set_var("WALRUS_DATA_DIR", dir);
    // Positions of readers are never saved: a replay begins at the start.
    let reads = ReadConsistency::AtLeastOnce {
        persist_every: u32::MAX,
    };
    let wal = Walrus::with_consistency_and_schedule_for_key(KEY, reads, schedule)?;
    for entry in fs::read_dir(dir.join(KEY))? {
        let path = entry?.path();
        used.push(OpenOptions::new().write(true).open(path)?);
    }
    Ok(wal)
}

fn empty_the_removed(used: &mut Vec<File>) -> anyhow::Result<()> {
    for file in std::mem::take(used) {
        if file.metadata()?.nlink() == 0 {
            file.set_len(0)?;
        } else {
            used.push(file);
        }
    }
    Ok(())
}

impl Peer for WalrusRust {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        // The schedule of the first log of a process decides whether the files of all have O_SYNC. With it, those who want no
        // sync would pay one, and those who want one would pay two.
        static FIRST: Once = Once::new();
        let mut first = Ok(());
        FIRST.call_once(|| first = open(&dir.join("first"), FsyncSchedule::NoFsync).map(drop));
        first?;
        let schedule = match reached {
            Reached::Buffered => FsyncSchedule::NoFsync,
            Reached::Durable => FsyncSchedule::SyncEach,
        };
        Ok(Some(Box::new(Log(open(dir, schedule)?))))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let wal = open(dir, FsyncSchedule::NoFsync)?;
        loop {
            let entries = wal.batch_read_for_topic(KEY, READ, true)?;
            if entries.is_empty() {
                return Ok(Some(()));
            }
            for entry in entries {
                each(&entry.data);
            }
        }
    }
}

impl PeerLog for Log {
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.append_for_topic(KEY, payload)?)
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        for payloads in payloads.chunks(BATCH) {
            self.0.batch_append_for_topic(KEY, payloads)?;
        }
        Ok(())
    }
}
