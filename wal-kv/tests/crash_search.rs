//! Random programs on a simulated machine that loses power, has errors and gets full; a plain map says what must be there
//! afterwards. Three keys are hot, views and scans are open, snapshots are written, refused, and cut short.
//!
//! ```text
//! campaign.rs   programs from a seed on, on all cores, until a given number of crash states was seen
//! program.rs    one program: a machine, and lives of a store on it
//! life.rs       one life: random steps until its end, and what may be there afterwards
//! ```
//!
//! `cargo xtask crash --store` runs it for as long as one likes; `WAL_CRASH_STATES` and `WAL_CRASH_PROGRAMS` say how far,
//! `WAL_TEST_SEED` where to begin. The store runs without threads and on a clock of the program's, so a seed gives the same run.
//! Deliberately absent: every place where a short program can be cut (`crash.rs`, `snapshot_crash.rs`), and the log's own promises,
//! which are wal-crash's.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "the seed and the counts are for who asks for them"
)]

mod common;

mod crash_search {
    mod campaign;
    mod life;
    mod program;
}
