//! `wal repair`: makes a damaged log one that opens.

use std::path::PathBuf;

use serde::Serialize;
use wal_core::{
    Error, FormatVersion, LostRecords, Offline, RepairMode, RepairOptions, RepairReport,
};

use crate::errors::lsns;
use crate::facts::Damage;
use crate::output::{Exit, Failure, Table, report};

const AFTER_HELP: &str = "\
Keeps every record that can be read, with its LSN. LSNs without a record become a recorded gap: `wal verify` lists it, readers \
report it, and no later record gets one of these LSNs. Damaged files are kept whole in the directory quarantine/ of the log. A \
batch that lost a record keeps the others. An undamaged log is not changed. --dry-run shows the bytes that the repair needs, and \
it does not start without them.

In a log of version 2 of the format, each damaged segment is written anew in its place, and no other is touched: it needs at most \
twice the space of the damaged segments. In a log of version 1, every record from the first damaged segment on is copied to new \
segments, which may be most of the log, unless only the newest is damaged. --upgrade repairs it as version 2; programs that know \
only version 1 refuse it from then on.

Exit codes: 0 repaired, or nothing to repair; 1 it could not be done, and everything that could be read before still can be; \
4 with --dry-run, the log is damaged; 5 another process has the log open for writing.

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

    /// Repair a log of version 1 in place too, which makes it a log of version 2: there is no way back
    #[arg(long)]
    upgrade: bool,

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
    /// The end of the log is damaged, and nothing tells its last LSN.
    end_unknown: bool,
    next_lsn: Option<u64>,
    replaced: Vec<u64>,
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
    let mut options = RepairOptions::new(mode);
    if args.upgrade {
        options = options.format_version(FormatVersion::V2);
    }
    let found = Offline::at(&args.dir).repair(options)?;
    let repaired = Repaired::of(&found);
    report(&repaired.table(), args.json.then_some(&repaired))?;
    if args.dry_run && !found.is_whole() {
        return Ok(Exit::Corruption);
    }
    Ok(Exit::Clean)
}

/// Whether nothing tells up to which LSN the damage reaches.
fn is_open_ended(damage: &Error) -> bool {
    matches!(damage, Error::Corruption(corruption) if corruption.last_lsn.is_none())
}

impl Repaired {
    fn of(report: &RepairReport) -> Self {
        let done = match report.mode {
            _ if report.is_whole() => "nothing",
            RepairMode::DryRun => "planned",
            _ => "repaired",
        };
        Self {
            done,
            damage: report.damage.iter().map(Damage::of).collect(),
            gaps: report.gaps.iter().map(Lost::of).collect(),
            records_kept: report.records_kept,
            records_lost: report.records_lost(),
            end_unknown: report.damage.iter().any(is_open_ended),
            next_lsn: (!report.is_whole()).then(|| report.last_lsn.next().get()),
            replaced: report.replaced.iter().map(|id| id.get()).collect(),
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
            let place = match segment_id {
                0 => String::new(),
                id => format!("segment {id}, offset {offset}: "),
            };
            table.row("lost", format_args!("{}: {place}{what}", lsns(*from, *to)));
        }
        if self.done == "nothing" {
            return table;
        }
        table.row("records lost", self.records_lost);
        if self.end_unknown {
            let end =
                "unknown: the damaged end may have held more records than anything else tells of";
            table.row("log's end", end);
        }
        table.row("records copied", self.records_kept);
        for id in &self.replaced {
            table.row("written anew", format_args!("segment {id}"));
        }
        if let (Some(first), Some(last)) = (self.new_segments.first(), self.new_segments.last()) {
            let ids = match first {
                only if only == last => only.to_string(),
                first => format!("{first} to {last}"),
            };
            table.row("new segments", ids);
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
