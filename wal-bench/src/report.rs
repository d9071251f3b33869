//! The report: sections of rows, as JSON and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::row::Row;

use crate::host::Host;
use crate::probe::Probe;
use crate::size::Size;
use crate::table;

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
