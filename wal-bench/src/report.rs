//! The report: sections of rows, as JSON and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contest::Role;
use crate::figures::{Latency, Ratio, Summary};
use crate::host::Host;
use crate::options::Size;
use crate::probe::Probe;
use crate::table;
use crate::turn::Measure;

/// Version of the report's JSON. A program reads its own only.
pub const SCHEMA: u32 = 1;

/// All that was measured in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the log.
    pub version: String,
    /// Seconds since 1970 when the run began.
    pub begun: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Where it ran.
    pub host: Host,
    /// Turns of each contender.
    pub turns: u32,
    /// How much was run.
    pub size: Size,
    /// One for each workload.
    pub sections: Vec<Section>,
}

/// The rows of a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    /// The workload's name.
    pub workload: String,
    /// What is measured, in a sentence or two.
    pub about: String,
    /// The disk just before.
    pub disk: Probe,
    /// Case by case.
    pub rows: Vec<Row>,
    /// Peers that failed, and how.
    pub left_out: Vec<String>,
}

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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, host, .. } = self;
        writeln!(f, "wal {version}; {host}")?;
        writeln!(
            f,
            "medians of {} turns, in brackets the lowest and the highest; {:.0} s in all",
            self.turns, self.seconds
        )?;
        let peers = self.peers();
        if !peers.is_empty() {
            writeln!(f, "peers: {}", peers.join(", "))?;
        }
        for section in &self.sections {
            writeln!(f, "\n{}: {}", section.workload, section.about)?;
            writeln!(f, "  disk: {}", section.disk)?;
            table::write(f, &section.rows)?;
            for peer in &section.left_out {
                writeln!(f, "  left out: {peer}")?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The peers that took part, with their versions.
    fn peers(&self) -> Vec<String> {
        let rows = self.sections.iter().flat_map(|section| &section.rows);
        let named =
            rows.filter_map(|row| Some(format!("{} {}", row.contender, row.version.as_ref()?)));
        let mut peers = Vec::new();
        for peer in named {
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        peers
    }
}
