//! What `wal stat` and `wal verify` both say of a log, as rows of text and as JSON.

use std::path::Path;

use serde::Serialize;
use wal_core::{Error, FormatVersion, Lsn, RecoveryReport, Tail, Writer};

use crate::errors::{self, lsns};
use crate::output::{Failure, Table};

/// The facts of a log that `stat` and `verify` share.
#[derive(Debug, Serialize)]
pub(crate) struct LogFacts {
    pub(crate) clean_stop: bool,
    /// A process has the log open for writing.
    pub(crate) writer_running: bool,
    pub(crate) writer_pid: Option<u32>,
    pub(crate) records: u64,
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) proven_lsn: u64,
    pub(crate) unproven_records: u64,
    pub(crate) torn_tail: Option<TornTail>,
    /// Node ids of segments that differ from that of the newest.
    pub(crate) other_node_ids: Vec<u32>,
}

/// Most attempts to read a log during which no writer starts or stops.
const LOOKS: u32 = 8;

/// Reads a log together with its writer. Reads again if a writer started or stopped in between.
pub(crate) fn beside_writer<T>(
    dir: &Path,
    mut look: impl FnMut() -> Result<T, Failure>,
) -> Result<(T, Option<Writer>), Failure> {
    let mut before = wal_core::writer(dir)?;
    let mut looks = 0;
    loop {
        let found = look()?;
        let after = wal_core::writer(dir)?;
        looks += 1;
        if before == after || looks == LOOKS {
            return Ok((found, after));
        }
        before = after;
    }
}

/// The incomplete last write of a crash.
#[derive(Debug, Serialize)]
pub(crate) struct TornTail {
    pub(crate) segment_id: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl LogFacts {
    pub(crate) fn of(report: &RecoveryReport, writer: Option<Writer>) -> Self {
        let torn_tail = match report.tail {
            Tail::Torn {
                segment_id,
                offset,
                bytes,
            } => Some(TornTail {
                segment_id: segment_id.get(),
                offset: offset.get(),
                bytes,
            }),
            _ => None,
        };
        Self {
            clean_stop: report.clean,
            writer_running: writer.is_some(),
            writer_pid: writer.and_then(|writer| writer.pid),
            records: report.records(),
            first_lsn: report.first_lsn.get(),
            last_lsn: report.last_lsn.get(),
            proven_lsn: report.proven_lsn.get(),
            unproven_records: report.unproven,
            torn_tail,
            other_node_ids: report.other_node_ids.clone(),
        }
    }

    /// The rows of a text report, below the numbers of segments and bytes. How a damaged log was stopped is unknown.
    pub(crate) fn rows(&self, table: &mut Table, damaged: bool) {
        table.row("records", self.records);
        if self.records > 0 {
            table.row("first LSN", self.first_lsn);
            table.row("last LSN", self.last_lsn);
        }
        table.row("proven LSN", self.proven_lsn);
        if !damaged {
            let stop = match (self.clean_stop, self.writer_running) {
                (true, _) => "clean",
                (false, true) => "none yet: a writer is running",
                (false, false) => {
                    "not clean: the log was not closed after its last append or repair"
                }
            };
            table.row("last stop", stop);
        }
        if self.writer_running {
            let pid = self.writer_pid.map(|pid| format!("process {pid}"));
            table.row(
                "writer",
                pid.unwrap_or_else(|| "a process".into()) + " has the log open",
            );
        }
        for id in &self.other_node_ids {
            table.row(
                "other node",
                format_args!("{id}: it has written to the log too"),
            );
        }
        if let Some(torn) = &self.torn_tail {
            let TornTail {
                segment_id,
                offset,
                bytes,
            } = torn;
            let meaning = if self.writer_running {
                "the writer may not have finished it yet"
            } else {
                "no record known to be durable is lost"
            };
            table.row(
                "torn tail",
                format_args!(
                    "{bytes} bytes of an incomplete write, segment {segment_id}, offset {offset}; {meaning}"
                ),
            );
        }
    }
}

/// How many segments have which version of the on-disk format, oldest version first.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct FormatVersions(Vec<FormatVersionCount>);

#[derive(Debug, Serialize)]
struct FormatVersionCount {
    version: u32,
    segments: usize,
}

impl FormatVersions {
    pub(crate) fn of(report: &RecoveryReport) -> Self {
        let counts = report.format_versions.iter();
        let count = |(version, segments): &(FormatVersion, usize)| FormatVersionCount {
            version: version.get(),
            segments: *segments,
        };
        Self(counts.map(count).collect())
    }

    /// The newest version that a segment has.
    pub(crate) fn newest(&self) -> Option<FormatVersion> {
        self.0
            .last()
            .and_then(|count| FormatVersion::from_u32(count.version))
    }

    pub(crate) fn row(&self, table: &mut Table) {
        let count = |FormatVersionCount { version, segments }: &FormatVersionCount| {
            let plural = if *segments == 1 { "" } else { "s" };
            format!("version {version} in {segments} segment{plural}")
        };
        let counts: Vec<String> = self.0.iter().map(count).collect();
        if !counts.is_empty() {
            table.row("format", counts.join(", "));
        }
    }
}

/// What the log can do on a full disk.
#[derive(Debug, Serialize)]
pub(crate) struct Reserve {
    truncations: u32,
    records: u32,
    consumers: u32,
}

impl Reserve {
    pub(crate) fn of(report: &RecoveryReport) -> Option<Self> {
        report.reserve.map(|counts| Self {
            truncations: counts.truncations,
            records: counts.records,
            consumers: counts.consumers,
        })
    }

    pub(crate) fn row(&self, table: &mut Table) {
        let Self {
            truncations,
            records,
            consumers,
        } = self;
        let counts = format!(
            "{truncations} truncations and {records} small records on a full disk, {consumers} consumers"
        );
        table.row("reserve", counts);
    }
}

/// LSNs that a repair recorded as lost. They are not damage.
#[derive(Debug, Serialize)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Gap {
    pub(crate) fn all(gaps: impl IntoIterator<Item = (Lsn, Lsn)>) -> Vec<Self> {
        let gap = |(from, to): (Lsn, Lsn)| Self {
            from: from.get(),
            to: to.get(),
        };
        gaps.into_iter().map(gap).collect()
    }

    pub(crate) fn rows(gaps: &[Self], table: &mut Table) {
        for Self { from, to } in gaps {
            table.row(
                "lost",
                format_args!("{}, as a repair recorded", lsns(*from, *to)),
            );
        }
    }
}

/// Damage, for JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Damage {
    /// `corruption`, `missing_segment` or `error`.
    pub(crate) kind: &'static str,
    pub(crate) segment_id: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) first_lsn: Option<u64>,
    pub(crate) last_lsn: Option<u64>,
    pub(crate) message: String,
}

impl Damage {
    pub(crate) fn of(error: &Error) -> Self {
        let mut damage = Self {
            kind: "error",
            segment_id: None,
            offset: None,
            first_lsn: None,
            last_lsn: None,
            message: errors::describe(error),
        };
        match error {
            Error::Corruption(corruption) => {
                damage.kind = "corruption";
                damage.segment_id = Some(corruption.segment_id.get());
                damage.offset = Some(corruption.offset.get());
                damage.first_lsn = Some(corruption.first_lsn.get());
                damage.last_lsn = corruption.last_lsn.map(Lsn::get);
            }
            Error::MissingSegment { segment_id, .. } => {
                damage.kind = "missing_segment";
                damage.segment_id = Some(segment_id.get());
            }
            _ => {}
        }
        damage
    }
}
