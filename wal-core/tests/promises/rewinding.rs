//! `truncate_after` is all or nothing, durable when it returns, and LSNs that it frees are never mixed up.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef, Result};
use wal_format::{FileName, HEADER_LEN, Origin, SegmentHeader, SegmentId};
use wal_io::Storage;
use wal_io::fault::{
    DirectoryOrder, Fault, FaultConfig, Moment, OperationKind, Seeded, SystemError,
};

use crate::common::trace::{Trace, segment};
use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, batch, payload, policies, read_all, until,
};

/// What the record of operations calls the log's directory.
const DIRECTORY: &str = "fault:/log";

#[track_caller]
fn is_cut<T: std::fmt::Debug>(outcome: Result<T>, at: u64) {
    match outcome {
        Err(Error::Truncated {
            kept: Some(kept), ..
        }) => assert_eq!(kept.get(), at),
        other => panic!("expected Truncated after {at}, got {other:?}"),
    }
}

/// The payload of record `n` of a second life.
fn again(n: u64) -> Vec<u8> {
    format!("again {n}").into_bytes()
}

fn append_again(wal: &Wal, lsns: std::ops::RangeInclusive<u64>) {
    for n in lsns {
        let position = wal.append(RecordRef::data(&again(n))).expect("appended");
        assert_eq!(position.lsn.get(), n);
    }
}

/// The log holds records of the first life up to `kept`, then ones of the second up to `last`.
#[track_caller]
fn assert_cut(wal: &Wal, first: u64, kept: u64, last: u64) {
    let expected: Vec<(u64, Vec<u8>)> = (first..=kept)
        .map(|n| (n, payload(n)))
        .chain((kept + 1..=last).map(|n| (n, again(n))))
        .collect();
    assert_eq!(read_all(wal).expect("the log is read"), expected);
    assert_eq!(
        (wal.first_lsn().get(), wal.last_lsn().get()),
        (first, last.max(kept))
    );
}

/// 200 records in several segments: alone, in batches, in groups of all sizes.
fn fill(wal: &Wal) -> u64 {
    let mut next = 1;
    for round in 0_u64.. {
        let count = 1 + round % 5;
        if next + count > 201 {
            append(wal, next..=200);
            break;
        }
        if round % 2 == 0 {
            append(wal, next..=next + count - 1);
        } else {
            wal.append_batch(&batch(next..=next + count - 1))
                .expect("appended");
        }
        if round % 3 == 0 {
            wal.flush().expect("flushed");
        }
        next += count;
    }
    200
}

#[test]
fn truncate_after_keeps_its_lsn_and_gives_the_later_ones_again() {
    for policy in policies() {
        for kept in (0..=200).step_by(7).chain([1, 199, 200]) {
            let machine = Machine::new(policy).segments_of(SMALL);
            let wal = machine.open();
            fill(&wal);
            wal.truncate_after(Lsn::new(kept)).expect("truncated");
            assert_eq!(wal.last_lsn().get(), kept, "{policy:?}");
            assert_cut(&wal, 1, kept, kept);
            append_again(&wal, kept + 1..=kept + 30);
            assert_cut(&wal, 1, kept, kept + 30);
            wal.close().expect("closed");
            assert!(
                machine
                    .verify()
                    .expect("verified")
                    .damage()
                    .next()
                    .is_none(),
                "{policy:?}, {kept}"
            );
            let wal = machine.open();
            assert!(wal.recovery_report().clean);
            assert_cut(&wal, 1, kept, kept + 30);
        }
    }
}

#[test]
fn a_closed_log_is_truncated_as_well() {
    for kept in [0, 1, 57, 199] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        fill(&wal);
        wal.close().expect("closed");
        let wal = machine.open();
        wal.truncate_after(Lsn::new(kept)).expect("truncated");
        append_again(&wal, kept + 1..=kept + 3);
        assert_cut(&wal, 1, kept, kept + 3);
        drop(wal);
        assert_cut(&machine.open(), 1, kept, kept + 3);
    }
}

#[test]
fn truncations_of_both_ends_go_together() {
    let machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    wal.truncate_before(Lsn::new(50)).expect("truncated");
    wal.truncate_after(Lsn::new(120)).expect("truncated");
    assert_cut(&wal, 50, 120, 120);
    match wal.truncate_after(Lsn::new(48)) {
        Err(Error::Truncated { first, kept: None }) => assert_eq!(first.get(), 50),
        other => panic!("expected Truncated, got {other:?}"),
    }
    assert!(matches!(
        wal.truncate_after(Lsn::new(121)),
        Err(Error::NotAppended { .. })
    ));
    assert_cut(&wal, 50, 120, 120);
    wal.truncate_before(Lsn::new(100)).expect("truncated");
    // The one before the first, and 0, leave nothing.
    wal.truncate_after(Lsn::new(99)).expect("truncated");
    assert_cut(&wal, 100, 99, 99);
    append_again(&wal, 100..=110);
    wal.truncate_after(Lsn::ZERO).expect("truncated");
    assert_eq!(wal.first_lsn().get(), 100);
    append_again(&wal, 100..=100);
    wal.truncate_before(Lsn::new(101)).expect("truncated");
    drop(wal);
    let wal = machine.open();
    assert_eq!((wal.first_lsn().get(), wal.last_lsn().get()), (101, 100));
}

#[test]
fn truncate_after_is_all_or_nothing_and_durable_when_it_returns() {
    for policy in policies() {
        for kept in [0, 5, 60, 61, 62, 63, 150] {
            let mut survived = [0, 0];
            for change in 0.. {
                let mut over = false;
                for (moment, seed) in [(Moment::Before, 1), (Moment::During, 2), (Moment::After, 3)]
                {
                    let mut machine = Machine::new(policy).segments_of(SMALL);
                    let wal = machine.open();
                    fill(&wal);
                    wal.sync().expect("synced");
                    let cut = Fault::power_cut(moment).after(change);
                    machine.storage.inject(cut);
                    let outcome = wal.truncate_after(Lsn::new(kept));
                    machine.storage.clear_faults();
                    over |= outcome.is_ok();
                    machine.storage = machine.storage.crash(&mut Seeded::streaky(seed + change));
                    let wal = machine.open();
                    let last = wal.last_lsn().get();
                    assert!(last == kept || (last == 200 && outcome.is_err()), "{last}");
                    survived[usize::from(last == 200)] += 1;
                    assert_cut(&wal, 1, last, last);
                    // And it stays so.
                    append_again(&wal, last + 1..=last + 2);
                    wal.sync().expect("synced");
                    machine.lose_unsynced();
                    assert_cut(&machine.open(), 1, last, last + 2);
                }
                if over {
                    break;
                }
            }
            assert!(survived.into_iter().all(|count| count > 2), "{survived:?}");
        }
    }
}

#[test]
fn truncate_after_makes_what_stays_durable() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    wal.truncate_after(Lsn::new(190)).expect("truncated");
    assert_eq!(wal.durable_lsn().get(), 190);
    machine.lose_unsynced();
    assert_cut(&machine.open(), 1, 190, 190);
}

#[test]
fn the_rename_is_the_truncation() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    let old = wal.list_segments().expect("segments");
    machine.storage.record_operations();
    wal.truncate_after(Lsn::new(30)).expect("truncated");
    let trace = Trace::of(&machine.storage);
    let new = segment(
        wal.list_segments()
            .expect("segments")
            .last()
            .expect("one")
            .get(),
    );
    let rename = trace.renamed_to(&new).expect("it got its name");
    let synced = trace.first(OperationKind::SyncDirectory, DIRECTORY, rename);
    let mut before = synced.expect("the directory is synced");
    let kept = wal.list_segments().expect("segments");
    for gone in old.iter().rev().filter(|id| !kept.contains(id)) {
        let removed = trace.first(OperationKind::Remove, &segment(gone.get()), 0);
        let removed = removed.expect("a superseded file goes");
        assert!(removed > before, "newest first, and not before");
        before = removed;
    }
}

#[test]
fn who_waits_for_a_removed_record_is_told() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open_with_threads();
    append(&wal, 1..=10);
    drop(wal);
    let wal = wal_core::Wal::builder("log")
        .storage(Arc::new(machine.storage.clone()))
        .small_segments();
    let mut context = Context::from_waker(Waker::noop());
    let wal = finish(wal.open());
    let wal = wal.expect("opened");
    for n in 11..=20 {
        finish(wal.append(RecordRef::data(&payload(n)))).expect("appended");
    }
    let mut removed = pin!(wal.wait_durable(Lsn::new(15)));
    let mut stays = pin!(wal.wait_durable(Lsn::new(12)));
    let mut synced = pin!(wal.sync());
    assert!(synced.as_mut().poll(&mut context).is_pending());
    assert!(removed.as_mut().poll(&mut context).is_pending());
    assert!(stays.as_mut().poll(&mut context).is_pending());
    finish(wal.truncate_after(Lsn::new(14))).expect("truncated");
    // The LSN is given again, to another record, before the waiter looks.
    finish(wal.durable().append(RecordRef::data(b"another"))).expect("appended");
    is_cut(finish(removed), 14);
    finish(stays).expect("durable");
    finish(synced).expect("what is in the log is durable");
}

#[test]
fn a_truncation_whose_future_is_dropped_is_carried_through() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    append(&machine.open(), 1..=20);
    let builder = wal_core::Wal::builder("log")
        .storage(Arc::new(machine.storage.clone()))
        .small_segments();
    let wal = finish(builder.open()).expect("opened");
    {
        let mut dropped = pin!(wal.truncate_after(Lsn::new(10)));
        let mut context = Context::from_waker(Waker::noop());
        let _ = dropped.as_mut().poll(&mut context);
    }
    drop(wal);
    assert_holds(&machine.open(), 1..=10);
}

/// Polls until it is ready.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_of_a_removed_record_is_told() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    let at = |lsn: u64| {
        let mut reader = wal.read_from(Lsn::new(90)).expect("a reader");
        for _ in 90..=lsn {
            reader.next_record().expect("read").expect("a record");
        }
        reader
    };
    let (mut ahead, mut there, mut before) = (at(105), at(104), at(91));
    wal.truncate_after(Lsn::new(104)).expect("truncated");
    append_again(&wal, 105..=200);
    is_cut(ahead.next_record(), 104);
    assert!(ahead.next_record().expect("it has ended").is_none());
    for (reader, from) in [(&mut there, 105), (&mut before, 92)] {
        for n in from..=200 {
            let (record, position) = reader.next_record().expect("read").expect("a record");
            assert_eq!(position.lsn.get(), n);
            let expected = if n > 104 { again(n) } else { payload(n) };
            assert_eq!(record.value, expected, "LSN {n}");
        }
    }
}

#[test]
fn a_reader_of_another_handle_never_goes_on_with_another_history() {
    // It hears of the truncation when it looks for more: at the latest at the end of its segment.
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    let look = machine.look().expect("opened");
    let mut told = 0;
    for start in [106, 1, 90, 100, 104, 105, 150, 200] {
        let mut reader = look.read_from(Lsn::new(start)).expect("a reader");
        reader.next_record().expect("read").expect("a record");
        let before = wal.last_lsn().get();
        if before == 200 && start == 106 {
            wal.truncate_after(Lsn::new(104)).expect("truncated");
            append_again(&wal, 105..=300);
        }
        let (mut old, mut new) = (start > 104, false);
        loop {
            match reader.next_record() {
                Ok(Some((record, position))) => {
                    let n = position.lsn.get();
                    old |= n > 104 && record.value == payload(n);
                    new |= n > 104 && record.value == again(n);
                    assert!(n <= 104 || old || new, "LSN {n}");
                }
                Ok(None) => break,
                outcome => {
                    is_cut(outcome, 104);
                    told += 1;
                    break;
                }
            }
        }
        assert!(!(old && new) || start > 104, "from {start}: both histories");
    }
    assert!(told > 0);
}

#[test]
fn a_position_of_a_removed_record_leads_to_the_one_that_has_its_lsn_now() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=99);
    let old = wal
        .append(RecordRef::data(&payload(100)))
        .expect("appended");
    wal.truncate_after(Lsn::new(99)).expect("truncated");
    append_again(&wal, 100..=100);
    let mut reader = wal.read_from(old).expect("a reader");
    let (record, position) = reader.next_record().expect("read").expect("a record");
    assert_eq!(
        (position.lsn, &record.value[..]),
        (old.lsn, &again(100)[..])
    );
    assert_ne!(position.segment_id, old.segment_id);
}

#[test]
fn a_truncation_that_cannot_be_made_changes_nothing() {
    for (kind, error) in [
        (OperationKind::Open, SystemError::TooManyOpenFiles),
        (OperationKind::Allocate, SystemError::NoSpace),
        (OperationKind::Write, SystemError::NoSpace),
        (OperationKind::SyncData, SystemError::Io),
    ] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        fill(&wal);
        let _ = wal.drive();
        let before = machine.segments();
        // The space that is kept for this moment.
        machine.remove_reserve();
        machine
            .storage
            .inject(Fault::error(error).on(kind).persistent());
        let outcome = wal.truncate_after(Lsn::new(30));
        machine.storage.clear_faults();
        match (error, outcome) {
            (SystemError::NoSpace, Err(Error::NoSpace { .. })) => {}
            (SystemError::NoSpace, other) => panic!("{kind:?}: {other:?}"),
            (_, outcome) => assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}"),
        }
        assert!(machine.segments() == before, "{kind:?}: files were changed");
        append(&wal, 201..=205);
        assert_holds(&wal, 1..=205);
        wal.truncate_after(Lsn::new(30)).expect("truncated");
        assert_cut(&wal, 1, 30, 30);
    }
}

#[test]
fn a_truncation_of_unknown_outcome_poisons() {
    for kind in [OperationKind::Rename, OperationKind::SyncDirectory] {
        let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=20);
        let fault = Fault::error(SystemError::Io).on(kind);
        machine.storage.inject(fault);
        let outcome = wal.truncate_after(Lsn::new(10));
        assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
        assert!(matches!(wal.sync(), Err(Error::Poisoned(_))));
        drop(wal);
        machine.kill();
        let wal = machine.open();
        let last = wal.last_lsn().get();
        assert!(last == 10 || last == 20, "{last}");
        assert_holds(&wal, 1..=last);
    }
}

#[test]
fn a_truncation_that_a_kill_has_undone_does_not_come_back() {
    // The directory's sync fails, but the disk has the new name. Who opens the log then must not show what a power loss takes.
    for directory in [DirectoryOrder::Ordered, DirectoryOrder::Unordered] {
        for seed in 0..30 {
            let rules = FaultConfig {
                directory,
                ..FaultConfig::default()
            };
            let mut machine = Machine::with_rules(rules, FsyncPolicy::Always);
            let wal = machine.open();
            append(&wal, 1..=20);
            // A stamp proves all of it: recovery has nothing to copy.
            machine.pass(&wal, Duration::from_secs(2));
            machine.storage.set_chooser(Seeded::streaky(seed * 7 + 1));
            let fault = Fault::error(SystemError::Io).on(OperationKind::SyncDirectory);
            machine.storage.inject(fault);
            let outcome = wal.truncate_after(Lsn::new(10));
            assert!(matches!(outcome, Err(Error::Poisoned(_))), "{outcome:?}");
            drop(wal);
            machine.kill();
            let shown = read_all(&machine.open()).expect("read");
            machine.crash(seed);
            let wal = machine.open();
            assert_eq!(
                read_all(&wal).expect("read"),
                shown,
                "{directory:?}, {seed}"
            );
        }
    }
}

#[test]
fn a_lost_truncation_is_noticed() {
    // The segment that says where the log ends is removed, or its link is damaged: the removed records must not come back.
    for damage in [false, true] {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=20);
        wal.truncate_after(Lsn::new(10)).expect("truncated");
        // The segment that was active gets a footer, which names the new one.
        let _ = wal.drive();
        let newest = *wal.list_segments().expect("segments").last().expect("one");
        drop(wal);
        let name = segment(newest.get());
        let image = machine.storage.image();
        let mut bytes = image.get(&name).expect("its file").to_vec();
        let header = SegmentHeader::decode(&bytes, newest).expect("its header");
        assert_eq!(header.origin, Origin::Copy);
        let storage = machine.storage.clone();
        storage.remove(&name).expect("removed");
        if damage {
            bytes[HEADER_LEN as usize + 70] ^= 1;
            let file = storage
                .open(&name, wal_io::OpenMode::CreateNew)
                .expect("made");
            file.write_at(&bytes, 0).expect("written");
        }
        let outcome = machine.try_open().map(|wal| wal.last_lsn());
        match (damage, outcome) {
            (false, Err(Error::MissingSegment { segment_id, .. })) => {
                assert_eq!(segment_id, newest);
            }
            (true, Err(Error::Corruption(what))) => assert_eq!(what.segment_id, newest),
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn superseded_files_are_not_believed() {
    // The truncation is durable, and every file is still there: a crash came before they went.
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    fill(&wal);
    let cut = Fault::power_cut(Moment::Before).on(OperationKind::Remove);
    let in_the_way = wal.list_segments().expect("segments").len();
    machine.storage.inject(cut);
    let _ = wal.truncate_after(Lsn::new(20));
    machine.storage = machine.storage.crash(&mut Seeded::new(1));
    let files = machine.file_names();
    let left = files
        .iter()
        .filter(|name| matches!(FileName::parse(name), FileName::Segment(_)));
    assert!(left.count() > in_the_way, "{files:?}");
    let wal = machine.open();
    assert_cut(&wal, 1, 20, 20);
    append_again(&wal, 21..=25);
    assert!(wal.list_segments().expect("segments").len() < in_the_way);
    drop(wal);
    assert_cut(&machine.open(), 1, 20, 25);
}

#[test]
fn appends_beside_truncations_are_in_the_log_or_told() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open_with_threads();
    append(&wal, 1..=10);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u8)
            .map(|writer| {
                let (wal, stop) = (wal.clone(), &stop);
                scope.spawn(move || {
                    let mut given = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let value = format!("{writer} {}", given.len());
                        match wal.append(RecordRef::data(value.as_bytes())) {
                            Ok(position) => given.push((position.lsn.get(), value)),
                            Err(Error::Truncated { kept: Some(_), .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    given
                })
            })
            .collect();
        for _ in 0..30 {
            let last = wal.last_lsn().get();
            until("more was appended", || wal.last_lsn().get() > last);
            wal.truncate_after(Lsn::new(10)).expect("truncated");
        }
        stop.store(true, Ordering::Relaxed);
        let given: Vec<_> = writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("no panic"))
            .collect();
        // What is there was given to someone, with this LSN.
        for (lsn, value) in read_all(&wal).expect("read").into_iter().skip(10) {
            let value = String::from_utf8(value).expect("text");
            assert!(given.contains(&(lsn, value.clone())), "LSN {lsn}: {value}");
        }
    });
    let records = read_all(&wal).expect("read");
    drop(wal);
    assert_eq!(read_all(&machine.open()).expect("read"), records);
}

#[test]
fn ids_only_grow() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    let mut newest = SegmentId::NONE;
    for round in 0..5 {
        fill_from(&wal, wal.last_lsn().get() + 1);
        wal.truncate_after(Lsn::new(3)).expect("truncated");
        let last = *wal.list_segments().expect("segments").last().expect("one");
        assert!(last > newest, "round {round}");
        newest = last;
    }
    let record = Record::data("x");
    assert_eq!(wal.append(&record).expect("appended").lsn.get(), 4);
}

fn fill_from(wal: &Wal, first: u64) {
    append(wal, first..=200);
}
