//! Histories of many threads, recorded and then judged: is there one order of all calls, each between its begin and its end, in
//! which every answer is right?
//!
//! ```text
//! checker.rs     searches for such an order
//! register.rs    what is right: one key, and several keys together
//! judged.rs      the checker accepts what is legal, and rejects what is not
//! recorder.rs    calls on a store, and when each began and ended
//! program.rs     random calls of one thread
//! keys.rs        single keys under every policy, beside snapshots, and what is there after a reopening
//! together.rs    batches, views and reads of several keys
//! crashes.rs     the power fails in the midst of it
//! refusals.rs    what a refused condition has told
//! ```
//!
//! `WAL_LINEAR_HISTORIES` says how many histories of each kind, `WAL_TEST_SEED` where the random calls start; which thread is
//! when on is the system's choice, so a seed repeats the calls and not the history, which a failure prints. Deliberately absent:
//! what one thread alone can see (`model.rs`), and expiry, which has a clock of its own (`expiry.rs`).

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "the seed and the counts are for who asks for them"
)]

mod common;

mod linear {
    mod checker;
    mod crashes;
    mod judged;
    mod keys;
    mod program;
    mod recorder;
    mod refusals;
    mod register;
    mod together;
}
