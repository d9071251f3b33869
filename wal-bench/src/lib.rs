#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod contest;
mod figures;
pub mod limits;
mod load;
mod options;
mod payload;
pub mod peer;
mod probe;
mod program;
mod report;
mod table;
mod watch;
mod workloads;

pub use contest::{Contender, Contest, Ground, Role, Turn};
pub use figures::{Latency, Ratio, Summary};
pub use options::{Options, Scale, Workload};
pub use payload::Payloads;
pub use probe::Probe;
pub use program::main_with;
pub use report::{Measure, Report, Row, Section};
pub use watch::{Elapsed, Stopwatch};
pub use workloads::run_with;
