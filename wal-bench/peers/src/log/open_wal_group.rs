//! open-wal as a program with many writers would use it: whoever finds no leader becomes it, and commits the records of all
//! who wait.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use ::open_wal::Wal;
use anyhow::ensure;
use wal_bench::peer::{Peer, PeerLog, Reached};

use super::open_wal;
use crate::lock::lock;

/// A lock and a leader before it.
pub(super) struct OpenWalGroup;

struct Log {
    wal: Mutex<Wal>,
    queue: Mutex<Queue>,
    led: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Payloads,
    /// What the last leader is done with; kept for its capacity.
    spare: Payloads,
    /// Records that came in, and that are durable.
    begun: u64,
    done: u64,
    leading: bool,
    failed: bool,
}

/// Records one behind the other.
#[derive(Default)]
struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Peer for OpenWalGroup {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        if reached == Reached::Buffered {
            return Ok(None);
        }
        Ok(Some(Box::new(Log {
            wal: Mutex::new(open_wal::open(dir)?),
            queue: Mutex::default(),
            led: Condvar::new(),
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        open_wal::replay(dir, each)
    }
}

impl PeerLog for Log {
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut queue = lock(&self.queue);
        for payload in payloads {
            queue.waiting.push(payload);
        }
        queue.begun += payloads.len() as u64;
        let mine = queue.begun;
        while queue.done < mine {
            ensure!(!queue.failed, "another writer's commit failed");
            if queue.leading {
                let woken = self.led.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.leading = true;
            let spare = std::mem::take(&mut queue.spare);
            let mut group = std::mem::replace(&mut queue.waiting, spare);
            let last = queue.begun;
            drop(queue);
            let written = self.write(&group);
            group.clear();
            queue = lock(&self.queue);
            queue.spare = group;
            queue.leading = false;
            match &written {
                Ok(()) => queue.done = last,
                Err(_) => queue.failed = true,
            }
            self.led.notify_all();
            written?;
        }
        Ok(())
    }
}

impl Log {
    fn write(&self, group: &Payloads) -> anyhow::Result<()> {
        let mut wal = lock(&self.wal);
        let mut start = 0;
        for end in &group.ends {
            wal.append(&group.bytes[start..*end])?;
            start = *end;
        }
        wal.commit()?;
        Ok(())
    }
}

impl Payloads {
    fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
