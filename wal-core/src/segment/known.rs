//! What the readers of a handle have learnt from footers: the greatest time of each segment, and the pages of the index of a few.
//!
//! Only of segments whose data has ended. If it ends elsewhere later, that is another end, and is learnt anew.

use std::collections::BTreeMap;
use std::io;

use wal_format::{
    Epoch, Footer, Lsn, Offset, Page, PageFacts, SegmentHeader, SegmentId, UnixMillis,
};
use wal_io::StorageFile;

use super::facts::page_at;
use super::{Files, GroupStep, SegmentCursor, SegmentFacts, WALK_WINDOW};
use crate::sabotage;
use crate::sync::{Arc, Mutex};

/// Segments whose pages are remembered.
const MOST_LISTS: usize = 16;

/// Where a segment's data ends: the last LSN, and the offset.
pub(crate) type End = (Lsn, u64);

/// Where the pages of a segment's index are.
#[derive(Debug)]
pub(crate) struct Pages {
    index_offset: Offset,
    pub(crate) list: Vec<PageFacts>,
}

impl Pages {
    fn of(footer: &Footer) -> Option<Arc<Self>> {
        let more = footer.more.as_ref().filter(|more| !more.pages.is_empty())?;
        Some(Arc::new(Self {
            index_offset: more.index_offset,
            list: more.pages.clone(),
        }))
    }

    /// Reads a page; `None` if it does not verify. An index is a hint: without it, the way is longer.
    pub(crate) fn read(
        &self,
        header: &SegmentHeader,
        file: &dyn StorageFile,
        at: usize,
    ) -> io::Result<Option<Page>> {
        page_at(header, file, self.index_offset, at)
    }
}

/// By their segments.
#[derive(Debug, Default)]
pub(super) struct Known {
    segments: Mutex<BTreeMap<SegmentId, Learnt>>,
}

#[derive(Debug)]
struct Learnt {
    epoch: Epoch,
    end: End,
    /// At or above the time of each group of records.
    greatest: Option<UnixMillis>,
    pages: Option<Arc<Pages>>,
    /// Grows with each use of a list.
    used: u64,
}

impl Known {
    pub(super) fn retain(&self, stays: impl Fn(SegmentId) -> bool) {
        self.segments.lock().retain(|id, _| stays(*id));
    }

    fn get<T>(
        &self,
        header: &SegmentHeader,
        end: End,
        get: impl FnOnce(&Learnt) -> Option<T>,
    ) -> Option<T> {
        let mut segments = self.segments.lock();
        let newest = segments.values().map(|learnt| learnt.used).max();
        let learnt = segments.get_mut(&header.segment_id)?;
        if learnt.epoch != header.epoch || learnt.end != end {
            return None;
        }
        learnt.used = newest.unwrap_or_default() + 1;
        get(learnt)
    }

    fn learn(
        &self,
        header: &SegmentHeader,
        end: End,
        greatest: Option<UnixMillis>,
        pages: Option<Arc<Pages>>,
    ) {
        let mut segments = self.segments.lock();
        let newest = segments.values().map(|learnt| learnt.used).max();
        let learnt = Learnt {
            epoch: header.epoch,
            end,
            greatest,
            pages,
            used: newest.unwrap_or_default() + 1,
        };
        segments.insert(header.segment_id, learnt);
        let lists = segments
            .values_mut()
            .filter(|learnt| learnt.pages.is_some());
        let mut lists: Vec<_> = lists.collect();
        if lists.len() > MOST_LISTS
            && let Some(oldest) = lists.iter_mut().min_by_key(|learnt| learnt.used)
        {
            oldest.pages = None;
        }
    }
}

impl Files {
    /// Where the pages of the index of a segment are that ends at `end`; `None` without a footer or an index.
    pub(crate) fn pages(
        &self,
        header: &SegmentHeader,
        end: End,
        file: &Arc<dyn StorageFile>,
    ) -> io::Result<Option<Arc<Pages>>> {
        let known = self.known.get(header, end, |learnt| learnt.pages.clone());
        if known.is_some() {
            return Ok(known);
        }
        let footer = SegmentFacts::footer_of(*header, file)?;
        let greatest = footer.as_ref().and_then(|footer| footer.more.as_ref());
        let greatest = greatest.map(|more| {
            // Its last records may be as late as its greatest time.
            if sabotage::is("lookup-by-least-time") {
                return more.time_least;
            }
            more.time_greatest
        });
        let pages = footer.as_ref().and_then(Pages::of);
        if greatest.is_some() {
            self.known.learn(header, end, greatest, pages.clone());
        }
        Ok(pages)
    }

    /// A time at or above that of each group of records of a segment that ends at `end`.
    pub(crate) fn greatest_time(
        self: &Arc<Self>,
        header: &SegmentHeader,
        end: End,
    ) -> io::Result<UnixMillis> {
        let known = |learnt: &Learnt| learnt.greatest;
        if let Some(greatest) = self.known.get(header, end, known) {
            return Ok(greatest);
        }
        let file = self.open(header.segment_id)?;
        self.pages(header, end, &file)?;
        if let Some(greatest) = self.known.get(header, end, known) {
            return Ok(greatest);
        }
        let greatest = walk_for_greatest(header, end, file)?;
        self.known.learn(header, end, Some(greatest), None);
        Ok(greatest)
    }
}

/// The same by the headers of its groups. After damage there may be any time.
fn walk_for_greatest(
    header: &SegmentHeader,
    (last, end): End,
    file: Arc<dyn StorageFile>,
) -> io::Result<UnixMillis> {
    let mut cursor = SegmentCursor::new(file, *header, end);
    cursor.set_window(WALK_WINDOW);
    let mut greatest = UnixMillis::new(0);
    loop {
        match cursor.next_group()? {
            GroupStep::Group(group) => {
                greatest = greatest.max(group.time);
                cursor.skip_group();
            }
            GroupStep::End => return Ok(greatest),
            // A stamp or a cut may be missing.
            GroupStep::Invalid(_) if cursor.expected() > last => return Ok(greatest),
            GroupStep::Invalid(_) => return Ok(UnixMillis::new(u64::MAX)),
        }
    }
}
