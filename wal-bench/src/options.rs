//! What is run, how often, and how much of it: the command line, and the sizes behind it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The workloads of a log, in turns with hand-written limits.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "wal-bench", max_term_width = 100)]
pub struct Options {
    /// Where the files go, in a temporary directory of its own [default: the system's].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Only this workload; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<Workload>,
    /// Turns that each contender has [default: 5, quick: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: Option<u32>,
    /// Write the report as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Tiny sizes: shows that everything runs. The figures mean nothing.
    #[arg(long)]
    pub quick: bool,
}

impl Options {
    /// The workloads asked for, in their order.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload> {
        let wanted = |workload: &Workload| self.only.is_empty() || self.only.contains(workload);
        let all = Workload::value_variants().iter().copied();
        all.filter(wanted).collect()
    }

    /// The turns asked for.
    #[must_use]
    pub fn turns(&self) -> u32 {
        self.turns.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// The sizes asked for.
    #[must_use]
    pub fn scale(&self) -> Scale {
        if self.quick {
            Scale::quick()
        } else {
            Scale::full()
        }
    }
}

/// A workload, by the name that the command line takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One writer, records of three sizes, no sync: ends when the last byte is with the system.
    AppendBuffered,
    /// 1 to 32 writers, each record durable when its append returns.
    AppendDurable,
    /// Batches of 10 to 1000 records, durable as a whole.
    BatchDurable,
    /// Reading a log from its start, from the page cache.
    Replay,
    /// Opening a log that was closed, and ones that were not.
    Open,
}

impl Workload {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AppendBuffered => "append-buffered",
            Self::AppendDurable => "append-durable",
            Self::BatchDurable => "batch-durable",
            Self::Replay => "replay",
            Self::Open => "open",
        }
    }
}

/// How much a turn does. Bytes are of payload.
///
/// A turn of a durable workload ends at the time or at the bytes, whichever is first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scale {
    /// Bytes of one record, and how many of them a turn of append-buffered appends.
    ///
    /// All fit in one default segment: with a third one begun, the log would wait for the sync of the first, and the disk
    /// would be measured.
    pub buffered: Vec<(u64, u64)>,
    /// Bytes of one record in the other workloads.
    pub record: u64,
    /// Numbers of writers.
    pub writers: Vec<usize>,
    /// Records in a batch.
    pub batches: Vec<u64>,
    /// How long a turn of a durable workload lasts.
    pub durable_time: Duration,
    /// Most bytes of it.
    pub durable_bytes: u64,
    /// Length of the file that the limits overwrite.
    pub prewritten: u64,
    /// Bytes that are replayed, and that a closed log has when it is opened.
    pub replayed: u64,
    /// Bytes of a log that was dropped without a close.
    pub dropped: u64,
    /// Writes that the probe of the disk syncs one by one, and bytes that it writes in one go.
    pub probe: (u32, u64),
}

impl Scale {
    /// Under three minutes in all on a disk of 200 MB/s.
    #[must_use]
    pub fn full() -> Self {
        Self {
            buffered: vec![(100, 48 * MIB), (KIB, 96 * MIB), (10 * KIB, 96 * MIB)],
            record: KIB,
            writers: vec![1, 2, 8, 32],
            batches: vec![10, 100, 1000],
            durable_time: Duration::from_millis(400),
            durable_bytes: 96 * MIB,
            prewritten: 64 * MIB,
            replayed: 256 * MIB,
            dropped: 64 * MIB,
            probe: (500, 64 * MIB),
        }
    }

    /// Everything once, in a moment.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            buffered: vec![(100, 64 * KIB), (KIB, 64 * KIB), (10 * KIB, 64 * KIB)],
            durable_time: Duration::from_millis(5),
            durable_bytes: 256 * KIB,
            prewritten: 2 * MIB,
            replayed: 256 * KIB,
            dropped: 64 * KIB,
            probe: (5, 256 * KIB),
            ..Self::full()
        }
    }
}
