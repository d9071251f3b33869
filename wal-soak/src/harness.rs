//! The part that knows no store and no log: rounds of processes that are started, watched from outside, killed, and started again,
//! and a table of bounds.
//!
//! ```text
//! numbers.rs  everything random comes from a seed
//! system.rs   what the system says of a process and of a directory
//! report.rs   what a process under test tells
//! child.rs    a process under test
//! disk.rs     a small disk
//! table.rs    promise, bound, worst, where
//! run.rs      the rounds, and what is measured from outside
//! ```
//!
//! A soak of something else implements [`Subject`]. Deliberately absent: what a process under test does, and what it must keep.

mod child;
mod disk;
mod numbers;
mod report;
mod run;
pub mod system;
mod table;

pub use child::Process;
pub use disk::SmallDisk;
pub use numbers::{Numbers, mix};
pub use report::{Event, Gauges, Measured};
pub use run::{End, Length, Life, Limits, Outcome, Place, Round, Subject, run};
pub use table::{Row, Table, Unit};
