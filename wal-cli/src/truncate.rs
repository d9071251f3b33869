//! `wal truncate`: drops the oldest or the newest records.

use std::path::PathBuf;

use serde::Serialize;
use wal_core::blocking::Wal;
use wal_core::{Error, Lsn, Offline, Truncation, WalConfig};

use crate::output::{Exit, Failure, Table, location, message, report};

/// The space that a truncation needs when segments grow in steps of 1 MiB.
const SPACE: u64 = 1 << 20;

const AFTER_HELP: &str = "\
--before LSN keeps that record and all after it. --after LSN keeps that record and all before it, and later appends get the \
LSNs above it again. --after 0 drops everything. Both are durable when the command ends. A file is removed when none of its \
records is left.

With no free space, --before drops whole segments only. If the disk is too full to open the log, it drops only records that \
are known to be durable.

Exit codes: 0 done, or nothing to do; 1 it could not be done, or a full disk left some of the records; 2 the LSN was never \
given to a record, or is no longer in the log; 4 corruption; 5 another process has the log open for writing.

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
    /// `nothing`, `planned`, `truncated`, or `part` where a full disk left records that were to go.
    done: &'static str,
    records_dropped: u64,
    first_lsn: u64,
    last_lsn: u64,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let truncated = if args.dry_run {
        dry_run(args)?
    } else {
        // Do not create a log where there is none.
        let look = Wal::builder(&args.dir).read_only().open()?;
        let planned = Truncated::planned(&look, args.place)?;
        drop(look);
        // A segment that grows in steps needs the least space.
        let config = WalConfig {
            preallocate: false,
            ..WalConfig::default()
        };
        let builder = Wal::builder(&args.dir).config(config);
        let builder = builder.keep_segment_size().keep_node_id();
        let wal = match (builder.open(), args.place.before) {
            (Err(error @ Error::NoSpace { .. }), Some(lsn)) if planned.done != "nothing" => {
                let done = Offline::at(&args.dir).truncate_before(Lsn::new(lsn))?;
                return planned.without_space(args, lsn, &done, error);
            }
            (opened, _) => opened?,
        };
        let mut truncated = Truncated::planned(&wal, args.place)?;
        if truncated.done != "nothing" {
            if let Some(lsn) = args.place.before
                && let Err(error) = wal.truncate_before(Lsn::new(lsn))
            {
                drop(wal);
                return Err(without_effect(args, lsn, error));
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

/// Predicts a real run from the same facts: the lock, the log, and whether there is space to open it.
fn dry_run(args: &Args) -> Result<Truncated, Failure> {
    let wal = Wal::builder(&args.dir).read_only().open()?;
    let planned = Truncated::planned(&wal, args.place)?;
    if let Some(writer) = wal_core::writer(&args.dir)? {
        return Err(Failure::from(Error::Locked {
            location: location(&args.dir),
            pid: writer.pid,
        }));
    }
    let full = Offline::at(&args.dir)
        .free_space()?
        .is_some_and(|free| free < SPACE);
    if let (Some(lsn), true, "planned") = (args.place.before, full, planned.done)
        && let Some(failure) = too_low(args, lsn)?
    {
        return Err(failure);
    }
    Ok(planned)
}

/// The failure of `--before`. On a full disk the usual hint to truncate would name the command that has just failed.
fn without_effect(args: &Args, lsn: u64, error: Error) -> Failure {
    if !matches!(error, Error::NoSpace { .. }) {
        return error.into();
    }
    match too_low(args, lsn) {
        Ok(Some(failure)) => failure,
        Ok(None) | Err(_) => error.into(),
    }
}

/// Why a full disk lets nothing be dropped before `lsn`, if no segment ends before it.
fn too_low(args: &Args, lsn: u64) -> Result<Option<Failure>, Failure> {
    let planned = Offline::at(&args.dir).plan_truncate_before(Lsn::new(lsn))?;
    let message = format!(
        "{}: no space left to record LSN {lsn} as the first one, and no segment ends before it; nothing was changed, and the log still starts at LSN {}: free space, or name a higher LSN, so that a whole segment can go",
        location(&args.dir),
        planned.first_lsn
    );
    let failure = Failure::new(Exit::CouldNot, message);
    Ok(planned.removed.is_empty().then_some(failure))
}

impl Truncated {
    /// What the truncation would do, or why it cannot be done.
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
        // LSNs that a repair has recorded as lost are no records.
        let gaps = &wal.recovery_report().gaps;
        let span = |first: u64, last: u64| last.saturating_add(1).saturating_sub(first);
        let count = |first: u64, last: u64| {
            let within = |(from, to): &(Lsn, Lsn)| span(from.get().max(first), to.get().min(last));
            span(first, last).saturating_sub(gaps.iter().map(within).sum())
        };
        let records_dropped = count(first, last).saturating_sub(count(new_first, new_last));
        let changes = (new_first, new_last) != (first, last);
        Ok(Self {
            done: if changes { "planned" } else { "nothing" },
            records_dropped,
            first_lsn: new_first,
            last_lsn: new_last,
        })
    }

    /// The disk is too full to open the log, so only whole segments of records that are known to be durable were dropped. That is a
    /// success only if it is all that was asked for.
    fn without_space(
        self,
        args: &Args,
        lsn: u64,
        done: &Truncation,
        full: Error,
    ) -> Result<Exit, Failure> {
        let first_lsn = done.first_lsn.get();
        if done.removed.is_empty() && first_lsn < lsn {
            message(format_args!(
                "nothing was dropped: the log still starts at LSN {first_lsn}"
            ));
            return Err(full.into());
        }
        let kept = self.first_lsn.saturating_sub(first_lsn);
        let truncated = Self {
            done: if kept > 0 { "part" } else { "truncated" },
            records_dropped: self.records_dropped.saturating_sub(kept),
            first_lsn,
            last_lsn: self.last_lsn,
        };
        report(&truncated.table(), args.json.then_some(&truncated))?;
        if kept == 0 {
            return Ok(Exit::Clean);
        }
        message(format_args!(
            "the disk is full, and only records known to be durable could be dropped: the log now starts at LSN {first_lsn}"
        ));
        Err(full.into())
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        let done = match self.done {
            "nothing" => "nothing to do",
            "planned" => "nothing yet; without --dry-run it would do what follows",
            "part" => "truncated in part",
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
