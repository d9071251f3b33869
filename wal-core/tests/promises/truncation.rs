//! `truncate_before` is durable when it returns, and what it removed never comes back.

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Result};
use wal_io::fault::{OperationKind, Script, Seeded};

use crate::common::trace::{Trace, segment, spare};
use crate::common::watched::Watched;
use crate::common::{Machine, SMALL, append, assert_holds, payload, policies, until};

#[track_caller]
fn is_truncated<T: std::fmt::Debug>(outcome: Result<T>, first: u64) {
    match outcome {
        Err(Error::Truncated {
            first: told,
            kept: None,
        }) => assert_eq!(told.get(), first),
        other => panic!("expected Truncated, got {other:?}"),
    }
}

/// At least this many segments of records.
fn several_segments(wal: &Wal, segments: usize) -> u64 {
    let mut n = wal.last_lsn().get();
    while wal.list_segments().expect("segments").len() < segments {
        n += 1;
        append(wal, n..=n);
    }
    append(wal, n + 1..=n + 5);
    n + 5
}

#[test]
fn truncate_before_keeps_its_lsn_and_all_behind_it() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let last = several_segments(&wal, 4);
        for first in [2, 3, last / 3, last / 2, last - 1, last] {
            wal.truncate_before(Lsn::new(first)).expect("truncated");
            assert_holds(&wal, first..=last);
        }
        wal.close().expect("closed");
        assert_holds(&machine.open(), last..=last);
    }
}

#[test]
fn truncate_before_is_durable_when_it_returns() {
    for policy in policies() {
        for first in [2, 60, 150] {
            for seed in 0..20 {
                let mut machine = Machine::new(policy).segments_of(SMALL);
                let wal = machine.open();
                append(&wal, 1..=200);
                wal.truncate_before(Lsn::new(first)).expect("truncated");
                machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
                let wal = machine.open();
                assert_eq!(wal.first_lsn().get(), first, "{policy:?}, {seed}");
                is_truncated(wal.read_from(Lsn::new(first - 1)), first);
                let last = wal.last_lsn().get();
                assert_holds(&wal, first..=last);
            }
        }
    }
}

#[test]
fn truncate_before_makes_its_lsn_durable_first() {
    // The records that stay must not be lost while those before them are gone.
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=200);
    wal.truncate_before(Lsn::new(150)).expect("truncated");
    machine.lose_unsynced();
    assert_holds(&machine.open(), 150..=200);
}

#[test]
fn a_cut_that_a_power_loss_takes_is_not_in_the_footer_before_it() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=1);
    wal.flush().expect("flushed");
    // A sync of segment 1 takes so long that segment 2 has its name before segment 1 is synced as a whole.
    watched.hold_syncs_of(&segment(1));
    let syncing = {
        let wal = wal.clone();
        std::thread::spawn(move || wal.sync())
    };
    watched.wait_for_a_sync();
    let last = several_segments(&wal, 2);
    wal.flush().expect("flushed");
    watched.hold_syncs_of_the_directory();
    syncing.join().expect("no panic").expect("synced");
    // The keeper is about to sync the rest of segment 1, and then seals it.
    watched.wait_for_a_sync();
    let truncation = {
        let wal = wal.clone();
        std::thread::spawn(move || wal.truncate_before(Lsn::new(last)))
    };
    until("the cut is in", || wal.first_lsn().get() == last);
    watched.hold_syncs_of(&segment(2));
    let sealed = || {
        let image = machine.storage.image();
        image
            .get(&segment(1))
            .is_some_and(|file| file.len() < SMALL as usize)
    };
    until("segment 1 is sealed", sealed);
    let crashed = machine.storage.crash(&mut Script::default());
    watched.let_syncs_go();
    assert!(truncation.join().expect("no panic").is_err());
    machine.storage = crashed;

    let wal = machine.open();
    let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
    assert!(first <= last + 1, "LSN {first} to {last}");
    append(&wal, last + 1..=last + 1);
    assert_holds(&wal, first..=last + 1);
}

#[test]
fn what_was_truncated_never_comes_back() {
    // Whatever happens to the log afterwards: recovery, more records, more recoveries.
    for policy in policies() {
        for seed in 0..10 {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let mut first = 1;
            for round in 0..6 {
                let wal = machine.open();
                assert!(wal.first_lsn().get() >= first, "round {round}");
                let mut n = wal.last_lsn().get();
                assert_holds(&wal, wal.first_lsn().get()..=n);
                for _ in 0..60 {
                    n += 1;
                    append(&wal, n..=n);
                }
                if round % 2 == 0 {
                    wal.truncate_before(Lsn::new(n - 20)).expect("truncated");
                    first = n - 20;
                }
                wal.flush().expect("flushed");
                machine.crash(seed * 100 + round);
            }
        }
    }
}

#[test]
fn a_kept_file_shows_nothing_below_the_first_lsn() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=20);
    wal.truncate_before(Lsn::new(8)).expect("truncated");
    // The file is still there, with all records in it.
    assert!(machine.file_names().contains(&segment(1)));
    for wal in [wal.clone(), machine.look().expect("looked at")] {
        assert_holds(&wal, 8..=20);
        for below in 1..8 {
            is_truncated(wal.read_from(Lsn::new(below)), 8);
        }
        let id = wal.list_segments().expect("segments")[0];
        let mut reader = wal.read_segment(id).expect("a reader");
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), 8);
    }
}

#[test]
fn a_reader_below_gets_truncated_and_ends() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let last = several_segments(&wal, 4);
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    wal.truncate_before(Lsn::new(last)).expect("truncated");
    is_truncated(reader.next_record(), last);
    assert!(reader.next_record().expect("it has ended").is_none());
    let old = wal_core::Position {
        lsn: Lsn::new(3),
        segment_id: 1.into(),
        offset: 4352.into(),
    };
    is_truncated(wal.read_from(old), last);
}

#[test]
fn a_reader_in_the_middle_of_a_retired_segment_loses_no_record_in_silence() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let last = several_segments(&wal, 4);
    let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
    for n in 1..=3 {
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), n);
    }
    wal.truncate_before(Lsn::new(last - 2)).expect("truncated");
    let mut next = 4;
    loop {
        match reader.next_record() {
            // It may go on in the file that it has open.
            Ok(Some((record, position))) => {
                assert_eq!(position.lsn.get(), next);
                assert_eq!(record.value, payload(next));
                next += 1;
            }
            Ok(None) => {
                assert_eq!(next, last + 1);
                break;
            }
            other => {
                is_truncated(other, last - 2);
                break;
            }
        }
    }
}

#[test]
fn retired_files_are_removed_oldest_first_and_after_the_cut_is_durable() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let last = several_segments(&wal, 5);
        wal.sync().expect("synced");
        machine.storage.record_operations();
        wal.truncate_before(Lsn::new(last)).expect("truncated");
        let trace = Trace::of(&machine.storage);
        let removed: Vec<_> = trace
            .0
            .iter()
            .filter(|done| done.kind == OperationKind::Remove)
            .map(|done| done.name.to_string())
            .collect();
        assert_eq!(removed, (1..=4).map(segment).collect::<Vec<_>>());
        let active = segment(5);
        let cut = trace.last(OperationKind::Write, &active, usize::MAX);
        let sync = trace.last(OperationKind::SyncData, &active, usize::MAX);
        let remove = trace.first(OperationKind::Remove, &segment(1), 0);
        assert!(cut.is_some() && cut < sync && sync < remove, "{policy:?}");
        // The removals are made durable too.
        assert_eq!(
            trace.0.last().map(|done| done.kind),
            Some(OperationKind::SyncDirectory)
        );
    }
}

#[test]
fn a_segment_that_is_missing_at_or_above_the_first_lsn_is_an_error() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let last = several_segments(&wal, 5);
    let mut reader = wal.read_segment(3.into()).expect("a reader");
    let (_, first_of_third) = reader.next_record().expect("read").expect("a record");
    // Into the middle of the third.
    let first = first_of_third.lsn.get() + 5;
    wal.truncate_before(Lsn::new(first)).expect("truncated");
    wal.close().expect("closed");
    let image = machine.storage.image();
    for missing in 3..=5 {
        let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
        machine
            .storage
            .remove_file(&segment(missing))
            .expect("a segment");
        for outcome in [machine.try_open(), machine.look()] {
            match outcome {
                Err(Error::MissingSegment {
                    segment_id,
                    needed_by,
                    location,
                }) => {
                    assert_eq!(segment_id.get(), missing);
                    assert!(!needed_by.is_empty());
                    assert_eq!(location, "fault:/log");
                }
                other => panic!("{missing}: {other:?}"),
            }
        }
    }
    let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
    assert_holds(&machine.open(), first..=last);
}

#[test]
fn a_file_below_the_first_lsn_may_be_missing_or_left_over() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let last = several_segments(&wal, 4);
    wal.sync().expect("synced");
    let before = machine.storage.image();
    wal.truncate_before(Lsn::new(last)).expect("truncated");
    wal.close().expect("closed");
    // The unlinks were lost, each by itself.
    for left in [
        vec![1],
        vec![2],
        vec![3],
        vec![1, 2],
        vec![1, 3],
        vec![1, 2, 3],
    ] {
        let mut image = machine.storage.image();
        for id in &left {
            let name = segment(*id);
            image.insert(&name, before.get(&name).expect("it was there"));
        }
        let machine = Machine::holding(&image, FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        assert_holds(&wal, last..=last);
        let leftovers = wal.recovery_report().leftovers.clone();
        assert_eq!(
            leftovers,
            left.iter().copied().map(segment).collect::<Vec<_>>()
        );
        for name in leftovers {
            assert!(!machine.file_names().contains(&name));
        }
    }
}

#[test]
fn truncate_before_all_of_it_leaves_an_empty_log_that_goes_on() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let last = several_segments(&wal, 3);
        wal.truncate_before(Lsn::new(last + 1)).expect("truncated");
        assert_eq!(wal.first_lsn().get(), last + 1);
        assert_eq!(wal.last_lsn().get(), last);
        let mut reader = wal.read_from(Lsn::ZERO).expect("a reader");
        assert!(reader.next_record().expect("read").is_none());
        append(&wal, last + 1..=last + 3);
        // The reader that was at the end goes on.
        let (_, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), last + 1);
        wal.sync().expect("synced");
        machine.lose_unsynced();
        assert_holds(&machine.open(), last + 1..=last + 3);
    }
}

#[test]
fn truncate_before_an_lsn_that_is_not_there_yet_is_an_error() {
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    match wal.truncate_before(Lsn::new(7)) {
        Err(Error::NotAppended { lsn, next }) => assert_eq!((lsn.get(), next.get()), (7, 6)),
        other => panic!("{other:?}"),
    }
    wal.truncate_before(Lsn::new(1)).expect("nothing to do");
    wal.truncate_before(Lsn::ZERO).expect("nothing to do");
    assert_holds(&wal, 1..=5);
}

#[test]
fn truncate_before_in_a_log_that_was_just_opened() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let last = several_segments(&wal, 4);
        wal.close().expect("closed");
        let wal = machine.open();
        wal.truncate_before(Lsn::new(last)).expect("truncated");
        assert_holds(&wal, last..=last);
        machine.lose_unsynced();
        assert_holds(&machine.open(), last..=last);
    }
}

#[test]
fn a_second_truncation_to_the_same_lsn_waits_until_it_is_durable() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    watched.hold_syncs();
    let first = {
        let wal = wal.clone();
        std::thread::spawn(move || wal.truncate_before(Lsn::new(3)))
    };
    watched.wait_for_a_sync();
    let second = {
        let wal = wal.clone();
        std::thread::spawn(move || wal.truncate_before(Lsn::new(3)))
    };
    // If it returns while the sync is under way, then its word is good after a crash as well.
    let begun = std::time::Instant::now();
    while !second.is_finished() && begun.elapsed() < std::time::Duration::from_millis(300) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let returned = second.is_finished();
    machine.storage.cut_power();
    watched.let_syncs_go();
    let outcomes = [first.join(), second.join()].map(|outcome| outcome.expect("no panic"));
    assert!(outcomes[0].is_err());
    until("the power is off", || machine.storage.has_lost_power());
    machine.lose_unsynced();
    let first = machine.open().first_lsn().get();
    assert!(
        !returned || outcomes[1].is_err() || first == 3,
        "it returned Ok, and the log begins with LSN {first}"
    );
}

/// How many records fill the first segment, so that the next one rotates.
fn fill_of_a_segment(policy: FsyncPolicy) -> u64 {
    let machine = Machine::new(policy).segments_of(SMALL);
    let wal = machine.open();
    let mut n = 0;
    while wal.list_segments().expect("segments").len() < 2 {
        n += 1;
        append(&wal, n..=n);
    }
    n - 1
}

/// After a crash the log goes on at this LSN at the earliest.
fn assert_goes_on_at(machine: &mut Machine, lsn: u64) {
    machine.lose_unsynced();
    let wal = machine.open();
    assert_eq!(wal.first_lsn().get(), lsn);
    assert!(wal.current_position().lsn.get() >= lsn);
}

#[test]
fn no_segment_is_retired_before_the_next_one_is_durable() {
    let policy = FsyncPolicy::Batch(std::time::Duration::from_secs(60));
    let full = fill_of_a_segment(policy);
    let mut machine = Machine::new(policy).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=full);
    wal.truncate_before(Lsn::new(full + 1)).expect("truncated");
    // The second segment is begun in memory; all that is on disk is the first one, which holds the cut.
    append(&wal, full + 1..=full + 1);
    assert_eq!(wal.list_segments().expect("segments").len(), 2);
    wal.truncate_before(Lsn::new(full + 1)).expect("truncated");
    assert_goes_on_at(&mut machine, full + 1);
}

#[test]
fn a_segment_that_is_begun_during_a_truncation_is_not_taken_for_durable() {
    let policy = FsyncPolicy::Batch(std::time::Duration::from_secs(60));
    let full = fill_of_a_segment(policy);
    let mut machine = Machine::new(policy).segments_of(SMALL);
    let watched = Watched::new(&machine.storage);
    let wal = machine.open_watched(&watched);
    append(&wal, 1..=full);
    until("the next segment is ready", || {
        machine.file_names().contains(&spare(2))
    });
    wal.flush().expect("flushed");
    watched.hold_syncs_of(&segment(1));
    let truncation = {
        let wal = wal.clone();
        std::thread::spawn(move || wal.truncate_before(Lsn::new(full + 1)))
    };
    watched.wait_for_a_sync();
    append(&wal, full + 1..=full + 1);
    assert_eq!(wal.list_segments().expect("segments").len(), 2);
    watched.let_syncs_go();
    truncation.join().expect("no panic").expect("truncated");
    assert_goes_on_at(&mut machine, full + 1);
}
