//! The store's threads under a model checker, as the log's are in wal-core: `cargo xtask shuttle` builds and runs both; without
//! `--cfg wal_shuttle` there is nothing here.
//!
//! ```text
//! machine.rs      a store on a simulated machine, its clock, and how its life ends
//! storage.rs      the storage: each operation takes a while
//! readers.rs      reads beside a writer: nothing that a crash takes back, own writes, swaps
//! scans.rs        scans and views beside writers: one moment, for as long as they are there
//! snapshots.rs    snapshots beside writers and close, by call and by the store itself
//! hot.rs          hot keys under views that come and go, swept ones too
//! bound.rs        writers at the bound of the log, beside failing snapshots and close
//! limits.rs       the memory's limit beside writers, keys that expire
//! clocks.rs       a wall clock that is set beside writers
//! ```
//!
//! How many schedules, and how to replay one, is wal-core's `tests/shuttle/explore.rs`. What a schedule decides by chance is drawn
//! from shuttle's own random numbers. Deliberately absent: the log's own promises, which are wal-core's.

#![cfg(wal_shuttle)]
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the counts are for who asks for them")]

#[path = "shuttle/bound.rs"]
mod bound;
#[path = "shuttle/clocks.rs"]
mod clocks;
#[allow(dead_code, reason = "not every scenario waits")]
#[path = "../../wal-core/tests/shuttle/explore.rs"]
mod explore;
#[path = "shuttle/hot.rs"]
mod hot;
#[path = "shuttle/limits.rs"]
mod limits;
#[path = "shuttle/machine.rs"]
mod machine;
#[path = "shuttle/readers.rs"]
mod readers;
#[path = "shuttle/scans.rs"]
mod scans;
#[path = "shuttle/snapshots.rs"]
mod snapshots;
#[path = "shuttle/storage.rs"]
mod storage;
