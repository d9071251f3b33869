//! commitlog, which has one writer: behind a lock. It writes each append, and syncs none, by no call; the other way of use
//! adds an `fdatasync` of the segment by us.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use ::commitlog::message::{MessageBuf, MessageSet as _};
use ::commitlog::{CommitLog, LogOptions, ReadLimit};
use anyhow::{anyhow, ensure};
use wal_bench::peer::{Peer, PeerLog, Reached};

use crate::lock::lock;

/// As it is, for [`Reached::Buffered`], or with our sync.
pub(super) struct Commitlog(pub(super) Reached);

struct Log {
    open: Mutex<Open>,
}

struct Open {
    log: CommitLog,
    /// Empty; kept for its capacity.
    messages: MessageBuf,
    written: usize,
    /// The segment, if it is synced.
    segment: Option<File>,
}

/// The log keeps to its first segment, whose file we know: as large as its positions allow.
const SEGMENT: usize = u32::MAX as usize;
const FIRST_SEGMENT: &str = "00000000000000000000.log";
/// Records that the index has room for before it grows. The default is 100,000.
const INDEX: usize = 1 << 20;
/// Bytes of an append, or of a read. The default allows no batch of 1,000 records of 1 KiB.
const MESSAGES: usize = 64 << 20;
const READ: usize = 1 << 20;

fn open(dir: &Path) -> anyhow::Result<CommitLog> {
    let mut options = LogOptions::new(dir);
    options
        .segment_max_bytes(SEGMENT)
        .index_max_items(INDEX)
        .message_max_bytes(MESSAGES);
    Ok(CommitLog::new(options)?)
}

impl Peer for Commitlog {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if reached != self.0 {
            return Ok(None);
        }
        let log = open(dir)?;
        let segment = match reached {
            Reached::Buffered => None,
            Reached::Durable => Some(File::open(dir.join(FIRST_SEGMENT))?),
        };
        Ok(Some(Box::new(Log {
            open: Mutex::new(Open {
                log,
                messages: MessageBuf::default(),
                written: 0,
                segment,
            }),
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let log = open(dir)?;
        let mut next = 0;
        while next < log.next_offset() {
            let messages = log.read(next, ReadLimit::max_bytes(READ))?;
            ensure!(!messages.is_empty(), "no message at {next}");
            for message in messages.iter() {
                each(message.payload());
            }
            next += messages.len() as u64;
        }
        Ok(Some(()))
    }
}

impl PeerLog for Log {
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut open = lock(&self.open);
        let Open {
            log,
            messages,
            written,
            segment,
        } = &mut *open;
        messages.clear();
        for payload in payloads {
            messages
                .push(payload)
                .map_err(|error| anyhow!("{error:?}"))?;
        }
        *written += messages.bytes().len();
        ensure!(*written < SEGMENT, "the segment is full");
        log.append(messages)?;
        if let Some(segment) = segment {
            segment.sync_data()?;
        }
        Ok(())
    }
}
