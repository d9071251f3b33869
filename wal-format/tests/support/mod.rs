//! What the tests and the golden example share: a deterministic builder of segments.

// Each test includes all of it and uses a part.
#![allow(dead_code, unreachable_pub)]

pub mod annotate;
pub mod golden;

use wal_format::{
    Alignment, EncodedRecord, Epoch, FooterFacts, Frame, GroupWriter, History, InBatch, IndexEntry,
    Layout, LinkBody, LogId, Lsn, Offset, Origin, RecordRef, Salt, SegmentHeader, SegmentId,
    UnixMillis, Version,
};

/// The log of all built segments.
pub const LOG: LogId = LogId::from_bytes(*b"wal-format tests");
/// The time at which records are encoded.
pub const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

/// A segment header with the highest record limit.
pub fn header(id: u64, capacity: u64, alignment: Alignment) -> SegmentHeader {
    SegmentHeader {
        log_id: LOG,
        segment_id: SegmentId::new(id),
        epoch: Epoch::new(0x0102_0304_0506_0700 + id),
        capacity,
        record_limit: Layout {
            version: Version::V1,
            segment_len: capacity,
            alignment,
            record_limit: 0,
        }
        .max_record_limit(),
        node_id: 7,
        alignment,
        allocated: capacity,
        origin: Origin::Spare,
        version: Version::V1,
        replaces: None,
        log_capacity: capacity,
        log_record_limit: Layout {
            version: Version::V1,
            segment_len: capacity,
            alignment,
            record_limit: 0,
        }
        .max_record_limit(),
    }
}

/// Builds a segment in memory, group by group.
pub struct Builder {
    pub header: SegmentHeader,
    pub groups: GroupWriter,
    index: Vec<IndexEntry>,
}

/// The frame of a file of the log.
pub fn frame(epoch: Epoch, alignment: Alignment) -> Frame {
    Frame {
        version: Version::V1,
        salt: Salt::new(LOG, epoch),
        epoch,
        alignment,
    }
}

impl Builder {
    /// Header and link; the first record gets the LSN after the link's `end_lsn`.
    pub fn new(header: SegmentHeader, link: &LinkBody, watermark: Lsn) -> Self {
        let mut groups = GroupWriter::new(header.frame(), 0);
        groups.reset(header.frame(), Offset::new(4096), 0, link.end_lsn.next());
        groups.link(link, watermark);
        Self {
            header,
            groups,
            index: Vec::new(),
        }
    }

    /// The first segment of a log.
    pub fn first(capacity: u64, alignment: Alignment) -> Self {
        Self::new(
            header(1, capacity, alignment),
            &LinkBody::first(Lsn::FIRST, History::NONE),
            Lsn::ZERO,
        )
    }

    /// A group of batches.
    pub fn group(&mut self, batches: &[&[RecordRef<'_>]], watermark: u64) -> &mut Self {
        for batch in batches {
            for (i, record) in batch.iter().enumerate() {
                let more = if i + 1 < batch.len() {
                    InBatch::More
                } else {
                    InBatch::Last
                };
                let limit = self.header.record_limit;
                self.groups
                    .push(&EncodedRecord::new(*record, more, NOW, limit).unwrap());
            }
        }
        let (first_lsn, offset) = self.groups.open_group_start().unwrap();
        if IndexEntry::is_due(self.index.last(), offset) {
            self.index.push(IndexEntry { first_lsn, offset });
        }
        self.groups.close_group(Lsn::new(watermark));
        self
    }

    /// A group of records that are batches of their own.
    pub fn records(&mut self, records: &[RecordRef<'_>], watermark: u64) -> &mut Self {
        let batches: Vec<_> = records.chunks(1).collect();
        self.group(&batches, watermark)
    }

    pub fn stamp(&mut self, watermark: u64) -> &mut Self {
        self.groups.stamp(Lsn::new(watermark));
        self
    }

    pub fn cut(&mut self, log_first: u64, watermark: u64) -> &mut Self {
        self.groups.cut(Lsn::new(log_first), Lsn::new(watermark));
        self
    }

    pub fn footer(&mut self, successor: SegmentId, log_first: u64) -> &mut Self {
        let facts = FooterFacts {
            record_count: self.groups.records(),
            successor,
            log_first: Lsn::new(log_first),
            index: &self.index,
            more: None,
        };
        self.groups.footer(&facts);
        self
    }

    /// The file so far.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.encode();
        bytes.extend_from_slice(self.groups.bytes());
        bytes
    }

    /// The file, with zeros up to `len`.
    pub fn bytes_in(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.bytes();
        assert!(bytes.len() <= len, "{} bytes", bytes.len());
        bytes.resize(len, 0);
        bytes
    }
}

/// Bytes that no compression shrinks, the same each time.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    (0..len).map(|_| next() as u8).collect()
}
