//! What the tests and the golden example share: a deterministic builder of segments.

// Each test includes all of it and uses a part.
#![allow(dead_code, unreachable_pub)]

pub mod annotate;
pub mod golden;
pub mod golden_2;

use wal_format::{
    Alignment, Control, ControlChange, EncodedRecord, Epoch, FooterFacts, FooterMore, Frame,
    GroupHeader, GroupKind, GroupWriter, History, InBatch, IndexBuilder, IndexEntry, Layout,
    LinkBody, LogId, Lsn, Offset, Origin, RecordRef, Salt, SegmentHeader, SegmentId, UnixMillis,
    Version, crc32,
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
    /// What was written before `groups` began, and the records in it.
    done: Vec<u8>,
    done_records: u64,
    index: Vec<IndexEntry>,
    /// Version 2 only, as all below.
    places: IndexBuilder,
    time: UnixMillis,
    least: Option<UnixMillis>,
    control: Control,
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
        groups.set_time(NOW);
        groups.link(link, watermark);
        Self {
            header,
            groups,
            done: Vec::new(),
            done_records: 0,
            index: Vec::new(),
            places: IndexBuilder::new(header.capacity),
            time: NOW,
            least: None,
            control: Control::default(),
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
                let opens = !self.groups.is_group_open();
                let more = if i + 1 < batch.len() {
                    InBatch::More
                } else {
                    InBatch::Last
                };
                let limit = self.header.record_limit;
                let record = EncodedRecord::new(*record, more, NOW, limit).unwrap();
                let place = self.groups.push(&record);
                if let Some((lsn, offset)) = self.groups.open_group_start().filter(|_| opens) {
                    self.places.group(lsn, offset);
                    self.least = Some(self.least.unwrap_or(self.time).min(self.time));
                }
                self.places.record(place.0, place.1);
            }
        }
        let (first_lsn, offset) = self.groups.open_group_start().unwrap();
        if IndexEntry::is_due(self.index.last(), offset) {
            self.index.push(IndexEntry { first_lsn, offset });
        }
        self.places.group_end(self.time);
        self.groups.set_time(self.time);
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

    /// Groups that end from now on do so that number of milliseconds after [`NOW`].
    pub fn at(&mut self, millis: u64) -> &mut Self {
        self.time = UnixMillis::new(NOW.get() + millis);
        self.groups.set_time(self.time);
        self
    }

    /// Says with the next group that the clock was set back.
    pub fn set_back(&mut self) -> &mut Self {
        self.groups.set_back();
        self
    }

    pub fn table(&mut self, control: &Control, watermark: u64) -> &mut Self {
        self.control = control.clone();
        self.groups.control(control, Lsn::new(watermark));
        self
    }

    pub fn change(&mut self, changes: &[ControlChange], watermark: u64) -> &mut Self {
        for change in changes {
            self.control.apply(change);
        }
        self.groups.change(changes, Lsn::new(watermark));
        self
    }

    pub fn gap(&mut self, to: u64, watermark: u64) -> &mut Self {
        self.groups.gap(Lsn::new(to), Lsn::new(watermark));
        self
    }

    /// Writes a group of a kind that this crate does not know, and may skip.
    pub fn unknown(&mut self, kind: u8, payload: &[u8], watermark: u64) -> &mut Self {
        let frame = self.header.frame();
        let header = GroupHeader {
            kind: GroupKind::Other(kind),
            epoch: frame.epoch,
            first_lsn: self.groups.next_lsn(),
            watermark: Lsn::new(watermark),
            offset: self.groups.end(),
            payload_len: payload.len() as u32,
            record_count: 0,
            previous: self.groups.previous(),
            digest: crc32(payload),
            version: Version::V2,
            may_skip: true,
            set_back: false,
            time: self.time,
        };
        let (bytes, checksum) = header.encode(frame);
        self.done.extend_from_slice(self.groups.bytes());
        self.done.extend_from_slice(&bytes);
        self.done.extend_from_slice(payload);
        let len = frame.alignment.round_up(self.done.len() as u64);
        self.done.resize(len as usize, 0);
        self.done_records += self.groups.records();
        let next = self.groups.next_lsn();
        self.groups
            .reset(frame, Offset::new(4096 + len), checksum, next);
        self
    }

    pub fn cut(&mut self, log_first: u64, watermark: u64) -> &mut Self {
        self.groups.cut(Lsn::new(log_first), Lsn::new(watermark));
        self
    }

    pub fn footer(&mut self, successor: SegmentId, log_first: u64) -> &mut Self {
        let more = (self.header.version >= Version::V2).then(|| {
            let (index_offset, pages) = self.groups.index(&self.places, 64 << 10);
            FooterMore {
                index_offset,
                pages,
                time_least: self.least.unwrap_or(UnixMillis::new(0)),
                time_greatest: self.time.max(self.places.reach()),
                control: self.control.clone(),
            }
        });
        let facts = FooterFacts {
            record_count: self.done_records + self.groups.records(),
            successor,
            log_first: Lsn::new(log_first),
            index: &self.index,
            more: more.as_ref(),
        };
        self.groups.footer(&facts);
        self
    }

    /// The file so far.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.encode();
        bytes.extend_from_slice(&self.done);
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
