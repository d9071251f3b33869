//! How much room a copy of records needs.

use wal_format::{Layout, SegmentHeader};

/// What a copy needs room for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Bytes of groups, headers and padding included.
    pub(crate) data: u64,
    /// The longest record.
    pub(crate) record_limit: u64,
}

impl Needs {
    /// Large enough for what is copied, and for its records' limit.
    pub(crate) fn size(self, preallocate: bool, mut header: SegmentHeader) -> SegmentHeader {
        header.record_limit = header.record_limit.max(self.record_limit);
        while header.layout().max_record_limit() < header.record_limit {
            header.capacity = header.capacity.saturating_mul(2);
        }
        // The longer the segment, the more it needs itself.
        while !self.fits(&header) {
            header.capacity = self.least(&header);
        }
        header.allocated = self.least(&header);
        if preallocate {
            header.allocated = header.capacity;
        }
        header
    }

    /// Whether it fits into a segment with this header.
    pub(crate) fn fits(self, header: &SegmentHeader) -> bool {
        self.least(header) <= header.capacity
    }

    /// Bytes that the copy, the link, a stamp and the footer need.
    pub(crate) fn least(self, header: &SegmentHeader) -> u64 {
        let alignment = header.alignment;
        let most = header.capacity.max(self.data * 2);
        let layout = Layout {
            segment_len: most,
            ..header.layout()
        };
        layout.data_start() + self.data + alignment.get() + layout.least_footer_reserve()
    }
}

#[cfg(test)]
mod tests {
    use wal_format::{Alignment, Epoch, LogId, Origin, SegmentHeader, SegmentId, Version};

    use super::Needs;

    fn header(version: Version, alignment: Alignment) -> SegmentHeader {
        SegmentHeader {
            log_id: LogId::from_bytes([7; 16]),
            segment_id: SegmentId::new(2),
            epoch: Epoch::new(7),
            capacity: 8192,
            record_limit: 64,
            node_id: 0,
            alignment,
            allocated: 8192,
            origin: Origin::Copy,
            version,
            replaces: None,
            log_capacity: 8192,
            log_record_limit: 64,
        }
    }

    /// On a full disk, a copy gets what it needs and no more.
    #[test]
    fn a_copy_fits_into_the_segment_that_is_made_for_it() {
        let alignments = [
            Alignment::Eight,
            Alignment::Sector512,
            Alignment::Sector4096,
        ];
        for version in [Version::V1, Version::V2] {
            for alignment in alignments {
                for data in (0..300_000).step_by(408) {
                    let record_limit = data / 3;
                    let needs = Needs { data, record_limit };
                    let made = needs.size(false, header(version, alignment));
                    let least = needs.least(&made);
                    assert!(least <= made.capacity, "{version:?}, {alignment:?}, {data}");
                    assert!(made.allocated <= made.capacity, "{made:?}");
                }
            }
        }
    }
}
