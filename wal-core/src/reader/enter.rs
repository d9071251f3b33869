//! Entering a segment: at its start, near an LSN by the index, or at a place that a position hints at.

use std::cmp::Ordering;
use std::io;

use wal_format::{Lsn, Offset, Record, SegmentId, Version};
use wal_io::StorageFile;

use super::{InSegment, RawReader, Source, Step, read_error};
use crate::segment::{ChainEntry, Mark};
use crate::segment::{SEEK_WINDOW, SegmentCursor, SegmentFacts, record_after, record_at};
use crate::sync::Arc;
use crate::{Error, Position, Result};

impl RawReader {
    /// Goes to the segment that holds `next`; false if there is none yet.
    pub(super) fn enter(&mut self) -> Result<bool> {
        let first = self.source.first_lsn();
        if self.next < first {
            return Err(Error::Truncated { first, kept: None });
        }
        let handed_over = self.source.handed_over();
        let chain = self.source.chain();
        let entry = match self.only {
            Some(only) => chain.iter().find(|entry| entry.header.segment_id == only),
            None => chain
                .iter()
                .rev()
                .find(|entry| entry.first_lsn <= self.next),
        };
        let Some(entry) = entry else {
            return match &self.source {
                Source::View(view) if chain.is_empty() => {
                    view.refresh()?;
                    Ok(!view.chain().is_empty())
                }
                _ => Ok(false),
            };
        };
        let id = entry.header.segment_id;
        let limit = Self::end_of_new(entry, handed_over);
        if limit == Some(0) {
            return Ok(false);
        }
        match self.open_near(entry, limit) {
            Ok(cursor) => {
                self.place = Some(InSegment {
                    id,
                    cursor,
                    end: entry.end,
                    group: (0, Lsn::ZERO),
                });
                Ok(true)
            }
            // A file can also be removed after it was opened, since it may be closed and opened again between two reads.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.gone(id),
            Err(error) => Err(read_error(&self.source, id, error)),
        }
    }

    /// Opens a segment at its start, or near `next` if `next` comes later. Without a `limit` the file's length is the limit.
    fn open_near(&self, entry: &ChainEntry, limit: Option<u64>) -> io::Result<SegmentCursor> {
        let file = self.source.files().open(entry.header.segment_id)?;
        let limit = limit.map_or_else(|| file.len(), Ok)?;
        let mut cursor = SegmentCursor::new(Arc::clone(&file), entry.header, limit);
        if self.next > entry.first_lsn {
            self.seek(&mut cursor, entry, &file)?;
        }
        Ok(cursor)
    }

    /// The limit for a segment that is entered; `None`: the file's length.
    pub(super) fn end_of_new(entry: &ChainEntry, handed_over: Option<Mark>) -> Option<u64> {
        let end = entry.end.map(|(_, end)| end);
        let Some(mark) = handed_over else { return end };
        Some(match entry.header.segment_id.cmp(&mark.segment) {
            Ordering::Less => end.unwrap_or(0),
            Ordering::Equal => end.map_or(mark.offset, |end| end.min(mark.offset)),
            Ordering::Greater => 0,
        })
    }

    /// A file of the chain is not there: superseded or truncated meanwhile, or lost. True if the chain has changed.
    pub(super) fn gone(&self, id: SegmentId) -> Result<bool> {
        if let Source::View(view) = &self.source
            && view.reload()?
        {
            return Ok(true);
        }
        // Another reader of the handle may have noticed the change first.
        if self.source.entry(id).is_none() {
            return Ok(true);
        }
        let first = self.source.first_lsn();
        if self.next < first {
            return Err(Error::Truncated { first, kept: None });
        }
        Err(Error::MissingSegment {
            location: self.source.location(),
            segment_id: id,
            needed_by: format!("it holds LSN {}", self.next),
        })
    }

    /// Jumps near `next` by the index: the footer's, or the writer's own.
    fn seek(
        &self,
        cursor: &mut SegmentCursor,
        entry: &ChainEntry,
        file: &Arc<dyn StorageFile>,
    ) -> io::Result<()> {
        cursor.set_window(SEEK_WINDOW);
        let id = entry.header.segment_id;
        let found = match &self.source {
            Source::Live(engine) => engine.indexed(id, self.next),
            Source::View(_) => None,
        };
        let found = match found {
            Some(found) => Some(found),
            None if entry.end.is_some() => SegmentFacts::indexed(entry.header, file, self.next)?,
            None => None,
        };
        if let Some(index) = found.filter(|index| index.offset.get() < cursor.limit()) {
            cursor.jump(index.lsn, index.offset);
        }
        Ok(())
    }

    /// The first record, where an index says that it is. An index is a hint: without it, the way is longer.
    pub(super) fn at_index(&mut self) -> Result<Option<Step>> {
        let handed_over = self.source.handed_over();
        let chain = self.source.chain();
        let Some(entry) = chain.iter().rfind(|entry| entry.first_lsn <= self.next) else {
            return Ok(None);
        };
        let id = entry.header.segment_id;
        let ended = entry.end.is_some_and(|(last, _)| last < self.next);
        let limit = Self::end_of_new(entry, handed_over);
        let Some(limit) = limit.filter(|_| !ended && entry.header.version >= Version::V2) else {
            return Ok(None);
        };
        match self.record_by_index(entry, limit) {
            Ok(Some((record, offset))) => Ok(Some(self.found(record, id, offset))),
            Ok(None) => Ok(None),
            // Removed meanwhile: who enters the segment finds out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(read_error(&self.source, id, error)),
        }
    }

    fn record_by_index(
        &self,
        entry: &ChainEntry,
        limit: u64,
    ) -> io::Result<Option<(Record, Offset)>> {
        let (id, header, files) = (entry.header.segment_id, &entry.header, self.source.files());
        let own = match &self.source {
            Source::Live(engine) => engine.place_before(id, self.next),
            Source::View(_) => None,
        };
        if limit == 0 {
            return Ok(None);
        }
        let file = files.open(id)?;
        let place = match (own, entry.end) {
            (Some(place), _) => Some(place),
            (None, Some(end)) => match files.pages(header, end, &file)? {
                Some(pages) => pages.place_before(header, &*file, self.next)?,
                None => None,
            },
            (None, None) => None,
        };
        match place {
            Some(place) => record_after(&*file, header, place, self.next, limit),
            None => Ok(None),
        }
    }

    fn found(&mut self, record: Record, segment_id: SegmentId, offset: Offset) -> Step {
        let position = Position {
            lsn: self.next,
            segment_id,
            offset,
        };
        self.next = self.next.next();
        Step::Record(record, position)
    }

    /// The record at the hinted place, if it is the one.
    pub(super) fn at_hint(&mut self, id: SegmentId, offset: Offset) -> Result<Option<Step>> {
        let handed_over = self.source.handed_over();
        let Some(entry) = self.source.entry(id) else {
            return Ok(None);
        };
        let ended = entry.end.is_some_and(|(last, _)| last < self.next);
        if ended || entry.first_lsn > self.next {
            return Ok(None);
        }
        let Some(limit) = Self::end_of_new(&entry, handed_over) else {
            return Ok(None);
        };
        let file = self.source.files().open(id);
        let record =
            file.and_then(|file| record_at(&*file, &entry.header, self.next, offset, limit));
        let record = match record {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read_error(&self.source, id, error)),
        };
        Ok(Some(self.found(record, id, offset)))
    }
}
