//! okaywal: each commit of an entry syncs, in a group with others.
//!
//! There is no append without a sync. The buffered way is one entry that takes every record as a chunk. What is left in the
//! buffer at the end can only be handed over by a commit, which syncs everything: `flush` makes it, or leaves that rest. A checkpoint takes records out of the log, so only a log without checkpoints can be read from its start.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;

use ::okaywal::{Configuration, EntryWriter, LogVoid, WriteAheadLog};
use anyhow::Context as _;
use self_cell::self_cell;
use wal_bench::peer::{Peer, PeerLog, Reached};

use super::okaywal_replay::replay;
use crate::lock::lock;

/// An entry and its commit for each append.
pub(super) struct Okaywal {
    pub(super) tuned: bool,
}

/// One entry for all.
pub(super) struct OkaywalBuffered {
    /// If not, for less than a buffer no sync of all: what the appends alone cost.
    pub(super) flush_commits: bool,
}

struct Durable {
    /// `None` behind the drop.
    wal: Option<WriteAheadLog>,
}

struct Buffered {
    /// `None` behind the drop.
    open: Mutex<Option<Open>>,
    flush_commits: bool,
}

type Unfinished<'a> = Option<EntryWriter<'a>>;

self_cell! {
    struct Open {
        owner: WriteAheadLog,
        #[not_covariant]
        dependent: Unfinished,
    }
}

/// Bytes that the tuned log writes before its first record, and syncs, as the limits do.
const PREWRITTEN: u32 = 64 << 20;
/// Bytes of its buffer. The default is 16 KiB.
const BUFFER: usize = 256 << 10;

/// Without checkpoints.
fn tuned(dir: &Path, preallocate: Option<u32>) -> Configuration {
    let config = Configuration::default_for(dir)
        .checkpoint_after_bytes(u64::MAX)
        .buffer_bytes(BUFFER);
    match preallocate {
        Some(bytes) => config.preallocate_bytes(bytes),
        None => config,
    }
}

impl Peer for Okaywal {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if reached == Reached::Buffered {
            return Ok(None);
        }
        let wal = if self.tuned {
            let wal = tuned(dir, Some(PREWRITTEN)).open(LogVoid)?;
            // The zeros too, so that no append waits for them.
            for file in fs::read_dir(dir)? {
                File::open(file?.path())?.sync_all()?;
            }
            wal
        } else {
            WriteAheadLog::recover(dir, LogVoid)?
        };
        Ok(Some(Box::new(Durable { wal: Some(wal) })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        if self.tuned {
            replay(tuned(dir, None), each).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl PeerLog for Durable {
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let wal = self.wal.as_ref().context("the log is closed")?;
        let mut entry = wal.begin_entry()?;
        for payload in payloads {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(())
    }
}

impl Drop for Durable {
    /// Waits for the thread that makes checkpoints.
    fn drop(&mut self) {
        if let Some(wal) = self.wal.take() {
            // There is nobody to tell, and the records are durable.
            let _closed = wal.shutdown();
        }
    }
}

impl Peer for OkaywalBuffered {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if reached == Reached::Durable {
            return Ok(None);
        }
        let wal = tuned(dir, None).open(LogVoid)?;
        let open = Mutex::new(Some(Open::new(wal, |_| None)));
        let flush_commits = self.flush_commits;
        Ok(Some(Box::new(Buffered {
            open,
            flush_commits,
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        replay(tuned(dir, None), each).map(Some)
    }
}

impl PeerLog for Buffered {
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut open = lock(&self.open);
        let open = open.as_mut().context("the log is closed")?;
        open.with_dependent_mut(|wal, entry| {
            let entry = match entry {
                Some(entry) => entry,
                None => entry.insert(wal.begin_entry()?),
            };
            for payload in payloads {
                entry.write_chunk(payload)?;
            }
            Ok(())
        })
    }

    fn flush(&self) -> anyhow::Result<()> {
        if self.flush_commits {
            lock(&self.open).as_mut().map_or(Ok(()), commit)
        } else {
            Ok(())
        }
    }
}

fn commit(open: &mut Open) -> anyhow::Result<()> {
    open.with_dependent_mut(|_, entry| {
        if let Some(entry) = entry.take() {
            entry.commit()?;
        }
        Ok(())
    })
}

impl Drop for Buffered {
    /// Commits what was not, and waits for the thread that makes checkpoints.
    fn drop(&mut self) {
        if let Some(mut open) = lock(&self.open).take() {
            // There is nobody to tell: whoever wants to know has called `flush`.
            let _committed = commit(&mut open);
            let _closed = open.into_owner().shutdown();
        }
    }
}
