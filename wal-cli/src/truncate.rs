//! `wal truncate`: drops the oldest or the newest records.

use std::path::PathBuf;

use serde::Serialize;
use wal_core::blocking::Wal;
use wal_core::{Error, Lsn, offline};

use crate::output::{Exit, Failure, Table, report};

const AFTER_HELP: &str = "\
--before LSN keeps that record and all behind it; --after LSN keeps that record and all before it, and the LSNs above it are \
given again. --after 0 drops everything. Both are durable when the command ends. Files go when none of their records is left.
Where the disk is too full to open the log, --before drops what is proven durable without opening it.

Exit codes: 0 done, or nothing to do; 2 the LSN was never given to a record, or is no longer in the log; 4 corruption; 5 another \
process has the log open for writing.

Example:
  wal truncate mylog --before 1000 --dry-run";

/// Drop the oldest or the newest records
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    #[command(flatten)]
    place: Place,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Drop all records before this one
    #[arg(long, value_name = "LSN")]
    before: Option<u64>,

    /// Drop all records after this one
    #[arg(long, value_name = "LSN")]
    after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Truncated {
    /// `nothing`, `planned` or `truncated`.
    done: &'static str,
    records_dropped: u64,
    first_lsn: u64,
    last_lsn: u64,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let truncated = if args.dry_run {
        let wal = Wal::builder(&args.dir).read_only().open()?;
        Truncated::planned(&wal, args.place)?
    } else {
        // Where there is no log none is made.
        let look = Wal::builder(&args.dir).read_only().open()?;
        let planned = Truncated::planned(&look, args.place)?;
        drop(look);
        let wal = match (Wal::builder(&args.dir).open(), args.place.before) {
            (Err(Error::NoSpace { .. }), Some(lsn)) => {
                let truncated = planned.unopened(args, lsn)?;
                report(&truncated.table(), args.json.then_some(&truncated))?;
                return Ok(Exit::Clean);
            }
            (opened, _) => opened?,
        };
        let mut truncated = Truncated::planned(&wal, args.place)?;
        if truncated.done != "nothing" {
            if let Some(lsn) = args.place.before {
                wal.truncate_before(Lsn::new(lsn))?;
            }
            if let Some(lsn) = args.place.after {
                wal.truncate_after(Lsn::new(lsn))?;
            }
            truncated.done = "truncated";
        }
        wal.close()?;
        truncated
    };
    report(&truncated.table(), args.json.then_some(&truncated))?;
    Ok(Exit::Clean)
}

impl Truncated {
    /// What it comes to, or why it cannot be done.
    fn planned(wal: &Wal, place: Place) -> Result<Self, Failure> {
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        let next = last.saturating_add(1);
        let (new_first, new_last) = match place {
            Place {
                before: Some(lsn), ..
            } => {
                check(
                    lsn <= next,
                    format_args!("--before {lsn}: the next record gets LSN {next}"),
                )?;
                (first.max(lsn), last)
            }
            Place { after, .. } => {
                let lsn = after.unwrap_or(last);
                check(
                    lsn <= last,
                    format_args!("--after {lsn}: the last record is LSN {last}"),
                )?;
                let lowest = first.saturating_sub(1);
                check(
                    lsn == 0 || lsn >= lowest,
                    format_args!("--after {lsn}: the first record is LSN {first}"),
                )?;
                (first, lsn.max(lowest))
            }
        };
        let count = |first: u64, last: u64| last.saturating_add(1).saturating_sub(first);
        let records_dropped = count(first, last) - count(new_first, new_last);
        Ok(Self {
            done: if records_dropped == 0 {
                "nothing"
            } else {
                "planned"
            },
            records_dropped,
            first_lsn: new_first,
            last_lsn: new_last,
        })
    }

    /// The disk is too full to open the log.
    fn unopened(self, args: &Args, lsn: u64) -> Result<Self, Failure> {
        let done = offline::truncate_before(&args.dir, Lsn::new(lsn))?;
        // Only what is proven durable goes, in whole segments.
        let kept = self.first_lsn.saturating_sub(done.first_lsn.get());
        Ok(Self {
            done: if done.removed.is_empty() {
                "nothing"
            } else {
                "truncated"
            },
            records_dropped: self.records_dropped.saturating_sub(kept),
            first_lsn: done.first_lsn.get(),
            last_lsn: self.last_lsn,
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let done = match self.done {
            "nothing" => "nothing to do",
            "planned" => "nothing yet; without --dry-run it would do what follows",
            _ => "truncated",
        };
        table.row("done", done);
        table.row("dropped", format_args!("{} records", self.records_dropped));
        if self.first_lsn <= self.last_lsn {
            table.row("first LSN", self.first_lsn);
            table.row("last LSN", self.last_lsn);
        }
        table.row("next LSN", self.last_lsn + 1);
        table
    }
}

fn check(allowed: bool, message: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    if allowed {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, message.to_string()))
}
