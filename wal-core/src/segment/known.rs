//! What the readers of a handle have learnt from footers: the greatest time of each segment, and the pages of the index of a few.
//!
//! Only of segments whose data has ended. If it ends elsewhere later, that is another end, and is learnt anew.

use std::collections::BTreeMap;
use std::io;

use wal_format::{
    Epoch, Footer, Lsn, Offset, PAGE_LEN, Page, PageFacts, Place, SegmentHeader, SegmentId,
    UnixMillis, find_in_page,
};
use wal_io::{StorageFile, StorageFileExt};

use super::facts::page_at;
use super::{Files, GroupStep, SegmentCursor, SegmentFacts, WALK_WINDOW};
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
    fn of(footer: &Footer) -> Self {
        let more = footer.more.as_ref();
        Self {
            index_offset: more.map(|more| more.index_offset).unwrap_or_default(),
            list: more.map(|more| more.pages.clone()).unwrap_or_default(),
        }
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

    /// The last record or group at or before the record `lsn` that the index names. Reads a page.
    pub(crate) fn place_before(
        &self,
        header: &SegmentHeader,
        file: &dyn StorageFile,
        lsn: Lsn,
    ) -> io::Result<Option<Place>> {
        let after = self.list.partition_point(|page| page.first_lsn <= lsn);
        let Some(at) = after.checked_sub(1) else {
            return Ok(None);
        };
        let offset = self.index_offset.get() + (at * PAGE_LEN) as u64;
        let mut bytes = [0; PAGE_LEN];
        let filled = file.read_full_at(&mut bytes, offset)?;
        let place = find_in_page(&bytes, Offset::new(offset), header.salt(), lsn);
        Ok(place.filter(|_| filled == PAGE_LEN))
    }
}

/// By their segments.
#[derive(Debug, Default)]
pub(super) struct Known {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// A time at or above that of each group of records.
    times: BTreeMap<SegmentId, (Key, UnixMillis)>,
    /// At most [`MOST_LISTS`].
    lists: Vec<List>,
    /// Counts the uses of lists.
    ticks: u64,
}

/// What must be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    id: SegmentId,
    epoch: Epoch,
    end: End,
}

impl Key {
    fn new(header: &SegmentHeader, end: End) -> Self {
        Self {
            id: header.segment_id,
            epoch: header.epoch,
            end,
        }
    }
}

#[derive(Debug)]
struct List {
    key: Key,
    pages: Arc<Pages>,
    used: u64,
}

impl Known {
    pub(super) fn retain(&self, stays: impl Fn(SegmentId) -> bool) {
        let mut table = self.table.lock();
        table.times.retain(|id, _| stays(*id));
        table.lists.retain(|list| stays(list.key.id));
    }

    fn time(&self, key: Key) -> Option<UnixMillis> {
        let table = self.table.lock();
        let (of, time) = table.times.get(&key.id)?;
        (*of == key).then_some(*time)
    }

    fn learn_time(&self, key: Key, time: UnixMillis) {
        self.table.lock().times.insert(key.id, (key, time));
    }

    fn list(&self, key: Key) -> Option<Arc<Pages>> {
        let mut table = self.table.lock();
        table.ticks += 1;
        let ticks = table.ticks;
        let list = table.lists.iter_mut().find(|list| list.key == key)?;
        list.used = ticks;
        Some(Arc::clone(&list.pages))
    }

    fn learn_list(&self, key: Key, pages: Arc<Pages>) {
        let mut table = self.table.lock();
        table.lists.retain(|list| list.key.id != key.id);
        if table.lists.len() >= MOST_LISTS {
            let lists = table.lists.iter().enumerate();
            let oldest = lists.min_by_key(|(_, list)| list.used).map(|(at, _)| at);
            oldest.map(|at| table.lists.swap_remove(at));
        }
        table.ticks += 1;
        let used = table.ticks;
        table.lists.push(List { key, pages, used });
    }
}

impl Files {
    /// Where the pages of the index of a segment are that ends at `end`: there may be none. `None` without a footer.
    pub(crate) fn pages(
        &self,
        header: &SegmentHeader,
        end: End,
        file: &Arc<dyn StorageFile>,
    ) -> io::Result<Option<Arc<Pages>>> {
        let key = Key::new(header, end);
        if let Some(pages) = self.known.list(key) {
            return Ok(Some(pages));
        }
        let Some(footer) = SegmentFacts::footer_of(*header, file)? else {
            return Ok(None);
        };
        let pages = Arc::new(Pages::of(&footer));
        self.known.learn_list(key, Arc::clone(&pages));
        if let Some(more) = footer.more {
            // Its last records may be as late as its greatest time.
            self.known.learn_time(key, more.time_greatest);
        }
        Ok(Some(pages))
    }

    /// A time at or above that of each group of records of a segment that ends at `end`.
    pub(crate) fn greatest_time(
        self: &Arc<Self>,
        header: &SegmentHeader,
        end: End,
    ) -> io::Result<UnixMillis> {
        let key = Key::new(header, end);
        if let Some(greatest) = self.known.time(key) {
            return Ok(greatest);
        }
        let file = self.open(header.segment_id)?;
        self.pages(header, end, &file)?;
        if let Some(greatest) = self.known.time(key) {
            return Ok(greatest);
        }
        let greatest = walk_for_greatest(header, end, file)?;
        self.known.learn_time(key, greatest);
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
