//! Carries a plan out: the only code of recovery that changes files.
//!
//! The unproven tail is copied to a new segment ([`copy`](super::copy)), which is durable before anything of it is shown. Doing all of it
//! again after a crash comes to the same records.

use std::io;

use wal_format::{History, Origin, SegmentHeader, SegmentId};
use wal_io::Storage;

use super::copy::{Copied, Copy, CopyFrom};
use super::plan::{CopyTail, Plan};
use super::reserve::{Reserve, remove_or_reuse};
use super::scan::Scan;
use crate::segment::copied;
use crate::segment::link_body;
use crate::{Error, Result};

/// What was done.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) recovered: Option<Copied>,
    pub(crate) next_segment: SegmentId,
}

impl Applied {
    /// Whether the log lives in its reserve now.
    pub(crate) fn is_in_reserve(&self) -> bool {
        let origin = self.recovered.as_ref().map(|copied| copied.header.origin);
        origin == Some(Origin::Reserve)
    }
}

/// What a new segment is made with.
pub(crate) struct NewSegment<'a> {
    /// Makes its header.
    pub(crate) header: &'a dyn Fn(SegmentId) -> io::Result<SegmentHeader>,
    /// Whether all of it is allocated at once.
    pub(crate) preallocate: bool,
    /// The history of records that are appended to it.
    pub(crate) history: History,
    pub(crate) reserve: Reserve,
}

/// Carries `plan` out.
pub(crate) fn apply(
    storage: &dyn Storage,
    scan: &Scan,
    plan: &Plan,
    new: &NewSegment<'_>,
) -> Result<Applied> {
    let Some(tail) = plan.copy else {
        if plan.sync_names {
            storage.sync_dir().map_err(|error| {
                Error::io(scan.location.clone(), "syncing the directory", error)
            })?;
        }
        clear(storage, plan, new.reserve);
        return Ok(Applied {
            recovered: None,
            next_segment: plan.next_segment,
        });
    };
    // What a crash has left takes space that the copy may need.
    if tail.whole {
        storage
            .sync_dir()
            .map_err(|error| Error::io(scan.location.clone(), "syncing the directory", error))?;
    }
    remove(storage, &unneeded(scan, tail), new.reserve);
    let id = plan.next_segment;
    let mut header = (new.header)(id)
        .map_err(|error| Error::io(scan.location.clone(), "drawing an epoch", error))?;
    header.origin = Origin::Copy;
    let parts = scan.chain.iter().skip(tail.from);
    let parts = parts.map(|link| (link.link.first_lsn, &link.link.body.histories, link.end.lsn));
    let histories = copied(parts, tail.after.lsn, plan.last, new.history);
    let copy = Copy {
        storage,
        location: &scan.location,
        what: "a copy of the records that no sync is known to have covered",
        link: link_body(plan.predecessor, tail.after.lsn, plan.log_first, histories),
        control: &scan.control,
        sources: &sources(scan, tail),
        last: plan.last,
        spares: &spares(scan),
        reserve: new.reserve,
        only_reserve: false,
    };
    let recovered = copy.run(header, new.preallocate, || ())?;
    // What the copy replaces, and what is cut off, goes when the copy is durable.
    clear(storage, plan, new.reserve);
    Ok(Applied {
        recovered: Some(recovered),
        next_segment: id.next(),
    })
}

/// The files that may be written to. If a segment with the same id exists, the file may be that segment: a crash interrupted
/// the rename.
fn spares(scan: &Scan) -> Vec<SegmentId> {
    let segments = &scan.listing.segments;
    let spares = scan.listing.spares.iter().copied();
    spares.filter(|id| !segments.contains(id)).collect()
}

fn sources(scan: &Scan, tail: CopyTail) -> Vec<CopyFrom> {
    let links = scan.chain.iter().enumerate().skip(tail.from);
    // Of one without a record behind that, at most a stamp or a cut is left. It was not looked at, and need not have survived.
    let links = links.filter(|(_, link)| link.end.lsn > tail.after.lsn);
    let sources = links.map(|(at, link)| CopyFrom {
        header: link.facts.header,
        after: (at == tail.from && !tail.whole).then_some(tail.after),
        start: link
            .tail
            .as_ref()
            .map_or(wal_format::HEADER_LEN, |tail| tail.start),
        end: link.end.offset,
        copied_to: link.end.offset,
    });
    sources.collect()
}

/// Removes files that the log does not need. The names that it needs are durable. Best effort: the next open retries.
fn clear(storage: &dyn Storage, plan: &Plan, reserve: Reserve) {
    remove(storage, &plan.remove, reserve);
    give_back(storage, plan);
}

fn give_back(storage: &dyn Storage, plan: &Plan) {
    for surplus in &plan.cut {
        let _ = surplus.give_back(storage);
    }
}

/// Files that can go before there is a copy: unfinished ones, and what an earlier copy has replaced. Its name is durable.
fn unneeded(scan: &Scan, tail: CopyTail) -> Vec<String> {
    let listing = &scan.listing;
    let temporaries = listing.temporaries.iter();
    let mut names: Vec<String> = temporaries
        .map(|id| wal_format::temporary_name(*id))
        .collect();
    if let Some(newest) = scan.chain.last().filter(|_| tail.whole) {
        let on_chain = |id: SegmentId| scan.chain.iter().any(|link| link.facts.id() == id);
        // A truncation that only its groups tell may be lost in the next crash. The link is durable.
        let link = &newest.link.body;
        let truncated = scan.log_first <= link.log_first;
        let is_replaced = |id: SegmentId| truncated || id > link.predecessor;
        let replaced = listing.segments.iter().copied();
        let replaced =
            replaced.filter(|id| *id < newest.facts.id() && !on_chain(*id) && is_replaced(*id));
        names.extend(replaced.map(wal_format::segment_name));
    }
    names
}

/// Best effort: what stays is a leftover for the next open.
fn remove(storage: &dyn Storage, names: &[String], reserve: Reserve) {
    // Leftovers must not accumulate.
    for name in names {
        let _ = remove_or_reuse(storage, name, reserve, || storage.sync_dir());
    }
}
