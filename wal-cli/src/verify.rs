//! `wal verify`: every byte of a log, checked.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Serialize;
use wal_core::{Offline, SegmentReport, Threads, VerifyOptions, VerifyReport, Writer};

use crate::facts::{Damage, Gap, LogFacts, beside_writer};
use crate::output::{Exit, Failure, Table, report};

const AFTER_HELP: &str = "\
Takes no lock and changes nothing. While a writer is running, its latest write may look like a torn tail.

Exit codes: 0 clean, also after an unclean stop whose data is whole; 1 the log could not be read; 3 a torn tail and nothing \
else, as a crash may leave it; 4 corruption or a missing segment; 6 a repair recorded lost records, and the rest is sound.

Example:
  wal verify mylog && echo fine";

/// Read and check every byte of the log
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// Number of threads that read segments in parallel [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Verified {
    /// `clean`, `torn_tail`, `gaps` or `corruption`.
    verdict: &'static str,
    bytes: u64,
    #[serde(flatten)]
    facts: Option<LogFacts>,
    segments: Vec<Segment>,
    damage: Vec<Damage>,
    /// Losses that a repair recorded. They are not damage.
    gaps: Vec<Gap>,
}

#[derive(Debug, Serialize)]
struct Segment {
    #[serde(rename = "segment_id")]
    id: u64,
    first_lsn: u64,
    last_lsn: u64,
    records: u64,
    bytes: u64,
    sealed: bool,
    damaged: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let threads = args.threads.map_or(Threads::PerCore, Threads::Exactly);
    let options = VerifyOptions::default().threads(threads);
    let verify = || match Offline::at(&args.dir).verify(options) {
        Err(error) if Exit::of(&error) != Exit::Corruption => Err(error.into()),
        verified => Ok(verified),
    };
    let (found, writer) = beside_writer(&args.dir, verify)?;
    let (exit, verified) = match found {
        Ok(found) => {
            let exit = judge(&found);
            (exit, Verified::of(exit, &found, writer))
        }
        // Damage that leaves no segment to read is a result of the check, not a failure of it.
        Err(error) => (Exit::Corruption, Verified::only(Damage::of(&error))),
    };
    report(&verified.table(), args.json.then_some(&verified))?;
    Ok(exit)
}

fn judge(found: &VerifyReport) -> Exit {
    if found.damage().next().is_some() {
        Exit::Corruption
    } else if found.gaps().next().is_some() {
        Exit::Gaps
    } else if found.recovery.left_behind_bytes() > 0 {
        Exit::TornTail
    } else {
        Exit::Clean
    }
}

fn verdict(exit: Exit) -> &'static str {
    match exit {
        Exit::Corruption => "corruption",
        Exit::TornTail => "torn_tail",
        Exit::Gaps => "gaps",
        _ => "clean",
    }
}

impl Verified {
    fn of(exit: Exit, found: &VerifyReport, writer: Option<Writer>) -> Self {
        Self {
            verdict: verdict(exit),
            bytes: found.bytes(),
            facts: Some(LogFacts {
                // Counted one by one.
                records: found.records(),
                ..LogFacts::of(&found.recovery, writer)
            }),
            segments: found.segments.iter().map(Segment::of).collect(),
            damage: found.damage().map(Damage::of).collect(),
            gaps: Gap::all(found.gaps()),
        }
    }

    fn only(damage: Damage) -> Self {
        Self {
            verdict: verdict(Exit::Corruption),
            bytes: 0,
            facts: None,
            segments: Vec::new(),
            damage: vec![damage],
            gaps: Vec::new(),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("verdict", self.verdict.replace('_', " "));
        if let Some(facts) = &self.facts {
            table.row("segments", self.segments.len());
            table.row("bytes", self.bytes);
            facts.rows(&mut table, !self.damage.is_empty());
        }
        Gap::rows(&self.gaps, &mut table);
        for damage in &self.damage {
            table.row("damage", &damage.message);
        }
        table
    }
}

impl Segment {
    fn of(report: &SegmentReport) -> Self {
        Self {
            id: report.segment_id.get(),
            first_lsn: report.first_lsn.get(),
            last_lsn: report.last_lsn.get(),
            records: report.records,
            bytes: report.bytes,
            sealed: report.sealed,
            damaged: report.damage.is_some(),
        }
    }
}
