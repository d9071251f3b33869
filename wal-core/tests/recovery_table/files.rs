//! Segments written group by group, as a log would.

use std::ops::RangeInclusive;

use wal_core::{Lsn, RecordRef, SegmentId};
use wal_format::{
    Alignment, EncodedRecord, Epoch, FooterFacts, GroupWriter, Histories, InBatch, IndexEntry,
    LinkBody, LinkCause, LogId, Offset, Origin, SegmentHeader, UnixMillis, Version,
};
use wal_io::fault::Image;

use crate::common::trace::segment;
use crate::common::{SMALL, payload};

/// A segment that is being written.
pub(super) struct Segment {
    header: SegmentHeader,
    groups: GroupWriter,
    first: Lsn,
    records: u64,
    index: Vec<IndexEntry>,
    log_first: Lsn,
    closed: bool,
}

/// What the next segment's link says of one.
#[derive(Clone, Copy)]
pub(super) struct End {
    id: SegmentId,
    epoch: Epoch,
    offset: Offset,
    digest: u32,
    lsn: Lsn,
    log_first: Lsn,
}

impl Segment {
    fn new(id: u64, body: &LinkBody, watermark: u64) -> Self {
        let header = SegmentHeader {
            log_id: LogId::from_bytes([9; 16]),
            segment_id: SegmentId::new(id),
            epoch: Epoch::new(1000 + id),
            capacity: SMALL,
            record_limit: 1000,
            node_id: 7,
            alignment: Alignment::Eight,
            allocated: SMALL,
            origin: Origin::Spare,
            version: Version::V1,
            replaces: None,
            log_capacity: SMALL,
            log_record_limit: 1000,
        };
        let frame = header.frame();
        let mut groups = GroupWriter::new(frame, 0);
        let start = Offset::new(wal_format::HEADER_LEN);
        let first = body.end_lsn.next();
        groups.reset(frame, start, 0, first);
        groups.link(body, Lsn::new(watermark));
        Self {
            header,
            groups,
            first,
            records: 0,
            index: Vec::new(),
            log_first: body.log_first,
            closed: false,
        }
    }

    /// The first segment of a log.
    pub(super) fn first() -> Self {
        let body = LinkBody {
            predecessor: SegmentId::NONE,
            predecessor_epoch: Epoch::new(0),
            end_lsn: Lsn::ZERO,
            end_offset: Offset::new(0),
            log_first: Lsn::FIRST,
            end_digest: 0,
            cause: LinkCause::First,
            kept: Lsn::ZERO,
            histories: Histories::unknown(),
        };
        Self::new(1, &body, 0)
    }

    /// A segment that goes on where `end` says.
    pub(super) fn after(id: u64, end: End, cause: LinkCause, watermark: u64) -> Self {
        let body = LinkBody {
            predecessor: end.id,
            predecessor_epoch: end.epoch,
            end_lsn: end.lsn,
            end_offset: end.offset,
            log_first: end.log_first,
            end_digest: end.digest,
            cause,
            kept: if cause == LinkCause::TruncatedAfter {
                end.lsn
            } else {
                Lsn::ZERO
            },
            histories: Histories::unknown(),
        };
        Self::new(id, &body, watermark)
    }

    /// A group of records, and what was durable when it was made.
    pub(super) fn group(mut self, lsns: RangeInclusive<u64>, watermark: u64) -> Self {
        assert_eq!(self.groups.next_lsn().get(), *lsns.start());
        for n in lsns {
            let payload = payload(n);
            let record = RecordRef::data(&payload);
            let record = EncodedRecord::new(record, InBatch::Last, UnixMillis::new(0), 1000);
            self.groups.push(&record.expect("a small record"));
            self.records += 1;
            if self.index.is_empty() {
                let (first_lsn, offset) = self.groups.open_group_start().expect("an open group");
                self.index.push(IndexEntry { first_lsn, offset });
            }
        }
        self.groups.close_group(Lsn::new(watermark));
        self
    }

    pub(super) fn stamp(mut self, watermark: u64) -> Self {
        self.groups.stamp(Lsn::new(watermark));
        self
    }

    pub(super) fn cut(mut self, log_first: u64, watermark: u64) -> Self {
        self.log_first = Lsn::new(log_first);
        self.groups.cut(self.log_first, Lsn::new(watermark));
        self
    }

    pub(super) fn footer(mut self, successor: u64) -> Self {
        let facts = FooterFacts {
            record_count: self.records,
            successor: SegmentId::new(successor),
            log_first: self.log_first,
            index: &self.index,
            more: None,
        };
        self.groups.footer(&facts);
        self.closed = true;
        self
    }

    /// Where it ends now.
    pub(super) fn end(&self) -> End {
        End {
            id: self.header.segment_id,
            epoch: self.header.epoch,
            offset: self.groups.end(),
            digest: self.groups.previous(),
            lsn: self.groups.next_lsn().prev(),
            log_first: self.log_first,
        }
    }

    /// Offset of the end of what was written.
    pub(super) fn len(&self) -> u64 {
        self.groups.end().get()
    }

    pub(super) fn first_lsn(&self) -> u64 {
        self.first.get()
    }

    pub(super) fn id(&self) -> u64 {
        self.header.segment_id.get()
    }

    /// The file: of its whole length, unless it was closed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.encode();
        bytes.extend_from_slice(self.groups.bytes());
        if !self.closed {
            bytes.resize(SMALL as usize, 0);
        }
        bytes
    }
}

/// A directory with these segments.
pub(super) fn directory(segments: &[&Segment]) -> Image {
    let mut image = Image::new();
    image.insert("lock", Vec::new());
    for one in segments {
        image.insert(&segment(one.id()), one.bytes());
    }
    image
}
