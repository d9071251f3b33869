//! Counting the memory anew, for tests: from the versions, tables and nodes that are there.

use super::Index;
use super::memory::{Bytes, PLACES, Tables, with_holes};

/// What the counters say, or what a count from scratch gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recount {
    pub(crate) live: u64,
    /// As a limit counts it.
    pub(crate) limited: u64,
    pub(crate) kept: u64,
    /// Of `kept`, what views of users show.
    pub(crate) held: u64,
}

impl Index {
    /// The counters, and the count from scratch. Nothing else is done with the index meanwhile.
    pub(crate) fn recount(&self) -> (Recount, Recount) {
        let _writer = self.writer();
        let ledger = self.ledger();
        let counters = Recount {
            live: self.live_memory(),
            limited: self.limited_memory(),
            kept: self.kept_memory(),
            held: ledger.held().bytes,
        };
        let (mut bytes, mut tables) = (Bytes::default(), Tables::default());
        for shard in &self.shards {
            let shard = shard.0.read();
            let (newest, older) = shard.versions();
            for version in &newest {
                bytes = bytes.and(Bytes::of_newest(version));
            }
            for version in &older {
                bytes = bytes.and(Bytes::of_older(version));
            }
            tables.newest += shard.tables().newest;
            tables.older += shard.recount_older();
        }
        let nodes = with_holes(self.read_ordered().recount());
        let counted = Recount {
            live: bytes.live.cast_unsigned() + tables.newest + nodes,
            limited: (bytes.live + bytes.keys * PLACES).cast_unsigned(),
            kept: bytes.kept.cast_unsigned() + tables.older,
            held: ledger.recount_of_users(),
        };
        (counters, counted)
    }
}
