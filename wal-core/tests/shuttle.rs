//! The log's threads under a model checker: shuttle runs them one at a time, and decides at each lock, atomic, wake-up and
//! step of I/O who goes on. `cargo xtask shuttle` builds and runs this; without `--cfg wal_shuttle` there is nothing here.
//!
//! ```text
//! explore.rs      how many schedules, of which kind, from which seed; how to replay one
//! machine.rs      a log on a simulated machine, its clock, and how its life ends
//! storage.rs      the storage: each operation takes a while, and may not overlap with its like
//! ledger.rs       what was appended, what callers were told, and what must be found afterwards
//! commit.rs       group commit, waits beside appends, full buffers, the timers
//! rotation.rs     segments, truncation, a full disk
//! poison.rs       a failed write or sync, and power loss, in the midst of it all
//! closing.rs      close beside appends, two closers, the last handle
//! reading.rs      readers beside a writer
//! rewinding.rs    truncate_after beside all of them
//! futures.rs      futures dropped while they wait
//! ```
//!
//! Each scenario ends with an open, and compares every record. What a schedule decides by chance (policies, faults, lengths)
//! is drawn from shuttle's own random numbers, so it is replayed as well. Deliberately absent: weak memory orderings, which
//! shuttle does not model, and recovery, which has no threads.

#![cfg(wal_shuttle)]
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the counts are for who asks for them")]

mod shuttle {
    mod closing;
    mod commit;
    mod explore;
    mod futures;
    mod ledger;
    mod machine;
    mod poison;
    mod reading;
    mod rewinding;
    mod rotation;
    mod storage;
}
