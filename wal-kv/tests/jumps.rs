//! Keys that expire, and clocks that are set: a key lives as long as it was put for, whatever the wall clock does meanwhile.
//!
//! ```text
//! machine.rs     a machine with clocks, and a store on it
//! cases.rs       a suspend, a machine that boots in 1970, a moment in the year 2036, a step back, a jump that stays
//! model.rs       what a store shows, by a model that knows how much time has really passed
//! programs.rs    random writes, jumps, snapshots, reopenings and crashes against the model
//! crashes.rs     the power fails at every change around corrections
//! meanwhile.rs   a correction while a snapshot is being written
//! ```

#![forbid(unsafe_code)]
#![allow(
    clippy::unchecked_time_subtraction,
    reason = "a test whose times are wrong may panic"
)]

mod common;

mod jumps {
    mod cases;
    mod crashes;
    mod machine;
    mod meanwhile;
    mod model;
    mod programs;
}
