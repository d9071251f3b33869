//! Hundreds of sessions of one log and of one store, ended by close, by drop, or by a kill: nothing is lost, and nothing piles up,
//! neither descriptors, threads and memory in a process nor files and bytes in the directory.
//!
//! `WAL_TEST_SESSIONS=3000` sets how many sessions, `WAL_TEST_SEED` what happens in them and when they are killed; a failure
//! prints the seed. `cargo xtask sessions --count 3000` does the same.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod sessions {
    mod bounds;
    mod life;
    mod processes;
    mod subject;
}
