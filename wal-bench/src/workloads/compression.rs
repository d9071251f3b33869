//! What compressing a record costs, and what it saves.

use std::hint::black_box;
use std::path::Path;

use wal_core::{Compression, RecordRef};

use crate::common::{Policy, begun, check_last, discard, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::payload::Payloads;
use crate::size::{KIB, MIB, Size};
use crate::turn::{Measure, Turn};
use crate::watch::Stopwatch;

/// Bytes of a record.
fn records(size: Size) -> Vec<u64> {
    size.pick(vec![KIB], vec![KIB], vec![KIB, 10 * KIB])
}

/// Bytes that a turn appends.
fn bytes(size: Size) -> u64 {
    size.pick(128 * KIB, 24 * MIB, 64 * MIB)
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    let kinds = [("text", Payloads::text()), ("random", Payloads::default())];
    for record in records(ground.size) {
        let count = bytes(ground.size) / record;
        for (kind, payloads) in &kinds {
            let case = format!("{kind}, {}", size_name(record));
            let turn = |dir: &Path, how| append(dir, payloads, record, count, how);
            let mut contest = Contest::new(Measure::RecordsPerSecond);
            let none = contest.log(&case, "none", |dir| turn(dir, Compression::None));
            for (name, how) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd)] {
                let id = contest.log(&case, name, move |dir| turn(dir, how));
                contest.against(id, none, "none");
            }
            outcome.add(contest.run(ground)?);
        }
    }
    let about = "one blocking writer, Os; ends when the last byte is with the operating system; written: bytes for each byte of payload";
    Ok((about.to_owned(), outcome))
}

fn append(
    dir: &Path,
    payloads: &Payloads,
    record: u64,
    count: u64,
    how: Compression,
) -> anyhow::Result<Turn> {
    let wal = begun(dir, Policy::Os.config())?;
    let before = wal.stats().bytes_written;
    let watch = Stopwatch::start();
    for n in 0..count {
        let payload = black_box(payloads.get(n, record));
        wal.append(RecordRef::data(payload).with_compression(how))?;
    }
    wal.flush()?;
    let elapsed = watch.elapsed();
    check_last(wal.last_lsn(), count + 1)?;
    let written = wal.stats().bytes_written - before;
    discard(wal, dir)?;
    Ok(Turn {
        written: Some(written),
        ..Turn::new(count, count * record, elapsed)
    })
}
