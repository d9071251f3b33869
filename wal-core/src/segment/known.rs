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
    pub(super) fn of(footer: &Footer) -> Self {
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
    table: Mutex<Learnt>,
}

#[derive(Debug, Default)]
struct Learnt {
    /// A time at or above that of each group of records.
    times: BTreeMap<SegmentId, (Key, UnixMillis)>,
    /// At most [`MOST_LISTS`].
    lists: Vec<List>,
    /// Counts the uses of lists.
    ticks: u64,
}

/// What must be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    id: SegmentId,
    epoch: Epoch,
    end: End,
}

impl Key {
    pub(super) fn new(header: &SegmentHeader, end: End) -> Self {
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

    pub(super) fn time(&self, key: Key) -> Option<UnixMillis> {
        let table = self.table.lock();
        let (of, time) = table.times.get(&key.id)?;
        (*of == key).then_some(*time)
    }

    pub(super) fn learn_time(&self, key: Key, time: UnixMillis) {
        self.table.lock().times.insert(key.id, (key, time));
    }

    pub(super) fn list(&self, key: Key) -> Option<Arc<Pages>> {
        let mut table = self.table.lock();
        table.ticks += 1;
        let ticks = table.ticks;
        let list = table.lists.iter_mut().find(|list| list.key == key)?;
        list.used = ticks;
        Some(Arc::clone(&list.pages))
    }

    pub(super) fn learn_list(&self, key: Key, pages: Arc<Pages>) {
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
