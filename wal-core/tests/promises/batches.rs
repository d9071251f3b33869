//! Batches: all or none, whole in one segment, nothing in between; and watermarks, which stand only at their ends.

use std::collections::BTreeSet;
use std::thread;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn, Record, SegmentId};
use wal_format::{FileName, InBatch, SegmentView};
use wal_io::fault::Seeded;

use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, batch, large, policies, read_all,
};

#[test]
fn a_batch_is_whole_or_not_there_after_a_crash() {
    const EACH: u64 = 4;
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        for round in 0..12 {
            // A batch covers several sectors.
            let first = round * EACH + 1;
            let records: Vec<_> = (first..first + EACH)
                .map(|n| Record::data(large(n, 350)))
                .collect();
            wal.append_batch(&records).expect("appended");
            if round % 3 == 0 {
                wal.flush().expect("flushed");
            }
        }
        wal.flush().expect("flushed");
        let durable = wal.durable_lsn().get();
        assert_eq!(durable % EACH, 0);
        for seed in 0..200 {
            let mut after = Machine::new(policy).segments_of(SMALL);
            after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let records = read_all(&after.open()).expect("the log is read");
            assert_eq!(records.len() as u64 % EACH, 0, "seed {seed}");
            assert!(records.len() as u64 >= durable, "seed {seed}");
            for (lsn, value) in records {
                assert_eq!(value, large(lsn, 350), "LSN {lsn}, seed {seed}");
            }
        }
    }
}

/// Payload of a record of the batch `number` of a thread: which one, and how many there are.
fn part(thread: u64, number: u64, at: u64, of: u64) -> Vec<u8> {
    format!("{thread} {number} {at} {of} {}", "y".repeat(60)).into_bytes()
}

fn parse(value: &[u8]) -> [u64; 4] {
    let text = std::str::from_utf8(value).expect("text");
    let mut words = text.split(' ').map(|word| word.parse().unwrap_or(u64::MAX));
    std::array::from_fn(|_| words.next().expect("four numbers"))
}

/// Appends batches of 1 to 9 records from four threads; each is where its answer says.
fn append_from_threads(wal: &Wal, rounds: u64) {
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for round in 0..rounds {
                    let count = 1 + (number * 5 + round) % 9;
                    let records: Vec<_> = (0..count)
                        .map(|at| Record::data(part(number, round, at, count)))
                        .collect();
                    let appended = wal.append_batch(&records).expect("appended");
                    let (first, last) = (appended.first.lsn.get(), appended.last_lsn.get());
                    assert_eq!(last + 1 - first, count);
                    let mut reader = wal.read_from(appended.first).expect("a reader");
                    let (record, _) = reader.next_record().expect("read").expect("a record");
                    assert_eq!(parse(&record.value), [number, round, 0, count]);
                }
            });
        }
    });
}

#[test]
fn a_batch_is_in_one_segment_and_not_interleaved() {
    const ROUNDS: u64 = 60;
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL).buffers_of(4 << 10);
        let wal = machine.open_with_threads();
        append_from_threads(&wal, ROUNDS);
        assert!(wal.list_segments().expect("segments").len() > 5);
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        let mut batches = 0;
        while let Some((record, position)) = reader.next_record().expect("read") {
            let [thread, number, at, of] = parse(&record.value);
            assert_eq!(at, 0, "{position}: a batch begins in its middle");
            for at in 1..of {
                let (record, next) = reader.next_record().expect("read").expect("a record");
                assert_eq!(parse(&record.value), [thread, number, at, of], "{next}");
                assert_eq!(next.segment_id, position.segment_id, "{next}");
            }
            batches += 1;
        }
        assert_eq!(batches, 4 * ROUNDS);
    }
}

/// The LSNs at which batches end, and the watermarks that stand anywhere.
fn ends_and_watermarks(machine: &Machine) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut ends = BTreeSet::from([0]);
    let mut watermarks = BTreeSet::new();
    for (name, bytes) in machine.segments() {
        let FileName::Segment(id) = FileName::parse(&name) else {
            panic!("{name} is no segment");
        };
        let view = SegmentView::parse(&bytes, id).expect("a segment");
        for group in view.groups() {
            let group = group.expect("a valid group");
            watermarks.insert(group.header.watermark.get());
            for (lsn, _, record) in group.records() {
                if record.in_batch() == InBatch::Last {
                    ends.insert(lsn.get());
                }
            }
        }
    }
    (ends, watermarks)
}

#[test]
fn watermarks_stand_only_at_batch_ends() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL).buffers_of(4 << 10);
        let wal = machine.open_with_threads();
        append_from_threads(&wal, 60);
        wal.sync().expect("synced");
        append_from_threads(&wal, 20);
        wal.close().expect("closed");
        let (ends, watermarks) = ends_and_watermarks(&machine);
        assert!(watermarks.len() > 3, "{policy:?}: {watermarks:?}");
        let elsewhere: Vec<_> = watermarks.difference(&ends).collect();
        assert!(elsewhere.is_empty(), "{policy:?}: {elsewhere:?}");
    }
}

#[test]
fn a_watermark_is_never_ahead_of_what_a_sync_has_covered() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        for round in 0..20 {
            let first = round * 5 + 1;
            append(&wal, first..=first + 1);
            wal.append_batch(&batch(first + 2..=first + 4))
                .expect("appended");
            if round % 4 == 1 {
                machine.pass(&wal, WINDOW);
            } else {
                wal.flush().expect("flushed");
            }
            let (_, watermarks) = ends_and_watermarks(&machine);
            let highest = watermarks.last().copied().unwrap_or(0);
            assert!(highest <= wal.durable_lsn().get(), "{policy:?}");
        }
        machine.lose_unsynced();
        let wal = machine.open();
        let last = wal.last_lsn().get();
        assert_holds(&wal, 1..=last);
    }
}

#[test]
fn the_durable_lsn_stands_only_at_batch_ends() {
    const EACH: u64 = 5;
    let machine = Machine::new(FsyncPolicy::Batch(std::time::Duration::from_micros(200)))
        .segments_of(SMALL)
        .buffers_of(4 << 10);
    let wal = machine.open_with_threads();
    thread::scope(|scope| {
        let threads = [(); 3].map(|()| {
            scope.spawn(|| {
                for _ in 0..200 {
                    wal.append_batch(&batch(1..=EACH)).expect("appended");
                }
            })
        });
        let mut before = 0;
        while threads.iter().any(|thread| !thread.is_finished()) {
            let durable = wal.durable_lsn().get();
            assert_eq!(durable % EACH, 0);
            assert!(durable >= before, "it went back");
            before = durable;
            thread::yield_now();
        }
    });
    assert_eq!(wal.last_lsn().get(), 3 * 200 * EACH);
}

#[test]
fn a_batch_that_does_not_fit_goes_to_the_next_segment_whole() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let mut segments = BTreeSet::new();
    let mut n = 0;
    while segments.len() < 4 {
        let records: Vec<_> = (0..3).map(|at| Record::data(large(n + at, 300))).collect();
        let appended = wal.append_batch(&records).expect("appended");
        n += 3;
        let mut reader = wal
            .read_segment(appended.first.segment_id)
            .expect("a reader");
        let last = std::iter::from_fn(|| reader.next_record().expect("read")).last();
        let (_, last) = last.expect("a record");
        assert_eq!(last.lsn, appended.last_lsn);
        segments.insert(appended.first.segment_id);
    }
    assert!(segments.contains(&SegmentId::FIRST));
}
