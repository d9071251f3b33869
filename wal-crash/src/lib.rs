//! The crash suite: random programs run on a simulated machine that crashes, and a plain vector of records says what must be
//! there afterwards.
//!
//! ```text
//! program.rs     what to do: lives of a log, each a list of calls, what troubles it, and its end
//! random.rs      programs from a seed
//! text.rs        a program as one line, and back
//! oracle.rs      what must be there: the records in order, how far they were acknowledged, where batches end
//! runner.rs      the state of a run; states.rs the control state that it expects, place.rs where the log is
//! run.rs         runs a program on wal-io's `FaultStorage`; calls.rs its calls, check.rs what every open is held against,
//!                control.rs the control state, finish.rs the open after the last life, source.rs its choices
//! damage.rs      damage at rest to what the last life has left, and its repair
//! watch.rs       a reader of another process, over restarts of the writer
//! space.rs       what the log may take on disk
//! outcome.rs     what runs came to, counted
//! exhaustive.rs  every state that every crash of a small program can leave
//! shrink.rs      a failing program made smaller
//! campaign.rs    programs from a seed on, on all cores
//! ```
//!
//! Everything follows from the program: the calls, the moment of each crash, and, by a seed or a list of choices, what the
//! crash leaves of the bytes that were not synced. The log runs without threads and on a clock that stands still, so the
//! same program gives the same run.
//!
//! Deliberately absent: knowledge of the format. The suite sees the log only through its public calls.

#![forbid(unsafe_code)]

mod calls;
mod campaign;
mod check;
mod control;
mod cursors;
mod damage;
mod exhaustive;
mod finish;
mod meddling;
mod oracle;
mod outcome;
mod place;
mod program;
mod random;
mod rng;
mod run;
mod runner;
mod shrink;
mod source;
mod space;
mod states;
mod text;
mod watch;

pub use campaign::{Report, Until, campaign};
pub use exhaustive::{Budget, Coverage, exhaust, family};
pub use oracle::Violation;
pub use outcome::{Outcome, Untrue};
pub use program::{
    Call, Choices, End, Eye, Format, Ill, Life, Meddling, Program, Setup, Trouble, Where,
};
pub use run::{run, trace};
pub use shrink::{Shrunk, shrink};
pub use text::NotAProgram;
