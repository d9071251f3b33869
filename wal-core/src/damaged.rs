//! What can be read of a log that cannot be opened for writing: pieces of it, and the gaps between them.
//!
//! A segment that is missing, or that has no valid header, cuts the chain. What lies above it is found from the newest link
//! as ever; what lies below it is scanned in the same way, as if the gap were the end. Changes no byte.

use wal_format::{Lsn, SegmentId};
use wal_io::Storage;

use crate::recovery::{self, Listing, RecoveryReport, Scan, Tail};
use crate::sync::Arc;
use crate::{Error, Result};

/// LSNs that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    /// The last LSN that can be read below it.
    pub(crate) after: Lsn,
    /// The first LSN that can be read above it, if there is any.
    pub(crate) before: Option<Lsn>,
    /// Why.
    pub(crate) error: Error,
}

impl Gap {
    pub(crate) fn holds(&self, lsn: Lsn) -> bool {
        lsn > self.after && self.before.is_none_or(|before| lsn < before)
    }
}

/// A damaged log.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Oldest first, at least one.
    pub(crate) scans: Vec<Scan>,
    /// Oldest first.
    pub(crate) gaps: Vec<Gap>,
    /// Damaged segments that no piece needs: nothing is missing from what is read, but a writer is refused.
    pub(crate) stray: Vec<Error>,
}

/// A segment without which the log is read, and why.
type Unreadable = (SegmentId, Error);

/// Scans a directory that could not be scanned, or planned for, as a whole.
pub(crate) fn scan_pieces(storage: &Arc<dyn Storage>) -> Result<Pieces> {
    let mut unreadable: Vec<Unreadable> = Vec::new();
    let mut scans = Vec::new();
    let mut gaps = Vec::new();
    // The gap above the piece that is looked for: its upper end, its error, and the segment that it begins with.
    let mut above: Option<(Option<Lsn>, Error, SegmentId)> = None;
    loop {
        let below = above.as_ref().map(|(_, _, id)| *id);
        let mut listing = Listing::read(&**storage)?.unwrap_or_default();
        listing.segments.retain(|id| {
            below.is_none_or(|below| *id < below) && error_of(&unreadable, *id).is_none()
        });
        let scan = match recovery::scan(storage, listing) {
            Ok(scan) => scan,
            Err(Error::Corruption(what)) if error_of(&unreadable, what.segment_id).is_none() => {
                unreadable.push((what.segment_id, Error::Corruption(what)));
                continue;
            }
            Err(error) => return Err(error),
        };
        let end = match above.take() {
            Some((before, error, _)) => Some((before, error)),
            None => end_of_newest(&scan, &unreadable).map(|error| (None, error)),
        };
        gaps.extend(end.map(|(before, error)| Gap {
            after: scan.end(),
            before,
            error,
        }));
        above = scan.missing.as_ref().map(|(id, needed_by)| {
            let error = error_of(&unreadable, *id).unwrap_or_else(|| Error::MissingSegment {
                location: scan.location.clone(),
                segment_id: *id,
                needed_by: needed_by.clone(),
            });
            let before = scan.chain.first().map(|link| link.link.first_lsn);
            (before, error, *id)
        });
        scans.push(scan);
        if above.is_none() {
            break;
        }
    }
    scans.reverse();
    gaps.reverse();
    let stray = unreadable
        .into_iter()
        .filter(|(id, _)| !is_told(&gaps, *id));
    let stray = stray.map(|(_, error)| error).collect();
    Ok(Pieces { scans, gaps, stray })
}

fn error_of(unreadable: &[Unreadable], id: SegmentId) -> Option<Error> {
    let found = unreadable.iter().find(|(segment, _)| *segment == id);
    found.map(|(_, error)| error.clone())
}

fn is_told(gaps: &[Gap], id: SegmentId) -> bool {
    let of = |error: &Error| matches!(error, Error::Corruption(what) if what.segment_id == id);
    gaps.iter().any(|gap| of(&gap.error))
}

/// What is wrong at the end of the log.
fn end_of_newest(scan: &Scan, unreadable: &[Unreadable]) -> Option<Error> {
    let newest = scan
        .chain
        .last()
        .map_or(SegmentId::NONE, |link| link.facts.id());
    let above = unreadable.iter().filter(|(id, _)| *id > newest);
    if let Some((_, error)) = above.min_by_key(|(id, _)| *id) {
        return Some(error.clone());
    }
    // What is missing before it has a gap of its own.
    recovery::check_end(scan).err()
}

impl Pieces {
    /// LSNs of the log for which no piece has a record.
    fn lost(&self) -> u64 {
        let Some(newest) = self.scans.last() else {
            return 0;
        };
        let span = |first: Lsn, last: Lsn| (last.get() + 1).saturating_sub(first.get());
        let there = |scan: &Scan| {
            let first = scan.chain.first().map(|link| link.link.first_lsn);
            let first = first.unwrap_or(Lsn::MAX).max(newest.log_first);
            span(first, scan.end()).saturating_sub(recovery::lost_in(&scan.gaps))
        };
        let there = self.scans.iter().map(there);
        let there = there.fold(0, u64::saturating_add);
        span(newest.log_first, newest.end()).saturating_sub(there)
    }

    /// What can be said of the log.
    pub(crate) fn report(&self) -> RecoveryReport {
        let newest = self.scans.last();
        RecoveryReport {
            clean: false,
            segments: self.scans.iter().map(|scan| scan.chain.len()).sum(),
            format_versions: recovery::format_versions(&self.scans),
            bytes: self
                .scans
                .iter()
                .map(Scan::bytes)
                .fold(0, u64::saturating_add),
            first_lsn: newest.map_or(Lsn::FIRST, |scan| scan.log_first),
            last_lsn: newest.map_or(Lsn::ZERO, Scan::end),
            proven_lsn: newest.map_or(Lsn::ZERO, |scan| scan.proven.watermark),
            lost: self.lost(),
            gaps: self
                .scans
                .iter()
                .flat_map(|scan| scan.gaps.clone())
                .collect(),
            other_node_ids: newest.map_or_else(Vec::new, |scan| scan.other_node_ids(None)),
            unproven: 0,
            tail: Tail::Whole,
            witness: String::new(),
            leftovers: Vec::new(),
            reserve: None,
            repair: None,
        }
    }
}
