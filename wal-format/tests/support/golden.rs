//! The golden segments. Those of format version 1 are kept for ever: a change that alters them is
//! a change of the format. Those of version 2 are drafts.

use std::path::PathBuf;
use std::time::Duration;

use wal_format::{
    Alignment, Compression, EncodedRecord, Epoch, Histories, History, InBatch, LinkBody, LinkCause,
    LogId, Lsn, Offset, Origin, Record, RecordRef, SegmentHeader, SegmentId, SegmentView,
    UnixMillis, Version, end_batch,
};

use super::{Builder, NOW, golden_2, header, noise};

/// A golden file.
pub struct Golden {
    /// The folder that it is in.
    pub folder: Folder,
    /// File name without its extension.
    pub name: String,
    /// The id that the file's name would have in a log.
    pub id: SegmentId,
    /// What the builder makes.
    pub bytes: Vec<u8>,
    /// How the values are stored. Compressors may change their output from version to version:
    /// such files are kept as they are, and compared by what they decode to.
    pub compression: Compression,
}

/// What the golden files of a folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Segments of version 1.
    V1,
    /// Segments of version 2.
    V2,
    /// A log with segments of both.
    Mixed,
}

impl Folder {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Mixed => "mixed",
        }
    }

    /// Where it is.
    pub fn path(self) -> PathBuf {
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        golden.join(self.name())
    }

    /// Whether its files may still change.
    pub fn is_draft(self) -> bool {
        self != Self::V1
    }
}

impl Golden {
    /// Folder and name.
    pub fn title(&self) -> String {
        format!("{}/{}", self.folder.name(), self.name)
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.wal", self.name))
    }

    /// `None` if the kept file `kept` is the one that the builder makes, else what differs.
    pub fn difference(&self, kept: &[u8]) -> Option<String> {
        if self.compression == Compression::None {
            let at = (0..kept.len().max(self.bytes.len()))
                .find(|at| kept.get(*at) != self.bytes.get(*at))?;
            return Some(format!("{}: differs from byte {at} on", self.title()));
        }
        let (kept, built) = (contents(kept, self.id), contents(&self.bytes, self.id));
        (kept != built).then(|| format!("{}: decodes to something else", self.title()))
    }
}

/// What a reader gets from a segment: LSNs and records, and why it ends.
pub fn contents(bytes: &[u8], id: SegmentId) -> (Vec<(Lsn, Record)>, String) {
    let view = SegmentView::parse(bytes, id).expect("a segment header");
    let mut records = Vec::new();
    let mut groups = view.groups();
    for group in groups.by_ref() {
        match group {
            Ok(group) => records.extend(
                group
                    .records()
                    .map(|(lsn, _, record)| (lsn, record.to_record().expect("a value"))),
            ),
            Err(invalid) => return (records, format!("LSN {}: invalid", invalid.lsn)),
        }
    }
    let end = if groups.is_sealed() { "footer" } else { "open" };
    (records, end.to_owned())
}

/// All golden files that this build can make.
pub fn all() -> Vec<Golden> {
    let mut all = vec![
        golden("closed", 1, worked_example()),
        golden("sealed", 1, sealed()),
        golden("unclean", 1, unclean()),
        golden("sector", 1, sector()),
        golden("cut", 4, cut()),
        golden("ttl", 1, ttl()),
        golden("recovered", 2, recovered()),
        golden("truncated", 2, truncated()),
        golden("repaired", 3, repaired()),
    ];
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd)] {
        if compression.is_available() {
            let bytes = compressed(compression);
            all.push(Golden {
                compression,
                ..golden(name, 1, bytes)
            });
        }
    }
    all.extend(golden_2::all());
    all
}

fn golden(name: &str, id: u64, bytes: Vec<u8>) -> Golden {
    Golden {
        folder: Folder::V1,
        name: name.into(),
        id: SegmentId::new(id),
        bytes,
        compression: Compression::None,
    }
}

/// The worked example of `docs/format.md`: one put and one delete, cleanly closed; node 7.
pub fn worked_example() -> Vec<u8> {
    let header = SegmentHeader {
        log_id: LogId::from_bytes(std::array::from_fn(|i| 0xA0 + i as u8)),
        segment_id: SegmentId::FIRST,
        epoch: Epoch::new(0x0123_4567_89AB_CDEF),
        capacity: 1 << 20,
        record_limit: 64 << 10,
        node_id: 7,
        alignment: Alignment::Eight,
        allocated: 1 << 20,
        origin: Origin::Spare,
        version: Version::V1,
        replaces: None,
        log_capacity: 1 << 20,
        log_record_limit: 64 << 10,
    };
    Builder::new(
        header,
        &LinkBody::first(Lsn::FIRST, History::NONE),
        Lsn::ZERO,
    )
    .records(
        &[
            RecordRef::put(b"user:1", b"Ada"),
            RecordRef::delete(b"user:1"),
        ],
        0,
    )
    .footer(SegmentId::NONE, 1)
    .bytes()
}

/// Several groups, a batch, two index entries, a successor.
fn sealed() -> Vec<u8> {
    let large = vec![b'x'; 40_000];
    Builder::first(256 << 10, Alignment::Eight)
        .records(&[RecordRef::data(b""), RecordRef::put(b"", b"")], 0)
        .group(
            &[&[RecordRef::put(b"a", b"1"), RecordRef::put(b"b", b"2")]],
            2,
        )
        .records(&[RecordRef::data(&large)], 4)
        .records(&[RecordRef::put(b"large", &large)], 5)
        .records(&[RecordRef::delete(b"a")], 5)
        .footer(SegmentId::new(2), 1)
        .bytes()
}

/// Two groups, the second torn in its last record, stale bytes behind it.
fn unclean() -> Vec<u8> {
    let mut segment = Builder::first(8 << 10, Alignment::Eight);
    segment.records(&[RecordRef::data(b"first"), RecordRef::data(b"second")], 0);
    segment.records(&[RecordRef::put(b"torn", &[b't'; 300])], 0);
    let torn = segment.bytes().len() - 100;
    let mut bytes = segment.bytes_in(8 << 10);
    bytes[torn..].fill(0);
    bytes[6000..7000].copy_from_slice(&noise(1000, 1));
    bytes
}

/// Groups at multiples of 512 bytes, a stamp, a footer, a preallocated rest.
fn sector() -> Vec<u8> {
    Builder::first(8 << 10, Alignment::Sector512)
        .records(&[RecordRef::put(b"k", b"v")], 0)
        .records(&[RecordRef::data(&[b'd'; 600])], 1)
        .stamp(2)
        .footer(SegmentId::NONE, 1)
        .bytes_in(8 << 10)
}

/// A reopened segment with a cut.
fn cut() -> Vec<u8> {
    let link = LinkBody {
        predecessor: SegmentId::new(3),
        predecessor_epoch: Epoch::new(33),
        end_lsn: Lsn::new(41),
        end_offset: Offset::new(7000),
        log_first: Lsn::FIRST,
        end_digest: 0xDEAD_BEEF,
        cause: LinkCause::Reopened,
        kept: Lsn::ZERO,
        histories: Histories::unknown(),
    };
    Builder::new(header(4, 8 << 10, Alignment::Eight), &link, Lsn::new(41))
        .records(&[RecordRef::data(b"42"), RecordRef::data(b"43")], 41)
        .cut(42, 43)
        .records(&[RecordRef::data(b"44")], 43)
        .footer(SegmentId::NONE, 42)
        .bytes()
}

/// Each kind with an expiry, at a time and after one.
fn ttl() -> Vec<u8> {
    let hour = Duration::from_secs(3600);
    Builder::first(8 << 10, Alignment::Eight)
        .records(
            &[
                RecordRef::data(b"data").with_ttl(hour),
                RecordRef::put(b"k", b"v").with_expiry(UnixMillis::new(1)),
                RecordRef::delete(b"k").with_ttl(Duration::MAX),
            ],
            0,
        )
        .footer(SegmentId::NONE, 1)
        .bytes()
}

/// A segment that was whole before it got its name.
fn copy(id: u64) -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Copy,
        ..header(id, 8 << 10, Alignment::Eight)
    }
}

/// A record of segment 1 as it is stored there, and its mask.
fn stored(lsn: u64, in_batch: InBatch) -> (Vec<u8>, u32) {
    let old = header(1, 8 << 10, Alignment::Eight);
    let mask = old.salt().record_mask(Lsn::new(lsn), Offset::new(5000));
    let record = RecordRef::put(b"tail", b"unproven");
    let record = EncodedRecord::new(record, in_batch, NOW, old.record_limit).unwrap();
    let mut stored = Vec::new();
    record.write_to(&mut stored, mask);
    (stored, mask)
}

/// The link of a copy that goes on behind LSN 2 of segment 1.
fn copy_link(cause: LinkCause, kept: Lsn) -> LinkBody {
    let old = header(1, 8 << 10, Alignment::Eight);
    LinkBody {
        predecessor: old.segment_id,
        predecessor_epoch: old.epoch,
        end_lsn: Lsn::new(2),
        end_offset: Offset::new(4936),
        log_first: Lsn::FIRST,
        end_digest: 0x0BAD_CAFE,
        cause,
        kept,
        histories: Histories::unknown(),
    }
}

/// What recovery makes of a predecessor's unproven tail: the record 3, copied and masked anew,
/// and a stamp.
fn recovered() -> Vec<u8> {
    let (record, mask) = stored(3, InBatch::Last);
    let link = copy_link(LinkCause::Recovered, Lsn::ZERO);
    let mut segment = Builder::new(copy(2), &link, Lsn::new(2));
    segment.groups.push_stored(&record, mask);
    segment.groups.close_group(Lsn::new(2));
    segment.stamp(3).bytes_in(8 << 10)
}

/// What is left when the log is truncated after LSN 3, in the middle of a batch.
fn truncated() -> Vec<u8> {
    let (mut record, mask) = stored(3, InBatch::More);
    end_batch(&mut record, mask);
    let link = copy_link(LinkCause::TruncatedAfter, Lsn::new(3));
    let mut segment = Builder::new(copy(2), &link, Lsn::new(2));
    segment.groups.push_stored(&record, mask);
    segment.groups.close_group(Lsn::new(2));
    segment.stamp(3).bytes_in(8 << 10)
}

/// What a repair makes of LSN 3 to 6 when only 5 could be read.
fn repaired() -> Vec<u8> {
    let (record, mask) = stored(5, InBatch::Last);
    let link = copy_link(LinkCause::Repaired, Lsn::ZERO);
    let mut segment = Builder::new(copy(3), &link, Lsn::new(2));
    segment.groups.gap(Lsn::new(4), Lsn::new(2));
    segment.groups.push_stored(&record, mask);
    segment.groups.gap(Lsn::new(6), Lsn::new(2));
    segment.stamp(6).bytes_in(8 << 10)
}

/// Values that shrink, one that does not.
fn compressed(compression: Compression) -> Vec<u8> {
    let (text, noise) = (b"the log is a log is a log; ".repeat(40), noise(64, 2));
    let records = [
        RecordRef::data(&text),
        RecordRef::put(b"text", &text),
        RecordRef::put(b"noise", &noise),
        RecordRef::put(b"both", &text).with_expiry(NOW),
        RecordRef::put(b"empty", b""),
        RecordRef::delete(b"text"),
    ];
    Builder::first(8 << 10, Alignment::Eight)
        .records(
            &records.map(|record| record.with_compression(compression)),
            0,
        )
        .footer(SegmentId::NONE, 1)
        .bytes()
}
