//! Reading a log on several threads, one segment each: what a store does when it opens.
//!
//! Deliberately absent: one order of all records, which a [`Reader`](crate::blocking::Reader) has; and going on past damage, which is
//! its as well ([`OnDamage`](crate::OnDamage)).

use wal_format::{Lsn, RecordRef};

use crate::position::Start;
use crate::reader::{RawReader, Source};
use crate::sync::{self, AtomicU64, Ordering};
use crate::{Error, Position, Result, Threads};

/// LSNs of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    first: Lsn,
    last: Lsn,
}

/// Calls `each` with the records from `start` to `last` that `source` has. One state for each segment, oldest first.
pub(crate) fn replay<S: Send>(
    source: &Source,
    start: Lsn,
    last: Lsn,
    threads: Threads,
    begin: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, RecordRef<'_>, Position) + Sync,
) -> Result<Vec<S>> {
    source.check_process()?;
    let era = source.era();
    // Where the parts begin, and that the log still has the first record.
    let start = RawReader::from(source.clone(), start.into())?.next();
    let parts = parts(source, start, last);
    // The first part, by LSN, that has failed: what lies behind it need not be read.
    let failed = AtomicU64::new(u64::MAX);
    let read = |at: usize| -> Result<(S, Lsn)> {
        let mut state = begin();
        let outcome = read_part(
            source,
            parts[at],
            |record, position| {
                each(&mut state, record, position);
            },
            || failed.load(Ordering::Relaxed) > at as u64,
        );
        if outcome.is_err() {
            failed.fetch_min(at as u64, Ordering::Relaxed);
        }
        outcome.map(|next| (state, next))
    };
    let outcomes = sync::in_parallel(threads.count(), parts.len(), read);
    // Records of one era only: some parts may have been read before the newest records were dropped.
    let kept = source.kept_since(era).0;
    let (mut states, mut next) = (Vec::with_capacity(parts.len()), start);
    for (part, outcome) in parts.iter().zip(outcomes) {
        // The first error in the order of LSNs is returned.
        let (state, reached) = outcome?;
        // The last part of a log that someone else writes has no end of its own.
        let short = reached <= part.last && part.last < Lsn::MAX;
        if short {
            return Err(removed(source, kept));
        }
        next = next.max(reached);
        states.push(state);
    }
    match kept {
        // Two records of one LSN are not mixed up.
        Some(kept) if kept.next() < next => Err(removed(source, Some(kept))),
        _ => Ok(states),
    }
}

fn removed(source: &Source, kept: Option<Lsn>) -> Error {
    let first = source.first_lsn();
    Error::Truncated { first, kept }
}

/// Each segment's LSNs; those that no segment has belong to the one before them, whose reader says what has become of them.
fn parts(source: &Source, start: Lsn, last: Lsn) -> Vec<Share> {
    let segments = source.chain();
    let firsts = segments.iter().map(|entry| entry.first_lsn);
    let mut begins: Vec<Lsn> = firsts.filter(|first| *first > start).collect();
    begins.push(start);
    begins.sort_unstable();
    begins.dedup();
    let ends = begins[1..].iter().map(|next| next.prev());
    let parts = begins.iter().zip(ends.chain([last]));
    parts
        .map(|(&first, end)| Share {
            first,
            last: end.min(last),
        })
        .filter(|part| part.first <= part.last)
        .collect()
}

/// Reads a part; the LSN behind the last record that was read.
fn read_part(
    source: &Source,
    part: Share,
    each: impl FnMut(RecordRef<'_>, Position),
    go_on: impl Fn() -> bool,
) -> Result<Lsn> {
    let mut reader = RawReader::from(source.clone(), Start::from(part.first))?;
    reader.visit(part.last, go_on, each)?;
    Ok(reader.next())
}
