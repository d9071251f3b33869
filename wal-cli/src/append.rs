//! `wal append`: each line of standard input becomes one record.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use wal_core::blocking::Wal;
use wal_core::{Error, FormatVersion, FsyncPolicy, Lsn, RecordRef, Tail, WalConfig};

use crate::acks::Acks;
use crate::errors;
use crate::file_size;
use crate::lines::{Line, Lines};
use crate::output::{Exit, Failure, message};
use crate::progress::Progress;
use crate::values::{self, Compression};

/// The most that `wal-core` lets a record have unless told otherwise. With small segments it allows less, and says so.
const MAX_LINE: usize = 64 << 20;

const AFTER_HELP: &str = "\
Ends with a clean close: whatever the policy, all lines are on stable storage when it exits with 0. On an error (a line \
that is too long, a full disk) it names the line; the lines before it are kept and synced.

Example:
  printf 'one\\ntwo\\n' | wal append mylog --fsync always --ack";

/// Append each line of standard input as one record
///
/// A line may contain any bytes; only its newline is removed. The directory is created if it does not exist.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The log's directory
    dir: PathBuf,

    /// When lines become durable: `always` (each line on its own), `batch:TIME` (together, at most TIME later: 250us, 5ms, 1s) or
    /// `os` (when the operating system writes them, and at the end)
    #[arg(long, value_name = "POLICY", default_value = "batch:5ms", value_parser = values::policy)]
    fsync: FsyncPolicy,

    /// Size of a segment file, 1MiB to 4GiB [default: that of the log; of a new log 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    segment_size: Option<u64>,

    /// Longest line, at most 64MiB [default: that of the log; of a new log what fits in a segment]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    record_limit: Option<u64>,

    /// Number of this node, which each segment carries [default: that of the log; of a new log 0]
    #[arg(long, value_name = "N")]
    node_id: Option<u32>,

    /// Version of the on-disk format for new segments, 1 or 2 [default: that of the log; of a new log 2, a draft]. A log of version 2 does not
    /// go back to 1; see `wal upgrade --help`
    #[arg(long, value_name = "N", value_parser = values::format_version)]
    format_version: Option<FormatVersion>,

    /// Compress each line
    #[arg(long, value_name = "KIND", default_value = "none")]
    compression: Compression,

    /// Let segment files grow in steps, instead of reserving their whole size at once
    #[arg(long)]
    no_preallocate: bool,

    /// Print each record's LSN on standard output, one a line, once the record is durable
    #[arg(long)]
    ack: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let wal = open(args)?;
    let begun = Instant::now();
    let mut acks = if args.ack {
        Acks::start(&wal, args.fsync)?
    } else {
        Acks::Off
    };
    let mut input = Input {
        wal: &wal,
        compression: args.compression.into(),
        records: 0,
        bytes: 0,
    };
    let read = input.append_all(&mut acks, &Progress::new(args.ack));
    let (records, bytes) = (input.records, input.bytes);
    let closed = wal.close();
    let acked = acks.finish();
    if closed.is_ok() {
        let seconds = begun.elapsed().as_secs_f64();
        message(format_args!(
            "appended {records} records, {bytes} bytes in {seconds:.3} s"
        ));
    }
    // The first failure is the cause of the others.
    read?;
    closed?;
    acked?;
    Ok(Exit::Clean)
}

fn open(args: &Args) -> Result<Wal, Failure> {
    let default = WalConfig::default();
    let mut builder = Wal::builder(&args.dir).config(WalConfig {
        max_segment_size: args.segment_size.unwrap_or(default.max_segment_size),
        fsync_policy: args.fsync,
        preallocate: !args.no_preallocate,
        node_id: args.node_id.unwrap_or(default.node_id),
    });
    if args.segment_size.is_none() {
        builder = builder.keep_segment_size();
    }
    if args.node_id.is_none() {
        builder = builder.keep_node_id();
    }
    if let Some(limit) = args.record_limit {
        builder = builder.record_limit(limit);
    }
    if let Some(version) = args.format_version {
        builder = builder.format_version(version);
    }
    let wal = builder.open()?;
    let report = wal.recovery_report();
    if let (Some(own), Some(other)) = (args.node_id, report.other_node_ids.first()) {
        message(format_args!(
            "the log was created by node {other}, and this is node {own}"
        ));
    }
    if !report.clean {
        message(format_args!(
            "the log was not closed: recovered {} records, the last one is LSN {}",
            report.records(),
            report.last_lsn
        ));
    }
    if let Tail::Torn {
        segment_id,
        offset,
        bytes,
    } = report.tail
    {
        message(format_args!(
            "left {bytes} bytes of an incomplete write behind, in segment {segment_id} at offset {offset}"
        ));
    }
    Ok(wal)
}

/// What was read and appended so far.
struct Input<'a> {
    wal: &'a Wal,
    compression: wal_core::Compression,
    records: u64,
    bytes: u64,
}

impl Input<'_> {
    fn append_all(&mut self, acks: &mut Acks, progress: &Progress) -> Result<(), Failure> {
        let mut lines = Lines::new(io::stdin().lock(), MAX_LINE);
        let outcome = self.append_lines(&mut lines, acks, progress);
        progress.finish();
        outcome
    }

    fn append_lines(
        &mut self,
        lines: &mut Lines<impl io::Read>,
        acks: &mut Acks,
        progress: &Progress,
    ) -> Result<(), Failure> {
        loop {
            let number = self.records + 1;
            let line = match lines.next_line() {
                Ok(Line::Whole(line)) => line,
                Ok(Line::End) => return Ok(()),
                Ok(Line::TooLong) => return Err(too_long(number, None, MAX_LINE as u64)),
                Err(error) => {
                    let what = format!("line {number}: reading standard input: {error}");
                    return Err(Failure::new(Exit::CouldNot, what));
                }
            };
            let record = RecordRef::data(line).with_compression(self.compression);
            let position = match self.wal.append(record) {
                Ok(position) => position,
                Err(Error::TooLarge { len, limit, .. }) => {
                    return Err(too_long(number, Some(len), limit));
                }
                Err(error) => {
                    let text = match &error {
                        // An empty log has nothing to truncate.
                        Error::NoSpace { location, what }
                            if self.wal.last_lsn() == Lsn::ZERO && !file_size::was_reached() =>
                        {
                            format!(
                                "{location}: no space left for {what}; nothing was changed: free space, or use a smaller --segment-size or --no-preallocate"
                            )
                        }
                        error => errors::describe(error),
                    };
                    return Err(Failure::new(
                        Exit::of(&error),
                        format!("line {number}: {text}"),
                    ));
                }
            };
            self.records = number;
            self.bytes += line.len() as u64;
            progress.at(lines.bytes());
            acks.appended(position.lsn)?;
        }
    }
}

fn too_long(number: u64, len: Option<u64>, limit: u64) -> Failure {
    let len = len.map_or_else(|| "is too long".into(), |len| format!("has {len} bytes"));
    let larger = if limit < MAX_LINE as u64 {
        ", or use a larger --record-limit or --segment-size"
    } else {
        ""
    };
    Failure::new(
        Exit::CouldNot,
        format!(
            "line {number} {len}, a record may have {limit} bytes; the lines before it are kept: split it{larger}"
        ),
    )
}
