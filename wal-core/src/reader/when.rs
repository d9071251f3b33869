//! Finds the place of a time in the log.
//!
//! No record that was appended at or after the time comes before the place. Times go back where the clock was corrected, so the
//! first group that was closed at or after the time decides, in the order of the log.

use std::io;

use wal_format::{GroupKind, Lsn, PageStart, UnixMillis, Version};

use super::{RawReader, Source, read_error};
use crate::segment::{ChainEntry, Dated, Mark};
use crate::segment::{GroupStep, Hint, SEEK_WINDOW, SegmentCursor, WALK_WINDOW};
use crate::sync::Arc;
use crate::{Error, Result};

/// The LSN from which on the log has all records that were appended at or after `time`.
pub(crate) fn lsn_at(source: &Source, time: UnixMillis) -> Result<Lsn> {
    source.check_process()?;
    loop {
        let era = source.era();
        // First: what is appended meanwhile comes after it.
        let next = source.end()?.next();
        let found = search(source, time)?;
        if source.era() == era
            && let Some(found) = found
        {
            let found = match found {
                Located::At(lsn) => lsn,
                Located::Nowhere => next,
            };
            return Ok(found.max(source.first_lsn()).min(next));
        }
    }
}

enum Located {
    At(Lsn),
    /// All that was appended is older.
    Nowhere,
}

/// Looks through the segments in the order of the log; `None` if one was removed meanwhile.
fn search(source: &Source, time: UnixMillis) -> Result<Option<Located>> {
    let handed_over = source.handed_over();
    let chain = source.chain();
    if time == UnixMillis::new(0) {
        return Ok(Some(Located::At(Lsn::ZERO)));
    }
    // Records of version 1 have no time, and come before all others.
    let dated = chain.iter().filter(|it| it.header.version >= Version::V2);
    for entry in dated {
        match in_segment(source, entry, handed_over, time) {
            Ok(None) => {}
            Ok(Some(lsn)) => return Ok(Some(Located::At(lsn.max(entry.first_lsn)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                gone(source, entry)?;
                return Ok(None);
            }
            Err(error) => return Err(read_error(source, entry.header.segment_id, error)),
        }
    }
    Ok(Some(Located::Nowhere))
}

/// A file of the chain is not there.
fn gone(source: &Source, entry: &ChainEntry) -> Result<()> {
    if let Source::View(view) = source
        && view.reload()?
    {
        return Ok(());
    }
    let segment_id = entry.header.segment_id;
    if source.entry(segment_id).is_none() {
        return Ok(());
    }
    Err(Error::MissingSegment {
        location: source.location(),
        segment_id,
        needed_by: format!("the log has its records from LSN {} on", entry.first_lsn),
    })
}

/// The first LSN of the first group of a segment that was closed at or after `time`.
fn in_segment(
    source: &Source,
    entry: &ChainEntry,
    handed_over: Option<Mark>,
    time: UnixMillis,
) -> io::Result<Option<Lsn>> {
    let (header, files) = (&entry.header, source.files());
    let noted = match source {
        Source::Live(engine) => engine.dated(header.segment_id, time),
        Source::View(_) => None,
    };
    let mut start = None;
    match (noted, entry.end) {
        (Some(Dated::Before), _) => return Ok(None),
        (Some(Dated::In(lsn)), _) => return Ok(Some(lsn)),
        (Some(Dated::From(hint)), _) => start = Some(hint),
        (None, Some(end)) => {
            if files.greatest_time(header, end)? < time {
                return Ok(None);
            }
            let file = files.open(header.segment_id)?;
            let pages = files.pages(header, end, &file)?;
            if let Some(pages) = pages.filter(|pages| !pages.list.is_empty()) {
                let at = pages.list.partition_point(|page| page.reach < time);
                if at == pages.list.len() {
                    return Ok(None);
                }
                let page = pages.read(header, &*file, at)?;
                match page.map(|page| page.start_of(time)) {
                    Some(PageStart::At(place)) if place.offset.get() >= end.1 => return Ok(None),
                    Some(PageStart::At(place)) => {
                        start = Some(Hint {
                            lsn: place.lsn,
                            offset: place.offset,
                        });
                    }
                    Some(PageStart::Near(lsn)) => return Ok(Some(lsn).filter(|lsn| *lsn <= end.0)),
                    None => {}
                }
            }
        }
        (None, None) => {}
    }
    walk(source, entry, handed_over, start, time)
}

/// The same by the headers of its groups, from `start` on, or from its first group.
fn walk(
    source: &Source,
    entry: &ChainEntry,
    handed_over: Option<Mark>,
    start: Option<Hint>,
    time: UnixMillis,
) -> io::Result<Option<Lsn>> {
    let limit = RawReader::end_of_new(entry, handed_over);
    if limit == Some(0) {
        // Nothing of it is with the operating system. The file may have no name yet.
        return Ok(Some(start.map_or(entry.first_lsn, |start| start.lsn)));
    }
    let file = source.files().open(entry.header.segment_id)?;
    let limit = limit.map_or_else(|| file.len(), Ok)?;
    let mut cursor = SegmentCursor::new(Arc::clone(&file), entry.header, limit);
    cursor.set_window(if start.is_some() {
        SEEK_WINDOW
    } else {
        WALK_WINDOW
    });
    if let Some(start) = start {
        cursor.jump(start.lsn, start.offset);
    }
    // What was truncated does not count.
    let first = source.first_lsn();
    loop {
        match cursor.next_group()? {
            GroupStep::Group(group) => {
                let counts = group.kind == GroupKind::Records && group.end_lsn() >= first;
                if counts && group.time >= time {
                    return Ok(Some(group.first_lsn));
                }
                cursor.skip_group();
            }
            GroupStep::End | GroupStep::Invalid(_) => {
                // After the last record, only a stamp or a cut may be missing.
                let ended = match (source, entry.end) {
                    (_, Some((last, _))) => cursor.expected() > last,
                    (Source::View(_), None) => true,
                    (Source::Live(_), None) => false,
                };
                // The groups so far are older. What comes after them may have any time.
                return Ok(Some(cursor.expected()).filter(|_| !ended));
            }
        }
    }
}
