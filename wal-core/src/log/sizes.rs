//! Segment size, record limit and padding of new segments: chosen by the opener, or else those of the existing log.

use wal_format::{Alignment, Origin, SegmentHeader};

use super::Settings;
use crate::recovery::Scan;
use crate::{Error, Result, sabotage};

/// What the opener chose. `None` means the log's own value, or the default in a new log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) segment: Option<u64>,
    pub(crate) alignment: Option<Alignment>,
    pub(crate) record_limit: Option<u64>,
    pub(crate) node_id: Option<u32>,
    /// The smallest segment size. Lower in tests.
    pub(crate) least_segment: u64,
}

impl Settings {
    /// The settings for the log that `scan` has found.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the record limit that was chosen does not fit into the log's segments.
    pub(crate) fn for_log(mut self, scan: &Scan) -> Result<Self> {
        if let Some(like) = model(scan)
            && !sabotage::is("sizes-of-the-log-not-kept")
        {
            self.adopt(&like);
        }
        self.resolve()
    }

    fn adopt(&mut self, like: &SegmentHeader) {
        let sizes = &mut self.sizes;
        // A limit that was not chosen follows the segment's size.
        let default = default_record_limit(like.capacity, like.alignment);
        let chosen = Some(like.record_limit).filter(|limit| *limit != default && *limit > 0);
        let most = wal_format::MAX_SEGMENT;
        let size = like.capacity.clamp(sizes.least_segment, most);
        self.config.max_segment_size = sizes.segment.unwrap_or(size);
        self.config.node_id = sizes.node_id.unwrap_or(like.node_id);
        sizes.alignment = sizes.alignment.or(Some(like.alignment));
        let alignment = sizes.alignment.unwrap_or(like.alignment);
        let fits = wal_format::max_record_limit(self.config.max_segment_size, alignment);
        let chosen = chosen.map(|limit| limit.min(fits));
        sizes.record_limit = sizes.record_limit.or(chosen);
    }

    /// Works out what depends on the sizes.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the record limit does not fit into a segment.
    pub(crate) fn resolve(mut self) -> Result<Self> {
        let size = self.config.max_segment_size;
        let alignment = self.sizes.alignment.unwrap_or(Alignment::Eight);
        let most = wal_format::max_record_limit(size, alignment);
        let default = default_record_limit(size, alignment);
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
        self.batch_limit = wal_format::max_group_payload(size, alignment);
        Ok(self)
    }
}

fn default_record_limit(size: u64, alignment: Alignment) -> u64 {
    wal_format::DEFAULT_RECORD_LIMIT.min(wal_format::max_record_limit(size, alignment))
}

/// The segment whose sizes were chosen by an opener: the newest one that is not a copy. A copy may be larger. If there are only
/// copies, the smallest is the best guess.
fn model(scan: &Scan) -> Option<SegmentHeader> {
    let chain = scan.chain.iter().map(|link| &link.facts.header);
    let chosen = |header: &&SegmentHeader| header.origin != Origin::Copy;
    let newest = chain.clone().rev().find(chosen);
    newest
        .or_else(|| chain.min_by_key(|header| header.capacity))
        .copied()
}
