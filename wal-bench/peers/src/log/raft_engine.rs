//! raft-engine: each writer has a group of its own, as it is meant to be used, since indexes within one have no gaps. A leader
//! writes for all who wait, and syncs if one of them asked for it.

use std::path::Path;

use ::raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use anyhow::Context as _;
use protobuf::descriptor::UninterpretedOption;
use wal_bench::peer::{Peer, PeerLog, Reached};

use crate::lanes::Lanes;

/// Without compression.
pub(super) struct RaftEngine;

/// An entry as raft-engine wants it: a protobuf message that knows its index. This one comes with the protobuf crate and has
/// a number and bytes; one of our own would need a compiler for it.
#[derive(Clone)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Log {
    engine: Engine,
    groups: Lanes<Group>,
    reached: Reached,
}

struct Group {
    id: u64,
    /// Of its last record.
    index: u64,
    /// Empty; kept for its capacity.
    batch: LogBatch,
}

/// More than there are writers.
const GROUPS: u64 = 64;
/// Bytes that are read at once.
const READ: usize = 1 << 20;

fn open(dir: &Path) -> anyhow::Result<Engine> {
    let dir = dir.to_str().context("a path that is not UTF-8")?.to_owned();
    Ok(Engine::open(Config {
        dir,
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    })?)
}

impl Peer for RaftEngine {
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>> {
        let groups = (1..=GROUPS).map(|id| Group {
            id,
            index: 0,
            batch: LogBatch::default(),
        });
        Ok(Some(Box::new(Log {
            engine: open(dir)?,
            groups: Lanes::new(groups),
            reached,
        })))
    }

    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>> {
        let engine = open(dir)?;
        let mut entries = Vec::new();
        for group in engine.raft_groups() {
            let mut next = engine.first_index(group).unwrap_or(0);
            let end = engine.last_index(group).map_or(0, |last| last + 1);
            while next < end {
                next += engine.fetch_entries_to::<Numbered>(
                    group,
                    next,
                    end,
                    Some(READ),
                    &mut entries,
                )? as u64;
                for entry in entries.drain(..) {
                    each(entry.get_string_value());
                }
            }
        }
        Ok(Some(()))
    }
}

impl PeerLog for Log {
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut group = self.groups.of_thread();
        let Group { id, index, batch } = &mut *group;
        for payload in payloads {
            *index += 1;
            let mut entry = UninterpretedOption::new();
            entry.set_positive_int_value(*index);
            entry.set_string_value(payload.to_vec());
            batch.add_entries::<Numbered>(*id, &[entry])?;
        }
        self.engine.write(batch, self.reached == Reached::Durable)?;
        Ok(())
    }
}
