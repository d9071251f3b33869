//! The writer of groups, one case each.

mod support;

use support::{Builder, NOW, frame};
use wal_format::{
    Alignment, EncodedRecord, Epoch, Frame, GroupHeader, GroupWriter, InBatch, Lsn, Offset,
    RecordRef, RecordsCursor, SegmentId,
};

const EPOCH: Epoch = Epoch::new(77);
const PLACE: Offset = Offset::new(8192);

fn here() -> Frame {
    frame(EPOCH, Alignment::Eight)
}

fn record(payload: &[u8], in_batch: InBatch) -> EncodedRecord<'_> {
    EncodedRecord::new(RecordRef::data(payload), in_batch, NOW, 1 << 20).unwrap()
}

#[test]
fn the_writer_says_where_a_group_would_end() {
    for align in [
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ] {
        let mut writer = GroupWriter::new(frame(EPOCH, align), 0);
        writer.reset(frame(EPOCH, align), PLACE, 0, Lsn::FIRST);
        assert!(writer.is_empty() && writer.open_group_start().is_none());
        let one = record(&[1; 500], InBatch::Last);
        for _ in 0..3 {
            let room = writer.room_for(one.len());
            writer.push(&one);
            assert_eq!(writer.end().get(), room);
            assert_eq!(writer.open_group_start(), Some((Lsn::FIRST, PLACE)));
        }
        let end = writer.end();
        let checksum = writer.close_group(Lsn::ZERO);
        assert_eq!((writer.end(), writer.previous()), (end, checksum));
        assert_eq!(PLACE.get() + writer.len() as u64, end.get());
        assert_eq!((writer.records(), writer.next_lsn().get()), (3, 4));
        assert_eq!(writer.close_group(Lsn::ZERO), checksum, "nothing is open");
    }
}

#[test]
fn the_writer_starts_anew_and_gives_memory_back() {
    let mut writer = GroupWriter::new(here(), 64);
    writer.reset(here(), PLACE, 1, Lsn::new(5));
    writer.push(&record(&[1; 16_000], InBatch::Last));
    writer.reset(here(), Offset::new(16384), 2, Lsn::new(9));
    writer.shrink_to(64);
    assert!(writer.is_empty() && writer.records() == 0);
    assert_eq!((writer.start().get(), writer.next_lsn().get()), (16384, 9));
    assert_eq!(writer.previous(), 2);
}

#[test]
#[should_panic(expected = "nothing follows a footer")]
fn nothing_is_written_behind_a_footer() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    segment.footer(SegmentId::NONE, 1);
    segment.groups.push(&record(b"late", InBatch::Last));
}

#[test]
#[should_panic(expected = "durable groups only")]
fn a_footer_does_not_prove_records_of_its_own_write() {
    let mut segment = Builder::first(8192, Alignment::Eight);
    segment.groups.push(&record(b"open", InBatch::Last));
    segment.footer(SegmentId::NONE, 1);
}

#[test]
#[should_panic(expected = "a watermark is about earlier groups")]
fn a_group_does_not_prove_itself() {
    Builder::first(8192, Alignment::Eight).records(&[RecordRef::data(b"")], 1);
}

#[test]
fn stored_records_are_copied_to_another_place() {
    let old = here().salt.record_mask(Lsn::new(10), Offset::new(5000));
    let mut stored = Vec::new();
    record(b"copied", InBatch::Last).write_to(&mut stored, old);

    let (epoch, place) = (Epoch::new(78), Offset::new(4608));
    let frame = frame(epoch, Alignment::Sector512);
    let mut writer = GroupWriter::new(frame, 0);
    writer.reset(frame, place, 3, Lsn::new(10));
    assert_eq!(
        writer.push_stored(&stored, old),
        (Lsn::new(10), Offset::new(4608 + 64))
    );
    writer.close_group(Lsn::new(9));

    let (header, _) = GroupHeader::decode(writer.bytes(), frame, place).unwrap();
    let mut cursor = RecordsCursor::new(&header, frame, 1 << 20).unwrap();
    assert!(cursor.step(&writer.bytes()[64..]).unwrap().is_some());
    assert_eq!(cursor.step(&[]), Ok(None));
}
