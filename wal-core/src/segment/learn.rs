//! Learning the times and the index of a segment from its footer, or without one from its groups.

use std::io;

use wal_format::{SegmentHeader, UnixMillis};
use wal_io::StorageFile;

use super::known::{End, Key, Pages};
use super::{Files, GroupStep, SegmentCursor, SegmentFacts, WALK_WINDOW};
use crate::sync::Arc;

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
