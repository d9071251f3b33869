//! Segment size, record limit and padding of new segments: chosen by the opener, or else those of the existing log.

use crate::PathCheck;
use crate::Prewrite;
use crate::RecoveryMode;
use crate::WalConfig;
use crate::entropy::Entropy;
use crate::recovery::Reserve;
use std::io;
use std::time::Duration;
use wal_format::Epoch;
use wal_format::History;
use wal_format::LogId;
use wal_format::Origin;
use wal_format::SegmentId;
use wal_format::{Alignment, Layout, SegmentHeader, Version};

use crate::recovery::Scan;
use crate::{Error, Result};

/// What the builder decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: WalConfig,
    pub(crate) sizes: Sizes,
    pub(crate) alignment: Alignment,
    /// The version of new segments.
    pub(crate) version: Version,
    pub(crate) record_limit: u64,
    /// Largest payload of one group: one batch is at most this long.
    pub(crate) batch_limit: u64,
    /// Bytes of one buffer; two are in use.
    pub(crate) buffer: usize,
    /// Hand-over begins when this much is waiting, or `hand_over_after`, whichever is first.
    pub(crate) hand_over_bytes: usize,
    pub(crate) hand_over_after: Duration,
    /// An idle log whose last records are not proven yet gets a stamp after this time.
    pub(crate) stamp_after: Duration,
    pub(crate) driver: Driver,
    pub(crate) recovery: RecoveryMode,
    pub(crate) prewrite: Prewrite,
    /// Check now and then that the path still leads to the directory.
    pub(crate) path_check: PathCheck,
}

/// Who runs the background steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Threads of the engine's own.
    Threads,
    /// Whoever calls: a call that would wait runs the steps itself. Deterministic.
    Caller,
}

/// What the opener chose. `None` means the log's own value, or the default in a new log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) segment: Option<u64>,
    pub(crate) alignment: Option<Alignment>,
    pub(crate) record_limit: Option<u64>,
    pub(crate) node_id: Option<u32>,
    pub(crate) version: Option<Version>,
    /// The smallest segment size. Lower in tests.
    pub(crate) least_segment: u64,
}

impl Settings {
    /// The settings for the log that `scan` has found.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the record limit that was chosen does not fit into the log's segments.
    pub(crate) fn for_log(mut self, scan: &Scan) -> Result<Self> {
        if let Some(like) = model(scan) {
            self.follow_version(scan)?;
            self.adopt(&like);
        }
        Ok(self
            .resolve()?
            .with_room_for(scan.control.table_len() as u64))
    }

    /// Makes segments longer if the control state needs that. The record limit stays.
    fn with_room_for(mut self, table: u64) -> Self {
        while self.layout().control_limit() < table
            && self.version >= Version::V2
            && self.config.max_segment_size < wal_format::MAX_SEGMENT
        {
            self.config.max_segment_size += wal_format::HEADER_LEN;
        }
        self.batch_limit = self.layout().max_group_payload();
        self
    }

    /// The version of the log's newest segment, unless a newer one was chosen. There is no way back.
    fn follow_version(&mut self, scan: &Scan) -> Result<()> {
        let chain = scan.chain.iter().map(|link| link.facts.header.version);
        let found = chain.max();
        let chosen = self.sizes.version;
        if let (Some(found), Some(chosen)) = (found, chosen)
            && chosen < found
        {
            return Err(Error::InvalidConfig {
                field: "format_version",
                value: chosen.get().to_string(),
                allowed: format!("{}, which the log has already", found.get()),
            });
        }
        self.version = chosen.or(found).unwrap_or(self.version);
        Ok(())
    }

    fn adopt(&mut self, like: &SegmentHeader) {
        // A limit that was not chosen follows the segment's size.
        let default = Layout {
            segment_len: like.log_capacity,
            ..like.layout()
        }
        .default_record_limit();
        let limit = Some(like.log_record_limit).filter(|limit| *limit > 0);
        let upgraded = like.version < self.version;
        let chosen = limit.filter(|limit| *limit != default || upgraded);
        let most = wal_format::MAX_SEGMENT;
        let size = like.log_capacity.clamp(self.sizes.least_segment, most);
        self.config.max_segment_size = self.sizes.segment.unwrap_or(size);
        self.config.node_id = self.sizes.node_id.unwrap_or(like.node_id);
        let alignment = self.sizes.alignment.unwrap_or(like.alignment);
        self.sizes.alignment = Some(alignment);
        let wanted = self.sizes.record_limit.or(limit);
        let wanted = wanted.filter(|wanted| limit.is_some_and(|limit| *wanted <= limit));
        if let Some(wanted) = wanted
            && self.makes_room_for(wanted, alignment)
        {
            self.sizes.record_limit = Some(wanted);
            return;
        }
        let fits = self.layout_at(alignment).max_record_limit();
        let chosen = chosen.map(|limit| limit.min(fits));
        self.sizes.record_limit = self.sizes.record_limit.or(chosen);
    }

    /// A segment has less room for a record than one of version 1 of that length. If a record of `limit` bytes fits in one of
    /// version 1 only, segments become as much longer as it needs.
    fn makes_room_for(&mut self, limit: u64, alignment: Alignment) -> bool {
        let of_version_1 = Layout {
            version: Version::V1,
            ..self.layout_at(alignment)
        };
        if of_version_1.max_record_limit() < limit
            || self.layout_at(alignment).max_record_limit() >= limit
        {
            return false;
        }
        // Only short segments have less room in version 2, so they stay below the longest that there are.
        while self.layout_at(alignment).max_record_limit() < limit {
            self.config.max_segment_size += alignment.get();
        }
        true
    }

    /// What new segments have room for.
    pub(crate) fn layout(&self) -> Layout {
        self.layout_at(self.alignment)
    }

    fn layout_at(&self, alignment: Alignment) -> Layout {
        Layout {
            version: self.version,
            segment_len: self.config.max_segment_size,
            alignment,
            record_limit: self.record_limit,
        }
    }

    /// Works out what depends on the sizes.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the record limit does not fit into a segment.
    pub(crate) fn resolve(mut self) -> Result<Self> {
        let size = self.config.max_segment_size;
        let alignment = self.sizes.alignment.unwrap_or(Alignment::Eight);
        let layout = self.layout_at(alignment);
        let most = layout.max_record_limit();
        let default = layout.default_record_limit();
        let record_limit = self.sizes.record_limit.unwrap_or(default);
        if record_limit == 0 || record_limit > most {
            return Err(Error::InvalidConfig {
                field: "record_limit",
                value: format!("{record_limit} bytes"),
                allowed: format!("1 to {most} bytes with segments of {size} bytes"),
            });
        }
        self.alignment = alignment;
        self.record_limit = record_limit;
        self.batch_limit = self.layout().max_group_payload();
        Ok(self)
    }
}

impl Settings {
    /// Whether the reserve of a log with such a newest segment is long enough.
    pub(crate) fn continues(&self, newest: &SegmentHeader) -> bool {
        let same = newest.version == self.version
            && newest.log_capacity == self.config.max_segment_size
            && newest.alignment == self.alignment;
        same || !self.reserve().is_kept()
    }

    /// The space that the log keeps for a full disk.
    pub(crate) fn reserve(&self) -> Reserve {
        let size = self.config.max_segment_size;
        Reserve::of(&SegmentHeader {
            capacity: size,
            log_capacity: size,
            version: self.version,
            ..idle_header(self, LogId::from_bytes([0; 16]))
        })
    }
}

/// The segment whose sizes were chosen by an opener: the newest one that is not a copy. A copy may be larger. If there are only
/// copies, the smallest is the best guess.
fn model(scan: &Scan) -> Option<SegmentHeader> {
    let chain = scan.chain.iter().map(|link| &link.facts.header);
    let chosen = |header: &&SegmentHeader| !header.origin.is_whole();
    let newest = chain.clone().rev().find(chosen);
    newest
        .or_else(|| chain.min_by_key(|header| header.capacity))
        .copied()
}

/// A place holder for the writer's header while there is no active segment.
pub(crate) fn idle_header(settings: &Settings, log_id: LogId) -> SegmentHeader {
    SegmentHeader {
        log_id,
        segment_id: SegmentId::NONE,
        epoch: Epoch::new(0),
        capacity: 0,
        record_limit: 0,
        node_id: settings.config.node_id,
        alignment: settings.alignment,
        allocated: 0,
        origin: Origin::Spare,
        version: Version::V1,
        replaces: None,
        log_capacity: 0,
        log_record_limit: 0,
    }
}

/// The header of a segment that this log makes next.
pub(crate) fn new_header(
    settings: &Settings,
    entropy: &dyn Entropy,
    id: SegmentId,
    log_id: LogId,
) -> io::Result<SegmentHeader> {
    let mut epoch = 0;
    while epoch == 0 {
        // Each file has an epoch of its own: bytes of another do not verify in it.
        epoch = entropy.next()?;
    }
    Ok(SegmentHeader {
        log_id,
        segment_id: id,
        epoch: Epoch::new(epoch),
        capacity: settings.config.max_segment_size,
        record_limit: settings.record_limit,
        node_id: settings.config.node_id,
        alignment: settings.alignment,
        allocated: settings.config.max_segment_size,
        origin: Origin::Spare,
        version: settings.version,
        replaces: None,
        log_capacity: settings.config.max_segment_size,
        log_record_limit: settings.record_limit,
    })
}

/// A history for records that are appended from now on. Segments of version 1 have none.
pub(crate) fn draw_history(settings: &Settings, entropy: &dyn Entropy) -> io::Result<History> {
    let mut history = 0;
    while settings.version >= Version::V2 && history == 0 {
        // A record whose LSN was given again has another history than the one before it.
        history = entropy.next()?;
    }
    Ok(History::new(history))
}
