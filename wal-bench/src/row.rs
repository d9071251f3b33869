//! A row of a report.

use serde::{Deserialize, Serialize};

use crate::figures::{Latency, Ratio, Role, Summary};
use crate::turn::Measure;

/// One contender in one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What the case is.
    pub case: String,
    /// Who it is.
    pub contender: String,
    /// Of a peer.
    pub version: Option<String>,
    /// Whether it is a limit, the log or a peer.
    pub role: Role,
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
    /// Bytes written for each byte of payload.
    pub bytes_per_byte: Option<Summary>,
    /// Most memory beyond what the process began with.
    pub peak_mib: Option<Summary>,
    /// To each limit of the case, to other ways of the log, to each peer of the case.
    pub ratios: Vec<Ratio>,
    /// What else there is to say.
    pub note: Option<String>,
}
