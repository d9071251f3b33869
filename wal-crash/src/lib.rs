//! The crash suite: random programs run on a simulated machine that crashes, and a plain vector of records says what must be
//! there afterwards.
//!
//! ```text
//! program.rs  what to do: lives of a log, each a list of calls and an end (crash, kill, drop, close)
//! oracle.rs   what must be there: the records in order, how far they were acknowledged, where batches end
//! run.rs      runs a program on wal-io's `FaultStorage` and asks the oracle after every open
//! ```
//!
//! Everything follows from one seed: the calls, the moment of each crash, and what the crash leaves of the bytes that were
//! not synced. The log runs without threads and on a clock that stands still, so the same seed gives the same run.
//!
//! Deliberately absent: knowledge of the format. The suite sees the log only through its public calls.

#![forbid(unsafe_code)]

mod oracle;
mod program;
mod rng;
mod run;

pub use oracle::{Oracle, Violation};
pub use program::{Call, End, Life, Program, Setup};
pub use rng::Rng;
pub use run::{Outcome, run};
