//! Decides from the facts alone: no I/O here.

use wal_format::{LinkCause, Lsn, Offset, SegmentId};

use super::report::{RecoveryReport, Tail};
use super::scan::Scan;
use super::tail::{GroupEnd, Stop};
use crate::error::Corruption;
use crate::log::Predecessor;
use crate::{Error, Result};

/// The unproven tail: what is copied to a new segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyTail {
    /// The segment of the chain that the copy starts in.
    pub(crate) from: usize,
    /// The end of the last group that stays where it is.
    pub(crate) after: GroupEnd,
}

/// What to do with a directory.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) log_first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) copy: Option<CopyTail>,
    /// What the next segment follows; `None` for a new log.
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) next_segment: SegmentId,
    /// Files that may go now, in this order.
    pub(crate) remove: Vec<String>,
    /// Files that may go once the copy is durable, in this order.
    pub(crate) remove_after_copy: Vec<String>,
    pub(crate) report: RecoveryReport,
}

/// Decides, or says why the directory cannot be opened.
///
/// # Errors
/// [`Error::Corruption`] and [`Error::MissingSegment`]: see `docs/recovery.md`.
pub(crate) fn plan(scan: &Scan) -> Result<Plan> {
    check_missing(scan)?;
    check_proof(scan)?;
    let newest = scan.chain.last();
    let last = scan.end();
    let copy = scan.resume.map(|(from, after)| CopyTail { from, after });
    let clean = match newest {
        None => scan.above.is_empty(),
        Some(_) => {
            let closed = scan
                .footer
                .as_ref()
                .is_some_and(|footer| footer.successor == SegmentId::NONE);
            closed && scan.above.is_empty()
        }
    };
    let predecessor = match (copy, newest) {
        (_, None) => None,
        (Some(copy), _) => {
            let link = &scan.chain[copy.from];
            Some(Predecessor {
                id: link.facts.id(),
                epoch: link.facts.header.epoch,
                end_offset: Offset::new(copy.after.offset),
                end_digest: copy.after.digest,
                cause: LinkCause::Recovered,
            })
        }
        (None, Some(newest)) => Some(Predecessor {
            id: newest.facts.id(),
            epoch: newest.facts.header.epoch,
            end_offset: Offset::new(newest.end.offset),
            end_digest: newest.end.digest,
            cause: if clean {
                LinkCause::Reopened
            } else {
                LinkCause::Recovered
            },
        }),
    };
    let (remove, remove_after_copy) = leftovers(scan, copy);
    let proven = scan.proven.watermark.min(last);
    let report = RecoveryReport {
        clean,
        segments: scan.chain.len(),
        first_lsn: scan.log_first,
        last_lsn: last,
        proven_lsn: proven,
        unproven: copy.map_or(0, |copy| last.get() - copy.after.lsn.get()),
        tail: tail(scan),
        witness: witness(scan),
        leftovers: remove.iter().chain(&remove_after_copy).cloned().collect(),
    };
    Ok(Plan {
        log_first: scan.log_first,
        last,
        copy,
        predecessor,
        next_segment: scan.listing.next_id(),
        remove,
        remove_after_copy,
        report,
    })
}

fn check_missing(scan: &Scan) -> Result<()> {
    let missing = |segment_id, needed_by| {
        Err(Error::MissingSegment {
            location: scan.location.clone(),
            segment_id,
            needed_by,
        })
    };
    if let Some((id, needed_by)) = &scan.missing {
        return missing(*id, needed_by.clone());
    }
    let (Some(footer), Some(newest)) = (&scan.footer, scan.chain.last()) else {
        return Ok(());
    };
    let successor = footer.successor;
    if successor != SegmentId::NONE && !scan.listing.segments.contains(&successor) {
        return missing(
            successor,
            format!(
                "the footer of segment {} names it as the next one",
                newest.facts.id()
            ),
        );
    }
    Ok(())
}

/// At the first place that is not valid, and at the end: was there more that is proven to have been durable?
fn check_proof(scan: &Scan) -> Result<()> {
    let last = scan.end();
    if scan.proven.watermark <= last {
        return Ok(());
    }
    let witness = witness(scan);
    let newest = scan.chain.last();
    let invalid = newest
        .and_then(|link| link.tail.as_ref())
        .and_then(|tail| match &tail.stop {
            Stop::Invalid(error) => Some(error.to_string()),
            Stop::Footer(_) | Stop::Limit => None,
        });
    let (segment_id, offset, what) = match (newest, invalid) {
        (Some(newest), Some(error)) => (newest.facts.id(), Offset::new(newest.end.offset), error),
        _ => {
            let first_above = scan.above.first();
            let id = first_above.map_or(scan.proven.segment, |facts| facts.id());
            let what = first_above.and_then(|facts| facts.link.as_ref().err().cloned());
            let what = what.unwrap_or_else(|| "records before it are missing".into());
            (id, Offset::new(wal_format::HEADER_LEN), what)
        }
    };
    Err(Error::Corruption(Box::new(Corruption {
        location: scan.location.clone(),
        segment_id,
        offset,
        first_lsn: last.next(),
        last_lsn: Some(scan.proven.watermark),
        what,
        witness,
    })))
}

fn witness(scan: &Scan) -> String {
    let proven = &scan.proven;
    if proven.watermark == Lsn::ZERO {
        return "nothing is proven durable".into();
    }
    format!(
        "LSN {} was durable before segment {}, offset {} was written",
        proven.watermark, proven.segment, proven.offset
    )
}

fn tail(scan: &Scan) -> Tail {
    let newest = scan.chain.last();
    let torn = newest.and_then(|link| {
        let tail = link.tail.as_ref()?;
        let bytes = match tail.stop {
            Stop::Invalid(_) => tail.beyond.left_behind,
            Stop::Footer(_) | Stop::Limit => 0,
        };
        (bytes > 0).then(|| Tail::Torn {
            segment_id: link.facts.id(),
            offset: Offset::new(link.end.offset),
            bytes,
        })
    });
    torn.unwrap_or(Tail::Whole)
}

/// What is no longer part of the log.
fn leftovers(scan: &Scan, copy: Option<CopyTail>) -> (Vec<String>, Vec<String>) {
    let listing = &scan.listing;
    let on_chain = |id: &SegmentId| scan.chain.iter().any(|link| link.facts.id() == *id);
    let newest = scan.chain.last().map(|link| link.facts.id());
    let mut now: Vec<String> = listing
        .temporaries
        .iter()
        .map(|id| wal_format::temporary_name(*id))
        .collect();
    let mut after = Vec::new();
    // Retired and superseded segments below the newest; oldest first, as a truncation removes them.
    let off_chain = listing.segments.iter().filter(|id| !on_chain(id));
    for id in off_chain {
        match newest {
            Some(newest) if *id < newest => now.push(wal_format::segment_name(*id)),
            _ => after.push(wal_format::segment_name(*id)),
        }
    }
    if let Some(copy) = copy {
        // The copy takes over from these; the segment that it starts in keeps what is proven.
        after.extend(
            scan.chain[copy.from + 1..]
                .iter()
                .map(|link| wal_format::segment_name(link.facts.id())),
        );
        after.sort_unstable();
        after.reverse();
    } else {
        // Segments above the chain's end are superseded by the next one that is made; until then they stay.
        after.clear();
    }
    after.extend(listing.spares.iter().map(|id| wal_format::spare_name(*id)));
    (now, after)
}
