//! A record in the middle of a segment is found by the index and the lengths of the few records before it, none of which is
//! verified or believed: what is returned verifies in its place.

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Error, FormatVersion, FsyncPolicy, Lsn, Position, RecordRef, Result};
use wal_io::fault::OperationKind;

use crate::common::trace::{Trace, segment};
use crate::common::watched::Watched;
use crate::common::{Machine, append, large, payload};

/// A closed log of one segment, whose groups have 40 records each.
fn groups() -> (Machine, Vec<Position>) {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    let mut positions = Vec::new();
    for n in 1..=200 {
        let position = wal.append(RecordRef::data(&payload(n))).expect("appended");
        positions.push(position);
        if n % 40 == 0 {
            wal.flush().expect("flushed");
        }
    }
    wal.close().expect("closed");
    (machine, positions)
}

fn read_on(wal: &Wal, start: u64) -> Vec<Result<(u64, Vec<u8>)>> {
    let reader = wal.read_from(Lsn::new(start)).expect("a reader");
    reader
        .map(|step| step.map(|(record, position)| (position.lsn.get(), record.value.to_vec())))
        .collect()
}

#[track_caller]
fn assert_reads(wal: &Wal, start: u64) {
    let read: Result<Vec<_>> = read_on(wal, start).into_iter().collect();
    let expected: Vec<_> = (start..=200).map(|n| (n, payload(n))).collect();
    assert_eq!(read.expect("no damage"), expected, "from {start}");
}

#[test]
fn every_record_is_found_and_read_on_from() {
    let (machine, positions) = groups();
    for wal in [machine.open(), machine.look().expect("opened")] {
        for position in &positions {
            assert_reads(&wal, position.lsn.get());
        }
    }
}

#[test]
fn damage_to_a_record_does_not_hide_those_behind_it_from_who_asks_for_them() {
    let (machine, positions) = groups();
    let hit = positions[50];
    // In its payload.
    let bit = (hit.offset.get() + 8) * 8;
    let name = segment(hit.segment_id.get());
    machine.storage.flip_bits(&name, bit, 1).expect("a bit");
    for wal in [machine.open(), machine.look().expect("opened")] {
        for position in &positions {
            let start = position.lsn.get();
            if position.lsn > hit.lsn {
                assert_reads(&wal, start);
                continue;
            }
            let read = read_on(&wal, start);
            let (last, before) = read.split_last().expect("the error at least");
            let lsns: Vec<u64> = before.iter().flatten().map(|(lsn, _)| *lsn).collect();
            assert_eq!(lsns, (start..hit.lsn.get()).collect::<Vec<_>>());
            assert!(matches!(last, Err(Error::Corruption(found)) if found.offset == hit.offset));
        }
    }
}

#[test]
fn damage_to_a_length_on_the_way_is_reported_where_it_is() {
    let (machine, positions) = groups();
    let hit = positions[50];
    // Its length: every record behind it in the group seems to be elsewhere.
    let bit = (hit.offset.get() + 5) * 8;
    let name = segment(hit.segment_id.get());
    machine.storage.flip_bits(&name, bit, 1).expect("a bit");
    for wal in [machine.open(), machine.look().expect("opened")] {
        for position in &positions {
            let start = position.lsn.get();
            match read_on(&wal, start).last() {
                // Whatever group it is in.
                Some(Ok((200, _))) if start > 80 => assert_reads(&wal, start),
                Some(Err(Error::Corruption(found))) if start <= 80 => {
                    assert_eq!(found.offset, hit.offset, "from {start}");
                }
                other => panic!("from {start}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_record_is_found_by_its_lsn_with_a_page_and_one_more_read() {
    let open = |machine: &Machine| {
        let builder = Wal::builder("log")
            .storage(Arc::new(machine.storage.clone()))
            .config(machine.config.clone())
            .format_version(FormatVersion::V2)
            .driven_by_caller();
        builder.open().expect("the log opens")
    };
    for (len, at_once) in [(100, 5000), (1024, 900), (100, 1), (1024, 1)] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(2 << 20);
        let wal = open(&machine);
        let count = 6_000_000 / len;
        for n in 1..=count {
            wal.append(RecordRef::data(&large(n, len as usize)))
                .expect("appended");
            if n % at_once == 0 {
                wal.flush().expect("flushed");
            }
        }
        wal.flush().expect("flushed");
        let segments = wal.list_segments().expect("segments");
        assert!(segments.len() > 3);
        let active = segments[segments.len() - 1];
        let first = wal.read_segment(active).expect("a reader").next();
        let first = first.expect("a record").expect("read").1.lsn.get();
        let most = |wal: &Wal, from: u64, to: u64| {
            let reads = |lsn| {
                machine.storage.record_operations();
                let record = wal.read_from(Lsn::new(lsn)).expect("a reader").next();
                let (record, position) = record.expect("a record").expect("read");
                assert_eq!(position.lsn.get(), lsn);
                assert_eq!(record.value, large(lsn, len as usize));
                Trace::of(&machine.storage).count(OperationKind::Read)
            };
            (from..to).step_by(257).map(reads).max()
        };
        // The places in the active segment are in memory.
        assert_eq!(most(&wal, first, count), Some(1), "{len} bytes");
        wal.close().expect("closed");
        let wal = open(&machine);
        for segment in segments {
            // Its footer is read once.
            let reader = wal.read_segment(segment).expect("a reader").nth(1);
            let lsn = reader.expect("a record").expect("read").1.lsn;
            wal.read_from(lsn).expect("a reader").next();
        }
        assert_eq!(most(&wal, 2, count), Some(2), "{len} bytes");
    }
}

#[test]
fn a_record_in_the_middle_costs_no_large_read() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(1 << 20);
    let wal = machine.open();
    append(&wal, 1..=1);
    for n in 2..=3000 {
        wal.append(RecordRef::data(&large(n, 900)))
            .expect("appended");
    }
    assert!(wal.list_segments().expect("segments").len() > 2);
    wal.close().expect("closed");
    let watched = Watched::new(&machine.storage);
    let wal = Wal::builder("log")
        .storage(Arc::new(watched.clone()))
        .read_only()
        .open()
        .expect("opened");
    for lsn in [2, 500, 1700, 2500, 3000] {
        let mut reader = wal.read_from(Lsn::new(lsn)).expect("a reader");
        let (record, position) = reader.next_record().expect("no error").expect("a record");
        assert_eq!(position.lsn.get(), lsn);
        assert_eq!(record.value, large(lsn, 900));
    }
    let largest = watched.largest_read();
    assert!(largest <= 64 << 10, "{largest} bytes at a time");
    // Who reads on reads more at a time.
    assert_eq!(wal.read_from(Lsn::new(2)).expect("a reader").count(), 2999);
    assert!(watched.largest_read() > 128 << 10);
}
