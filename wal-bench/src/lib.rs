#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod compare;
mod contest;
mod errand;
mod figures;
mod host;
pub mod limits;
mod load;
mod memory;
mod options;
mod payload;
pub mod peer;
mod probe;
mod program;
mod report;
mod table;
mod turn;
mod watch;
mod workloads;

pub use contest::{Contest, Ground, Id, Outcome, Role};
pub use figures::{Latency, Ratio, Summary};
pub use host::Host;
pub use options::{Options, Size};
pub use payload::Payloads;
pub use probe::Probe;
pub use program::main_with;
pub use report::{Report, Row, SCHEMA, Section};
pub use turn::{Measure, Turn};
pub use watch::{Elapsed, Stopwatch};
pub use workloads::{Workload, run_with};
