//! `wal stat`: what a log holds, without reading all of it.

use std::path::PathBuf;

use serde::Serialize;
use wal_core::Error;
use wal_core::blocking::Wal;

use crate::facts::{Damage, FormatVersions, Gap, LogFacts, Reserve, beside_writer};
use crate::output::{Exit, Failure, Table, report};

const AFTER_HELP: &str = "\
Takes no lock and reads little: headers, links, and the end of the log. If it finds damage there, it shows it and exits with \
4; `wal verify` checks every byte. If a repair recorded lost records, the exit code is 6. While a writer is running, it names \
its process, and the figures may already be out of date.

Example:
  wal stat mylog --json";

/// Show what the log holds: segments and their format versions, records, LSNs, bytes, how it was left
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Stat {
    segments: usize,
    format_versions: FormatVersions,
    bytes: u64,
    reserve: Option<Reserve>,
    #[serde(flatten)]
    facts: LogFacts,
    /// Losses that a repair has recorded.
    gaps: Vec<Gap>,
    damage: Option<Damage>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let ((wal, damage), writer) = beside_writer(&args.dir, || open(args))?;
    let found = wal.recovery_report();
    let stat = Stat {
        segments: found.segments,
        format_versions: FormatVersions::of(found),
        bytes: found.bytes,
        reserve: Reserve::of(found),
        facts: LogFacts::of(found, writer),
        gaps: Gap::all(found.gaps.iter().copied()),
        damage: damage.as_ref().map(Damage::of),
    };
    report(&stat.table(), args.json.then_some(&stat))?;
    Ok(match damage {
        Some(error) => Exit::of(&error),
        None if stat.gaps.is_empty() => Exit::Clean,
        None => Exit::Gaps,
    })
}

/// Opens the log even if it is damaged, and says what the damage is.
fn open(args: &Args) -> Result<(Wal, Option<Error>), Failure> {
    match Wal::builder(&args.dir).read_only().open() {
        Ok(wal) => Ok((wal, None)),
        Err(error) if Exit::of(&error) == Exit::Corruption => {
            match Wal::builder(&args.dir).read_damaged().open() {
                Ok(wal) => Ok((wal, Some(error))),
                Err(_) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

impl Stat {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("segments", self.segments);
        self.format_versions.row(&mut table);
        table.row("bytes", self.bytes);
        if let Some(reserve) = &self.reserve {
            reserve.row(&mut table);
        }
        self.facts.rows(&mut table, self.damage.is_some());
        Gap::rows(&self.gaps, &mut table);
        if let Some(damage) = &self.damage {
            table.row("damage", &damage.message);
        }
        table
    }
}
