//! The golden segments of format version 2, and those of a log with segments of both versions. They are
//! drafts until the version is frozen.

use wal_format::{
    Alignment, Compression, Consumer, Control, ControlChange, EncodedRecord, Epoch, Histories,
    History, InBatch, Layout, LinkBody, LinkCause, LogId, Lsn, Offset, Origin, RecordRef,
    SegmentHeader, SegmentId, Stretch, UnixMillis, Version, crc32, segment_name,
};

use super::golden::{Folder, Golden};
use super::{Builder, NOW, header};

/// The history of the records that a segment gets first.
pub const FIRST: History = History::new(0x1111_2222_3333_4444);
/// That of the next session.
pub const SECOND: History = History::new(0x5555_6666_7777_8888);
/// A kind of group that this crate does not know.
pub const UNKNOWN: u8 = 77;

/// All of them.
pub fn all() -> Vec<Golden> {
    let segments = [
        ("closed", 1, worked_example()),
        ("sealed", 1, sealed()),
        ("unclean", 1, unclean()),
        ("sector", 1, sector()),
        ("control", 1, changed()),
        ("times", 1, times()),
        ("unknown", 1, unknown()),
        ("recovered", 2, recovered()),
        ("truncated", 2, truncated()),
        ("repaired", 3, repaired()),
        ("replacement", 9, replacement()),
        ("reserve", 5, in_reserve()),
    ];
    let segments = segments.map(|(name, id, bytes)| golden(Folder::V2, name, id, bytes));
    let mixed = mixed().into_iter().zip(1..);
    let mixed = mixed.map(|(bytes, id)| {
        let name = segment_name(SegmentId::new(id));
        let name = name.trim_end_matches(".wal");
        golden(Folder::Mixed, name, id, bytes)
    });
    segments.into_iter().chain(mixed).collect()
}

fn golden(folder: Folder, name: &str, id: u64, bytes: Vec<u8>) -> Golden {
    Golden {
        folder,
        name: name.into(),
        id: SegmentId::new(id),
        bytes,
        compression: Compression::None,
    }
}

/// A header of version 2 with the highest record limit.
pub fn header_2(id: u64, capacity: u64, alignment: Alignment) -> SegmentHeader {
    let layout = Layout {
        version: Version::V2,
        segment_len: capacity,
        alignment,
        record_limit: 0,
    };
    SegmentHeader {
        version: Version::V2,
        record_limit: layout.max_record_limit(),
        log_record_limit: layout.max_record_limit(),
        ..header(id, capacity, alignment)
    }
}

/// The first segment of a log, with an empty table.
fn first(capacity: u64, alignment: Alignment) -> Builder {
    let link = LinkBody::first(Lsn::FIRST, FIRST);
    let mut segment = Builder::new(header_2(1, capacity, alignment), &link, Lsn::ZERO);
    segment.table(&Control::default(), 0);
    segment
}

fn consumer(lsn: u64, history: History) -> Consumer {
    Consumer {
        lsn: Lsn::new(lsn),
        history,
        moved: false,
    }
}

/// The worked example of `docs/format-2.md`: one put, one delete and a consumer, cleanly closed; node 7.
pub fn worked_example() -> Vec<u8> {
    let header = SegmentHeader {
        log_id: LogId::from_bytes(std::array::from_fn(|i| 0xA0 + i as u8)),
        epoch: Epoch::new(0x0123_4567_89AB_CDEF),
        record_limit: 64 << 10,
        log_record_limit: 64 << 10,
        ..header_2(1, 1 << 20, Alignment::Eight)
    };
    let link = LinkBody::first(Lsn::FIRST, FIRST);
    let billing = ControlChange::Consumer("billing".into(), consumer(2, FIRST));
    Builder::new(header, &link, Lsn::ZERO)
        .table(&Control::default(), 0)
        .at(5)
        .records(
            &[
                RecordRef::put(b"user:1", b"Ada"),
                RecordRef::delete(b"user:1"),
            ],
            0,
        )
        .at(9)
        .change(&[billing], 2)
        .footer(SegmentId::NONE, 1)
        .bytes()
}

/// An index of two pages, of groups and of records: the LSNs of a gap do not fit in one page.
fn sealed() -> Vec<u8> {
    let value = [b'v'; 3000];
    let mut segment = first(256 << 10, Alignment::Eight);
    segment.records(&[RecordRef::data(&value); 14], 0);
    for group in 1..=6 {
        segment
            .at(group * 100)
            .records(&[RecordRef::put(b"key", &value)], 14);
    }
    segment.gap(20 + (1 << 31), 20);
    for group in 7..=10 {
        segment
            .at(group * 100)
            .records(&[RecordRef::delete(b"key"), RecordRef::data(&value)], 20);
    }
    segment.footer(SegmentId::new(2), 1).bytes()
}

/// A second group that is torn in its last record, stale bytes after it.
fn unclean() -> Vec<u8> {
    let mut segment = first(8 << 10, Alignment::Eight);
    segment.records(&[RecordRef::data(b"first"), RecordRef::data(b"second")], 0);
    segment.records(&[RecordRef::put(b"torn", &[b't'; 300])], 0);
    let torn = segment.bytes().len() - 100;
    let mut bytes = segment.bytes_in(8 << 10);
    bytes[torn..].fill(0);
    bytes[6000..7000].copy_from_slice(&super::noise(1000, 1));
    bytes
}

/// Groups at multiples of 4096 bytes, a stamp, a footer, a preallocated rest.
fn sector() -> Vec<u8> {
    first(64 << 10, Alignment::Sector4096)
        .records(&[RecordRef::put(b"k", b"v")], 0)
        .at(1000)
        .stamp(1)
        .footer(SegmentId::NONE, 1)
        .bytes_in(64 << 10)
}

/// The state that the table of `control` begins with.
pub fn control() -> Control {
    let mut control = Control::default();
    for change in [
        ControlChange::Term(7),
        ControlChange::Consumer("audit".into(), consumer(1, FIRST)),
        ControlChange::Consumer("billing".into(), consumer(0, History::NONE)),
        ControlChange::Unknown(0x85, Box::from(*b"later")),
    ] {
        control.apply(&change);
    }
    control
}

/// All changes that there are.
pub fn changes() -> [ControlChange; 6] {
    let moved = Consumer {
        moved: true,
        ..consumer(1, FIRST)
    };
    [
        ControlChange::First(Lsn::new(2)),
        ControlChange::Term(8),
        ControlChange::Consumer("billing".into(), consumer(2, FIRST)),
        ControlChange::Consumer("a consumer: \u{e4}\u{1f4d6}".into(), moved),
        ControlChange::NoConsumer("audit".into()),
        ControlChange::Unknown(0xFF, Box::from([])),
    ]
}

/// A table that is not empty, and changes of it.
fn changed() -> Vec<u8> {
    let link = LinkBody::first(Lsn::FIRST, FIRST);
    let header = header_2(1, 8 << 10, Alignment::Eight);
    let changes = changes();
    Builder::new(header, &link, Lsn::ZERO)
        .table(&control(), 0)
        .records(&[RecordRef::data(b"1"), RecordRef::data(b"2")], 0)
        .change(&changes[..3], 2)
        .records(&[RecordRef::data(b"3")], 2)
        .change(&changes[3..], 3)
        .footer(SegmentId::NONE, 2)
        .bytes()
}

/// The clock goes on, is set back by an hour, and goes on from there.
fn times() -> Vec<u8> {
    let hour = 3_600_000;
    first(8 << 10, Alignment::Eight)
        .at(hour)
        .records(&[RecordRef::data(b"ahead")], 0)
        .set_back()
        .at(600)
        .records(&[RecordRef::data(b"set back")], 1)
        .at(700)
        .records(&[RecordRef::data(b"after")], 1)
        .footer(SegmentId::NONE, 1)
        .bytes()
}

/// Something of a newer program that may be ignored: a group, a feature, and bytes in the header.
fn unknown() -> Vec<u8> {
    let mut bytes = first(8 << 10, Alignment::Eight)
        .records(&[RecordRef::data(b"1")], 0)
        .unknown(UNKNOWN, b"of a newer program", 1)
        .records(&[RecordRef::data(b"2")], 1)
        .footer(SegmentId::NONE, 1)
        .bytes();
    bytes[8..12].fill(0);
    bytes[96] = 1;
    bytes[2048..2052].copy_from_slice(b"more");
    let checksum = crc32(&bytes[..4096]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A segment that was whole before it got its name.
fn copy(id: u64) -> SegmentHeader {
    SegmentHeader {
        origin: Origin::Copy,
        ..header_2(id, 8 << 10, Alignment::Eight)
    }
}

/// The link of a copy that goes on after LSN 2 of segment 1.
fn copy_link(cause: LinkCause, kept: u64, copied: &[Stretch]) -> LinkBody {
    LinkBody {
        predecessor: SegmentId::FIRST,
        predecessor_epoch: header(1, 8 << 10, Alignment::Eight).epoch,
        end_lsn: Lsn::new(2),
        end_offset: Offset::new(4936),
        log_first: Lsn::FIRST,
        end_digest: 0x0BAD_CAFE,
        cause,
        kept: Lsn::new(kept),
        histories: Histories::after(History::NONE, copied, SECOND),
    }
}

fn stretch(to: u64, history: History) -> Stretch {
    Stretch {
        to: Lsn::new(to),
        history,
    }
}

/// Copies a record of segment 1 into the open group.
fn push_copy(segment: &mut Builder, lsn: u64) {
    let old = header(1, 8 << 10, Alignment::Eight);
    let mask = old.salt().record_mask(Lsn::new(lsn), Offset::new(5000));
    let record = RecordRef::put(b"tail", b"unproven");
    let record = EncodedRecord::new(record, InBatch::Last, NOW, old.record_limit).unwrap();
    let mut stored = Vec::new();
    record.write_to(&mut stored, mask);
    segment.groups.push_stored(&stored, mask);
}

/// Records of version 1, of one history and of another: copies, and the one to come.
fn recovered() -> Vec<u8> {
    let copied = [stretch(3, History::NONE), stretch(4, FIRST)];
    let link = copy_link(LinkCause::Recovered, 0, &copied);
    let mut segment = Builder::new(copy(2), &link, Lsn::new(2));
    segment.table(&control(), 2);
    push_copy(&mut segment, 3);
    push_copy(&mut segment, 4);
    segment.groups.set_time(UnixMillis::new(NOW.get() + 20));
    segment.groups.close_group(Lsn::new(2));
    segment
        .at(30)
        .stamp(4)
        .records(&[RecordRef::data(b"new")], 4);
    segment.bytes_in(8 << 10)
}

/// What `truncate_after(3)` leaves. A consumer was above it.
fn truncated() -> Vec<u8> {
    let link = copy_link(LinkCause::TruncatedAfter, 3, &[stretch(3, FIRST)]);
    let mut state = control();
    state.apply(&ControlChange::Consumer(
        "billing".into(),
        consumer(9, FIRST),
    ));
    state.truncate_after(Lsn::new(3), FIRST);
    let mut segment = Builder::new(copy(2), &link, Lsn::new(2));
    segment.table(&state, 2);
    push_copy(&mut segment, 3);
    segment.groups.set_time(NOW);
    segment.groups.close_group(Lsn::new(2));
    segment.stamp(3).bytes_in(8 << 10)
}

/// What a repair makes of LSN 3 to 6 when only 5 could be read.
fn repaired() -> Vec<u8> {
    let link = copy_link(LinkCause::Repaired, 0, &[stretch(6, FIRST)]);
    let mut segment = Builder::new(copy(3), &link, Lsn::new(2));
    segment.table(&Control::default(), 2).gap(4, 2);
    push_copy(&mut segment, 5);
    segment.groups.set_time(NOW);
    segment.gap(6, 2).stamp(6).bytes_in(8 << 10)
}

/// A file that takes the place of segment 4. It has a capacity of its own.
fn replacement() -> Vec<u8> {
    let log = header_2(1, 1 << 20, Alignment::Eight);
    let header = SegmentHeader {
        origin: Origin::Replacement,
        replaces: Some(Epoch::new(44)),
        log_capacity: log.capacity,
        log_record_limit: log.record_limit,
        ..header_2(4, 8 << 10, Alignment::Eight)
    };
    let link = copy_link(LinkCause::Repaired, 0, &[]);
    let mut segment = Builder::new(header, &link, Lsn::new(2));
    segment.table(&control(), 2);
    push_copy(&mut segment, 3);
    segment.groups.set_time(NOW);
    segment.gap(5, 2).footer(SegmentId::new(5), 1).bytes()
}

/// A log goes on in its reserve: the newest record is copied, a truncation has its record before it, and a small record follows.
/// New segments of the log would be shorter than the file.
fn in_reserve() -> Vec<u8> {
    let log = header_2(1, 8 << 10, Alignment::Eight);
    let header = SegmentHeader {
        origin: Origin::Reserve,
        log_capacity: log.capacity,
        log_record_limit: log.record_limit,
        ..header_2(5, 32 << 10, Alignment::Eight)
    };
    let link = copy_link(LinkCause::Rotated, 0, &[stretch(3, FIRST)]);
    let mut segment = Builder::new(header, &link, Lsn::new(2));
    segment.table(&control(), 2);
    push_copy(&mut segment, 3);
    segment.groups.set_time(NOW);
    segment.groups.close_group(Lsn::new(2));
    segment
        .stamp(3)
        .records(&[RecordRef::data(b"LSN 1 and 2 go")], 3)
        .change(&[ControlChange::First(Lsn::new(3))], 3)
        .records(&[RecordRef::data(b"small")], 4);
    segment.bytes_in(32 << 10)
}

/// The link of a segment that goes on where `before` ends now.
fn link_to(before: &Builder, cause: LinkCause, log_first: u64, histories: Histories) -> LinkBody {
    LinkBody {
        predecessor: before.header.segment_id,
        predecessor_epoch: before.header.epoch,
        end_lsn: before.groups.next_lsn().prev(),
        end_offset: before.groups.end(),
        log_first: Lsn::new(log_first),
        end_digest: before.groups.previous(),
        cause,
        kept: Lsn::ZERO,
        histories,
    }
}

/// A log of four segments: two of version 1, closed, then two of version 2, closed. LSN 2 is its first, 12 its last.
fn mixed() -> [Vec<u8>; 4] {
    let numbered = |from: u8, to: u8| -> Vec<Vec<u8>> {
        let numbers = from..=to;
        numbers.map(|n| format!("record {n}").into()).collect()
    };
    let add = |segment: &mut Builder, values: &[Vec<u8>], watermark| {
        let records: Vec<_> = values.iter().map(|value| RecordRef::data(value)).collect();
        segment.records(&records, watermark);
    };
    let like = |header: SegmentHeader| SegmentHeader {
        record_limit: 4096,
        log_record_limit: 4096,
        ..header
    };
    let of_1 = |id| like(header(id, 64 << 10, Alignment::Eight));
    let of_2 = |id| like(header_2(id, 64 << 10, Alignment::Eight));

    let mut one = Builder::new(
        of_1(1),
        &LinkBody::first(Lsn::FIRST, History::NONE),
        Lsn::ZERO,
    );
    add(&mut one, &numbered(1, 4), 0);
    let link = link_to(&one, LinkCause::Rotated, 1, Histories::unknown());
    let mut two = Builder::new(of_1(2), &link, Lsn::new(4));
    add(&mut two, &numbered(5, 6), 4);
    two.cut(2, 6);
    one.footer(SegmentId::new(2), 1);

    let histories = Histories::after(History::NONE, &[], FIRST);
    let link = link_to(&two, LinkCause::Reopened, 2, histories);
    let mut three = Builder::new(of_2(3), &link, Lsn::new(6));
    two.footer(SegmentId::NONE, 2);
    let billing = ControlChange::Consumer("billing".into(), consumer(7, FIRST));
    three.table(&Control::default(), 6).at(1000);
    add(&mut three, &numbered(7, 8), 6);
    three.at(2000).change(&[billing], 8).at(3000);
    add(&mut three, &numbered(9, 10), 8);
    let histories = Histories::after(FIRST, &[], FIRST);
    let link = link_to(&three, LinkCause::Rotated, 2, histories);
    let mut four = Builder::new(of_2(4), &link, Lsn::new(10));
    let mut state = Control::default();
    state.apply(&ControlChange::Consumer(
        "billing".into(),
        consumer(7, FIRST),
    ));
    four.table(&state, 10).at(4000);
    three.footer(SegmentId::new(4), 2);
    add(&mut four, &numbered(11, 12), 10);
    four.footer(SegmentId::NONE, 2);
    [one, two, three, four].map(|segment| segment.bytes())
}
