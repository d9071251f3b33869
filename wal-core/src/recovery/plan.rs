//! Decides from the facts alone: no I/O here.

use wal_format::{FileName, LinkCause, Lsn, Offset, SegmentId};

use super::recorded::lost_in;
use super::report::{RecoveryReport, Tail, format_versions};
use super::reserve::Counts;
use super::scan::Scan;
use super::surplus::Surplus;
use super::tail::{GroupEnd, Stop};
use crate::error::Corruption;
use crate::segment::Predecessor;
use crate::segment::SegmentFacts;
use crate::{Error, Result};

/// The unproven tail: what is copied to a new segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyTail {
    /// The segment of the chain that the copy starts in.
    pub(crate) from: usize,
    /// The end of the last group that stays where it is.
    pub(crate) after: GroupEnd,
    /// The copy starts at the beginning of the segment: it lives in the reserve.
    pub(crate) whole: bool,
}

/// What to do with a directory.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) log_first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) copy: Option<CopyTail>,
    /// Segments of the chain that stay part of the log when the next one is begun.
    pub(crate) kept: usize,
    /// What the next segment follows; `None` for a new log.
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) next_segment: SegmentId,
    /// Files that go, in this order, once the copy (if there is one) is durable.
    pub(crate) remove: Vec<String>,
    /// Files that are cut after the copy is durable.
    pub(crate) cut: Vec<Surplus>,
    /// Files that are removed once a segment of this session is durable.
    pub(crate) superseded: Vec<String>,
    /// Names that this rests on may not be durable yet: a process may have died before it synced the directory.
    pub(crate) sync_names: bool,
    pub(crate) report: RecoveryReport,
}

/// Decides, or says why the directory cannot be opened.
///
/// # Errors
/// [`Error::Corruption`] and [`Error::MissingSegment`]: see `docs/recovery.md`.
pub(crate) fn plan(scan: &Scan) -> Result<Plan> {
    check_missing(scan)?;
    check_end(scan)?;
    let newest = scan.chain.last();
    let last = scan.end();
    let whole = scan.leaves_reserve();
    let copy = (!scan.settled).then(|| CopyTail {
        from: if whole {
            scan.kept
        } else {
            scan.kept.saturating_sub(1)
        },
        after: scan.anchor,
        whole,
    });
    let closed = newest.is_none()
        || scan
            .footer
            .as_ref()
            .is_some_and(|footer| footer.successor == SegmentId::NONE);
    let clean = closed && scan.above.is_empty();
    let cause = if clean {
        LinkCause::Reopened
    } else {
        LinkCause::Recovered
    };
    let followed = scan.kept.checked_sub(1).map(|at| {
        let link = &scan.chain[at];
        let end = scan.anchor;
        Predecessor {
            id: link.facts.id(),
            epoch: link.facts.header.epoch,
            end_offset: Offset::new(end.offset),
            end_digest: end.digest,
            cause,
            kept: Lsn::ZERO,
        }
    });
    // A segment in the reserve is replaced by its copy.
    let replaced = newest.filter(|_| whole).map(|link| &link.link.body);
    let predecessor = replaced.map(Predecessor::of).or(followed);
    let remove = leftovers(scan, copy);
    let superseded = superseded(scan, copy, &remove);
    let mut cut = scan.surplus.clone();
    // The copy is the successor, and durable with its name.
    cut.extend(scan.last_surplus.filter(|_| copy.is_some()));
    // A copy proves itself from its first moment, also when only the file's bytes are durable. Whoever shows its records must
    // know that its name is.
    let newest_is_copy = newest.is_some_and(|link| link.facts.header.origin.is_whole());
    let removes = |name: &String| matches!(FileName::parse(name), FileName::Segment(_));
    // A temporary name may have been a final one for a moment, as far as the disk knows.
    let sync_names = remove.iter().any(removes)
        // What is shown must not lose its name in the next crash.
        || (newest_is_copy && !clean)
        || !cut.is_empty()
        || !scan.listing.firsts.is_empty()
        || !scan.listing.temporaries.is_empty();
    let proven = scan.proven.watermark.min(last);
    let report = RecoveryReport {
        clean,
        segments: scan.chain.len(),
        format_versions: format_versions([scan]),
        bytes: scan.bytes(),
        first_lsn: scan.log_first,
        last_lsn: last,
        proven_lsn: proven,
        lost: lost_in(&scan.gaps),
        gaps: scan.gaps.clone(),
        other_node_ids: scan.other_node_ids(None),
        unproven: copy.map_or(0, |copy| {
            let from = if copy.whole { proven } else { copy.after.lsn };
            last.get() - from.get()
        }),
        tail: tail(scan),
        witness: witness(scan),
        leftovers: remove.clone(),
        reserve: newest.and_then(|link| Counts::reported(&link.facts.header)),
        repair: None,
    };
    Ok(Plan {
        log_first: scan.log_first,
        last,
        copy,
        kept: scan.kept,
        predecessor,
        next_segment: scan.listing.next_id(),
        remove,
        cut,
        superseded,
        sync_names,
        report,
    })
}

fn missing(scan: &Scan, segment_id: SegmentId, needed_by: String) -> Result<()> {
    Err(Error::MissingSegment {
        location: scan.location.clone(),
        segment_id,
        needed_by,
    })
}

/// A hole in the chain is no end.
fn check_missing(scan: &Scan) -> Result<()> {
    match &scan.missing {
        Some((id, needed_by)) => missing(scan, *id, needed_by.clone()),
        None => Ok(()),
    }
}

/// Whether the end of the log is whole, whatever is missing before it.
///
/// # Errors
/// As [`plan`].
pub(crate) fn check_end(scan: &Scan) -> Result<()> {
    check_successor(scan)?;
    check_proof(scan)?;
    // A file has the length that it was made with.
    check_length(scan)?;
    check_first(scan)
}

fn check_successor(scan: &Scan) -> Result<()> {
    let (Some(footer), Some(newest)) = (&scan.footer, scan.chain.last()) else {
        return Ok(());
    };
    let successor = footer.successor;
    // A footer names the one that followed it.
    if successor != SegmentId::NONE && !scan.listing.segments.contains(&successor) {
        return missing(
            scan,
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
    let newest = scan.chain.last();
    let tail = newest.and_then(|link| link.tail.as_ref());
    // There may be control state without records after it.
    let proof = tail.and_then(|tail| tail.beyond.proof);
    // Damage to what was durable is no torn tail.
    if scan.proven.watermark <= last && proof.is_none() {
        return Ok(());
    }
    let witness = match proof {
        Some(offset) => format!("all before offset {offset} was synced before that was written"),
        None => witness(scan),
    };
    // A whole end before a segment whose link is damaged: the damage is there.
    let links_damaged = scan.above.iter().any(|facts| facts.link.is_err());
    let invalid = newest
        .and_then(|link| link.tail.as_ref())
        .filter(|tail| tail.beyond.left_behind > 0 || !links_damaged)
        .and_then(|tail| match &tail.stop {
            Stop::Invalid(error) => Some(error.to_string()),
            Stop::Footer(_) | Stop::Limit => None,
        });
    let (segment_id, offset, what) = if let (Some(newest), Some(error)) = (newest, invalid) {
        (newest.facts.id(), Offset::new(newest.end.offset), error)
    } else {
        let first_above = scan.above.first();
        let id = first_above.map_or(scan.proven.segment, SegmentFacts::id);
        let what = first_above.and_then(|facts| facts.link.as_ref().err().cloned());
        let what = what.unwrap_or_else(|| "records before it are missing".into());
        (id, Offset::new(wal_format::HEADER_LEN), what)
    };
    Err(Error::Corruption(Box::new(Corruption {
        location: scan.location.clone(),
        segment_id,
        offset,
        first_lsn: last.next(),
        last_lsn: Some(scan.proven.watermark).filter(|proven| *proven > last),
        what,
        witness,
    })))
}

fn check_length(scan: &Scan) -> Result<()> {
    let Some((segment_id, len)) = scan.cut_short else {
        return Ok(());
    };
    Err(Error::Corruption(Box::new(Corruption {
        location: scan.location.clone(),
        segment_id,
        offset: Offset::new(len),
        first_lsn: scan.end().next(),
        last_lsn: None,
        what: format!("the file was cut short to {len} bytes"),
        witness: "its header says how long it was when it got its name, and no footer says that it was cut".into(),
    })))
}

/// A truncation keeps a record that was appended, or the next one.
fn check_first(scan: &Scan) -> Result<()> {
    let next = scan.end().next();
    if scan.log_first <= next {
        return Ok(());
    }
    let newest = scan.chain.last();
    Err(Error::Corruption(Box::new(Corruption {
        location: scan.location.clone(),
        segment_id: newest.map_or(SegmentId::NONE, |link| link.facts.id()),
        offset: Offset::new(newest.map_or(wal_format::HEADER_LEN, |link| link.end.offset)),
        first_lsn: next,
        last_lsn: None,
        what: format!(
            "the log's first LSN is {}, above the next one",
            scan.log_first
        ),
        witness: "a truncation is written behind the records before it".into(),
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

/// Segments above the chain's end hold nothing of the log, and the next new segment supersedes them. Until then the newest file
/// must stay, and so must every file that another one names. The others would accumulate with each power loss before the first
/// sync.
fn unneeded_above(scan: &Scan) -> Vec<SegmentId> {
    let links = scan
        .above
        .iter()
        .filter_map(|facts| facts.link.as_ref().ok());
    let named: Vec<SegmentId> = links.map(|link| link.body.predecessor).collect();
    let successor = scan.footer.as_ref().map(|footer| footer.successor);
    let above = scan.above.iter().map(SegmentFacts::id);
    let unneeded = above.filter(|id| {
        let newest = scan.listing.segments.last() == Some(id);
        let needed = newest || named.contains(id) || successor == Some(*id);
        !needed
    });
    unneeded.collect()
}

/// Segments that the first one of this session replaces, newest first.
fn superseded(scan: &Scan, copy: Option<CopyTail>, remove: &[String]) -> Vec<String> {
    if copy.is_some() {
        // They are removed with the copy.
        return Vec::new();
    }
    let kept = &scan.chain[..scan.kept];
    let replaced = |id: &&SegmentId| kept.iter().all(|link| link.facts.id() != **id);
    let names = scan.listing.segments.iter().rev().filter(replaced);
    names
        .map(|id| wal_format::segment_name(*id))
        .filter(|name| !remove.contains(name))
        .collect()
}

/// What is no longer part of the log, in the order in which it may go.
fn leftovers(scan: &Scan, copy: Option<CopyTail>) -> Vec<String> {
    let listing = &scan.listing;
    let gone = |id: &&SegmentId| {
        !scan.chain[..scan.kept]
            .iter()
            .any(|link| link.facts.id() == **id)
    };
    let on_chain = |id: SegmentId| scan.chain.iter().any(|link| link.facts.id() == id);
    let newest = scan
        .chain
        .last()
        .map_or(SegmentId::NONE, |link| link.facts.id());
    let segments: Vec<SegmentId> = if copy.is_some() {
        // Newest first: what is left after a crash is a chain without a hole.
        listing
            .segments
            .iter()
            .rev()
            .filter(gone)
            .copied()
            .collect()
    } else {
        let off_chain = |id: &&SegmentId| !on_chain(**id) && **id < newest;
        let off_chain = listing.segments.iter().filter(off_chain).copied();
        off_chain.chain(unneeded_above(scan)).collect()
    };
    let segments = segments.into_iter().map(wal_format::segment_name);
    let temporaries = listing
        .temporaries
        .iter()
        .map(|id| wal_format::temporary_name(*id));
    let spares = listing.spares.iter().map(|id| wal_format::spare_name(*id));
    // A name is needed until a segment says the same and survives.
    let said = if copy.is_some() {
        scan.log_first
    } else {
        scan.recorded_first()
    };
    let firsts = listing.firsts.iter().filter(|first| **first <= said);
    let firsts = firsts.map(|first| wal_format::first_name(*first));
    temporaries
        .chain(spares)
        .chain(segments)
        .chain(firsts)
        .collect()
}
