#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod common;
pub mod compare;
mod contest;
mod errand;
mod figures;
mod found;
mod host;
pub mod limits;
mod load;
mod memory;
mod options;
mod pairs;
mod payload;
pub mod peer;
mod probe;
mod program;
mod report;
mod row;
mod run;
mod size;
mod table;
mod turn;
mod watch;
mod workload;
mod workloads;

pub use contest::{Contest, Ground, Id, Outcome};
pub use figures::{Latency, Ratio, Role, Summary};
pub use host::Host;
pub use options::Options;
pub use payload::Payloads;
pub use probe::Probe;
pub use program::main_with;
pub use report::{Report, SCHEMA, Section};
pub use row::Row;
pub use run::run_with;
pub use size::Size;
pub use turn::{Measure, Turn};
pub use watch::{Elapsed, Stopwatch};
pub use workload::Workload;
