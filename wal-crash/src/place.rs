//! Where the log is, and what `meddling` has done to its directory.

use wal_core::SegmentId;
use wal_io::fault::Image;

use crate::program::Meddling;

/// Where the log is, and what is beside it.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    pub(crate) name: String,
    pub(crate) moves: u32,
    /// The segment that took this life's last record.
    pub(crate) written: Option<SegmentId>,
    /// What was done to it in this life.
    pub(crate) displaced: Option<Displaced>,
    pub(crate) neighbours: Vec<Neighbour>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Displaced {
    pub(crate) by: Meddling,
    /// The newest segment at that time.
    pub(crate) newest: SegmentId,
    /// The last LSN before that segment.
    pub(crate) before_newest: u64,
}

/// Another log, which nobody uses.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) name: String,
    pub(crate) segments: Image,
}

impl Default for Whereabouts {
    fn default() -> Self {
        Self {
            name: "log".into(),
            moves: 0,
            written: None,
            displaced: None,
            neighbours: Vec::new(),
        }
    }
}

impl Whereabouts {
    /// Whether a call may fail because the log or its file is not where it was.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.is_some()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.by() == Some(Meddling::RemoveDirectory)
    }

    pub(crate) fn has_lost_files(&self) -> bool {
        self.is_deleted() || self.by() == Some(Meddling::RemoveNewest)
    }

    pub(crate) fn by(&self) -> Option<Meddling> {
        self.displaced.map(|displaced| displaced.by)
    }
}
