//! `wal repair`: makes a damaged log one that opens.

use std::path::PathBuf;

use serde::Serialize;
use wal_core::{LostRecords, RepairMode, RepairReport};

use crate::facts::Damage;
use crate::output::{Exit, Failure, Table, report};

const AFTER_HELP: &str = "\
Everything that can be read behind the damage is copied to new segments of the log's size, with its LSNs: if only the newest \
segment is damaged that is what is left of it, otherwise it may be most of the log. The bytes needed are shown by --dry-run, and \
nothing is begun without them. LSNs without a record become a gap: \
`wal verify` lists it, readers say so in its place, and no later record gets one of them. Damaged files are kept whole under \
quarantine/ in the log's directory. A batch that lost a record keeps the others. Without damage nothing is done.

Exit codes: 0 it was repaired, or there is nothing to repair; with --dry-run 4 if there is damage; 5 another process has the log \
open for writing; 1 it could not be done, and what could be read before still can be.

Example:
  wal repair mylog --dry-run; wal repair mylog && wal verify mylog";

/// Repair a damaged log, and keep every damaged byte
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Repaired {
    /// `nothing`, `planned` or `repaired`.
    done: &'static str,
    damage: Vec<Damage>,
    gaps: Vec<Lost>,
    records_kept: u64,
    records_lost: u64,
    next_lsn: Option<u64>,
    new_segments: Vec<u64>,
    quarantined: Vec<String>,
    removed: Vec<String>,
    bytes_needed: u64,
}

#[derive(Debug, Serialize)]
struct Lost {
    from: u64,
    to: u64,
    segment_id: u64,
    offset: u64,
    what: String,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mode = if args.dry_run {
        RepairMode::DryRun
    } else {
        RepairMode::Apply
    };
    let found = wal_core::repair(&args.dir, mode)?;
    let repaired = Repaired::of(&found);
    report(&repaired.table(), args.json.then_some(&repaired))?;
    if args.dry_run && !found.is_whole() {
        return Ok(Exit::Corruption);
    }
    Ok(Exit::Clean)
}

impl Repaired {
    fn of(report: &RepairReport) -> Self {
        let done = match report.mode {
            _ if report.is_whole() => "nothing",
            RepairMode::DryRun => "planned",
            RepairMode::Apply => "repaired",
        };
        Self {
            done,
            damage: report.damage.iter().map(Damage::of).collect(),
            gaps: report.gaps.iter().map(Lost::of).collect(),
            records_kept: report.records_kept,
            records_lost: report.records_lost(),
            next_lsn: (!report.is_whole()).then(|| report.last_lsn.next().get()),
            new_segments: report.new_segments.iter().map(|id| id.get()).collect(),
            quarantined: report.quarantined.clone(),
            removed: report.removed.clone(),
            bytes_needed: report.bytes_needed,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let done = match self.done {
            "nothing" => "nothing is damaged; nothing to do",
            "planned" => "nothing yet; without --dry-run it would do what follows",
            _ => "repaired",
        };
        table.row("done", done);
        for damage in &self.damage {
            table.row("damage", &damage.message);
        }
        for lost in &self.gaps {
            let Lost {
                from,
                to,
                segment_id,
                offset,
                what,
            } = lost;
            table.row(
                "lost",
                format_args!("LSN {from} to {to}: segment {segment_id}, offset {offset}: {what}"),
            );
        }
        if self.done == "nothing" {
            return table;
        }
        table.row("records lost", self.records_lost);
        if let (Some(first), Some(last)) = (self.new_segments.first(), self.new_segments.last()) {
            let kept = self.records_kept;
            table.row(
                "new segments",
                format_args!("{first} to {last}, with {kept} records from behind the damage"),
            );
        }
        for name in &self.quarantined {
            table.row("quarantine", name);
        }
        for name in &self.removed {
            table.row("removed", name);
        }
        if let Some(next) = self.next_lsn {
            table.row("next LSN", next);
        }
        table.row("bytes needed", self.bytes_needed);
        table
    }
}

impl Lost {
    fn of(lost: &LostRecords) -> Self {
        Self {
            from: lost.from.get(),
            to: lost.to.get(),
            segment_id: lost.segment_id.get(),
            offset: lost.offset.get(),
            what: lost.what.clone(),
        }
    }
}
