//! A segment file that this process writes. The state knows what was written to it.

use std::io;

use wal_format::{Frame, SegmentHeader, SegmentId};
use wal_io::StorageFile;

use crate::error::{Displacement, Failure};
use crate::sync::Arc;

/// A segment that this process writes.
#[derive(Debug)]
pub(crate) struct LiveSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) frame: Frame,
    pub(crate) file: Arc<dyn StorageFile>,
    /// Offset at which the last group of records must end, so that the footer still fits after it.
    pub(crate) data_limit: u64,
    /// Whether it had a name when it was opened, if the system says.
    linked: bool,
}

impl LiveSegment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn StorageFile>) -> Self {
        let reserve = header.layout().footer_reserve();
        let data_limit = header.capacity.saturating_sub(reserve);
        Self {
            frame: header.frame(),
            header,
            linked: matches!(file.links(), Ok(Some(links)) if links > 0),
            file,
            data_limit,
        }
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.header.segment_id
    }

    /// Whether the file still has a name. True if the system cannot say.
    pub(crate) fn check_linked(&self) -> Result<(), Failure> {
        if !self.linked {
            return Ok(());
        }
        match self.file.links() {
            Ok(Some(0)) => {
                let id = self.id();
                let what = Displacement::FileDeleted(id);
                Err((format!("a look at segment {id}"), io::Error::other(what)))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
