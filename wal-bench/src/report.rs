//! The report: sections of rows, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use crate::figures::{Latency, Ratio, Summary};
use crate::options::Scale;
use crate::probe::Probe;
use crate::table;

/// All that was measured in one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the log.
    pub version: &'static str,
    /// Seconds since 1970 when the run began.
    pub begun: u64,
    /// Operating system and processor.
    pub system: String,
    /// Threads that run at the same time.
    pub cores: usize,
    /// Turns of each contender.
    pub turns: u32,
    /// How much a turn did.
    pub scale: Scale,
    /// The disk before the first workload.
    pub disk_before: Probe,
    /// The disk behind the last one.
    pub disk_after: Probe,
    /// One for each workload.
    pub sections: Vec<Section>,
}

/// The rows of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// The workload's name.
    pub workload: &'static str,
    /// What is measured, in a sentence or two.
    pub about: String,
    /// Case by case.
    pub rows: Vec<Row>,
}

/// What the main figure of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// More is better.
    RecordsPerSecond,
    /// Less is better.
    Milliseconds,
}

/// One contender in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What the case is.
    pub case: String,
    /// Who it is.
    pub contender: String,
    /// Whether it is one of the hand-written limits.
    pub is_limit: bool,
    /// What the main figure is.
    pub measure: Measure,
    /// The main figure of each turn.
    pub turns: Vec<f64>,
    /// The main figure.
    pub summary: Summary,
    /// Payload, where there is any.
    pub mib_per_second: Option<Summary>,
    /// Of single calls, over all turns.
    pub latency: Option<Latency>,
    /// Microseconds of processor time for one record (or one open), of all threads together.
    pub cpu_micros: Option<Summary>,
    /// Syncs of files.
    pub syncs_per_second: Option<Summary>,
    /// To each limit of the case but itself.
    pub ratios: Vec<Ratio>,
    /// What else there is to say.
    pub note: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "wal {}, {}, {} cores; medians of {} turns, in brackets the lowest and the highest",
            self.version, self.system, self.cores, self.turns
        )?;
        writeln!(f, "disk before: {}", self.disk_before)?;
        writeln!(f, "disk after:  {}", self.disk_after)?;
        for section in &self.sections {
            writeln!(f, "\n{}: {}", section.workload, section.about)?;
            table::write(f, &section.rows)?;
        }
        Ok(())
    }
}
