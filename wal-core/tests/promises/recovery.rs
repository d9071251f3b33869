//! Recovery modifies no old segment, and a read-only open changes no byte.

use wal_core::blocking::Wal;
use wal_core::{Error, FormatVersion, FsyncPolicy, Lsn, Record, RecordRef};
use wal_io::fault::{Fault, Moment, OperationKind, Seeded};

use crate::common::trace::Trace;
use crate::common::{Machine, SMALL, WINDOW, append, assert_holds, large, policies, read_all};

/// A log in the middle of its work.
fn busy(policy: FsyncPolicy) -> (Machine, Wal) {
    let machine = Machine::new(policy).segments_of(SMALL);
    let wal = machine.open();
    for n in 1..=60 {
        wal.append(RecordRef::data(&large(n, 100 + (n as usize * 37) % 400)))
            .expect("appended");
        match n % 11 {
            3 => wal.flush().expect("flushed"),
            7 => machine.pass(&wal, WINDOW),
            9 => drop(
                wal.append_batch(&[Record::data(large(0, 700)), Record::data(large(0, 700))])
                    .expect("appended"),
            ),
            _ => {}
        }
        if n == 30 {
            wal.truncate_before(Lsn::new(12)).expect("truncated");
        }
    }
    wal.flush().expect("flushed");
    (machine, wal)
}

#[test]
fn recovery_modifies_no_old_segment() {
    for policy in policies() {
        let (machine, _wal) = busy(policy);
        for seed in 0..80 {
            let mut after = Machine::new(policy).segments_of(SMALL);
            after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            // Twice: a recovered log is killed and recovered again.
            for round in 0..2 {
                let before = after.segments();
                let wal = after.open();
                let now = after.segments();
                for (name, bytes) in before {
                    let same = now.iter().find(|(found, _)| *found == name);
                    if let Some((_, found)) = same {
                        assert!(*found == bytes, "{name}, seed {seed}, round {round}");
                    } else {
                        let report = wal.recovery_report();
                        assert!(report.leftovers.contains(&name), "{name}: {report:?}");
                    }
                }
                wal.append(RecordRef::data(b"more")).expect("appended");
                wal.flush().expect("flushed");
                after.kill();
            }
        }
    }
}

#[test]
fn a_segment_of_an_earlier_life_is_never_written_again() {
    for policy in policies() {
        let (machine, _wal) = busy(policy);
        for seed in 0..40 {
            let mut after = Machine::new(policy).segments_of(SMALL);
            after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let old = after.segments();
            let wal = after.open();
            after.storage.record_operations();
            let last = wal.last_lsn().get();
            append(&wal, last + 1..=last + 60);
            wal.close().expect("closed");
            let trace = Trace::of(&after.storage);
            for (name, _) in old {
                for kind in [
                    OperationKind::Write,
                    OperationKind::SetLength,
                    OperationKind::Allocate,
                ] {
                    assert_eq!(trace.count_in(kind, &name), 0, "{name}, seed {seed}");
                }
            }
        }
    }
}

#[test]
fn a_read_only_open_changes_no_byte_and_takes_no_lock() {
    for policy in policies() {
        let (machine, _wal) = busy(policy);
        for seed in 0..40 {
            let mut after = Machine::new(policy).segments_of(SMALL);
            after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let before = after.storage.image();
            after.storage.record_operations();
            let look = after.look().expect("it is looked at");
            let shown = read_all(&look).expect("the log is read");
            let verified = after.verify().expect("verified");
            assert_eq!(verified.damage().count(), 0);
            drop(look);
            let trace = Trace::of(&after.storage);
            assert!(trace.0.iter().all(|done| !done.kind.is_change()));
            assert_eq!(after.storage.image(), before);
            // It shows what a writer recovers.
            let wal = after.open();
            assert_eq!(read_all(&wal).expect("the log is read"), shown);
        }
    }
}

#[test]
fn a_read_only_open_says_from_where_on_nothing_is_proven() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    append(&wal, 6..=8);
    wal.flush().expect("flushed");
    append(&wal, 9..=9);
    wal.flush().expect("flushed");
    machine.kill();
    let look = machine.look().expect("it is looked at");
    let report = look.recovery_report();
    assert_eq!(report.proven_lsn.get(), 5);
    assert_eq!(report.unproven, 4);
    assert_eq!(look.durable_lsn().get(), 5);
    assert_holds(&look, 1..=9);
}

#[test]
fn recovery_is_the_same_each_time() {
    // A plan is made of facts alone: the same directory gives the same report and the same records.
    let (machine, _wal) = busy(FsyncPolicy::Os);
    for seed in 0..40 {
        let after = machine.storage.crash(&mut Seeded::streaky(seed)).image();
        let mut first = None;
        for _ in 0..2 {
            let machine = Machine::holding(&after, FsyncPolicy::Os).segments_of(SMALL);
            let wal = machine.open();
            let found = (
                wal.recovery_report().clone(),
                read_all(&wal).expect("the log is read"),
            );
            let first = first.get_or_insert_with(|| found.clone());
            assert_eq!(*first, found, "seed {seed}");
        }
    }
}

#[test]
fn the_report_says_what_was_found() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=100);
    wal.sync().expect("synced");
    append(&wal, 101..=103);
    wal.flush().expect("flushed");
    let segments = wal.list_segments().expect("segments").len();
    machine.kill();
    let wal = machine.open();
    let report = wal.recovery_report();
    assert!(!report.clean);
    assert_eq!(report.segments, segments);
    assert_eq!((report.first_lsn.get(), report.last_lsn.get()), (1, 103));
    assert_eq!(report.records(), 103);
    assert!(report.proven_lsn.get() >= 90 && report.unproven >= 3);
    assert_eq!(report.proven_lsn.get() + report.unproven, 103);
    let named = format!("LSN {}", report.proven_lsn);
    assert!(report.witness.contains(&named), "{}", report.witness);
    assert!(report.bytes > 4096 * segments as u64);
}

#[test]
fn each_lsn_is_read_once_whatever_recovery_copied() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        for round in 0..8 {
            let wal = machine.open();
            let last = wal.last_lsn().get();
            assert_eq!(last, round * 30);
            assert_holds(&wal, 1..=last);
            append(&wal, last + 1..=last + 30);
            wal.flush().expect("flushed");
            machine.kill();
        }
    }
}

#[test]
fn a_reader_beside_the_writer_reads_each_lsn_once_across_a_recovery() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=40);
    wal.flush().expect("flushed");
    machine.kill();
    // The reader has seen the unproven records before they are copied.
    let look = machine.look().expect("it is looked at");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    let mut next = 1;
    while let Some((_, position)) = reader.next_record().expect("read") {
        assert_eq!(position.lsn.get(), next);
        next += 1;
    }
    assert_eq!(next, 41);
    let wal = machine.open();
    append(&wal, 41..=45);
    wal.flush().expect("flushed");
    while let Some((_, position)) = reader.next_record().expect("read") {
        assert_eq!(position.lsn.get(), next);
        next += 1;
    }
    assert_eq!(next, 46);
}

#[test]
fn what_recovery_has_copied_is_proven() {
    for policy in policies() {
        let mut machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.flush().expect("flushed");
        machine.kill();
        drop(machine.open());
        machine.lose_unsynced();
        let report = machine.look().expect("opened").recovery_report().clone();
        assert_eq!(report.proven_lsn, Lsn::new(5), "{policy:?}: {report:?}");
        assert_eq!(report.unproven, 0, "{policy:?}: {report:?}");
    }
}

#[test]
fn nothing_is_removed_before_what_replaces_it_has_a_durable_name() {
    // All of it is durable and none of it proven: recovery replaces the only segment.
    let machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    let mut kills = 0;
    for at in 0.. {
        let mut again = Machine::new(FsyncPolicy::Os);
        again.storage = machine.storage.kill();
        let kill = Fault::power_cut(Moment::After).on_changes().after(at);
        again.storage.inject(kill);
        if again.try_open().is_ok() {
            break;
        }
        kills += 1;
        // The process was killed there, and the next one finds all that it has done, durable or not.
        again.kill();
        drop(again.open());
        for seed in 0..20 {
            let mut after = Machine::new(FsyncPolicy::Os);
            after.storage = again.storage.crash(&mut Seeded::streaky(seed));
            let opened = after.try_open();
            let opened = opened.unwrap_or_else(|error| panic!("kill {at}, seed {seed}: {error}"));
            assert_holds(&opened, 1..=5);
        }
    }
    assert!(kills > 4, "{kills}");
}

#[test]
fn a_cut_that_no_sync_has_covered_is_copied_before_it_counts() {
    for version in [FormatVersion::V1, FormatVersion::V2] {
        let mut machine = Machine::new(FsyncPolicy::Always).in_version(version);
        let wal = machine.open();
        append(&wal, 1..=5);
        let kill = Fault::power_cut(Moment::Before).on(OperationKind::SyncData);
        machine.storage.inject(kill);
        wal.truncate_before(Lsn::new(3)).expect_err("killed");
        machine.kill();
        // The cut was handed over. What this open shows is so from now on.
        let shown = machine.open();
        assert_eq!(shown.first_lsn(), Lsn::new(3));
        machine.lose_unsynced();
        assert_holds(&machine.open(), 3..=5);
    }
}

/// The process dies between the rename of the recovered segment and the directory's sync. To the next open the log looks
/// settled; what it shows must be durable all the same.
#[test]
fn a_kill_between_the_rename_and_the_directory_sync_loses_nothing_that_a_later_open_has_shown() {
    for policy in policies() {
        let mut machine = Machine::new(policy);
        let wal = machine.open();
        append(&wal, 1..=2);
        wal.sync().expect("synced");
        append(&wal, 3..=4);
        wal.flush().expect("flushed");
        machine.kill();
        let rename = Fault::power_cut(Moment::After).on(OperationKind::Rename);
        machine.storage.inject(rename);
        assert!(machine.try_open().is_err(), "killed behind the rename");
        machine.kill();
        let wal = machine.open();
        assert_holds(&wal, 1..=4);
        assert_eq!(wal.durable_lsn().get(), 4);
        wal.sync().expect("nothing is left to sync");
        machine.lose_unsynced();
        let wal = machine.open();
        assert_holds(&wal, 1..=4);
    }
}

/// A look at a closed log is a look at the log: what a writer appends later is shown by a later call.
#[test]
fn a_reader_of_a_closed_log_goes_on_when_a_writer_appends() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=3);
        wal.close().expect("closed");
        drop(wal);
        let look = machine.look().expect("it is looked at");
        let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
        assert_eq!(reader.by_ref().count(), 3);
        let wal = machine.open();
        append(&wal, 4..=5);
        wal.sync().expect("synced");
        for next in 4..=5 {
            let (_, position) = reader.next_record().expect("read").expect("a record");
            assert_eq!(position.lsn.get(), next);
        }
    }
}

/// The segment that a crash has left without a link is superseded by the writer's first one. Who has looked in between sees it.
#[test]
fn a_reader_goes_on_past_a_segment_that_never_got_its_link() {
    for seed in 0..40 {
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=1);
        wal.flush().expect("flushed");
        machine.crash(seed);
        let wal = machine.open();
        let seen = wal.last_lsn().get();
        let look = machine.look().expect("it is looked at");
        let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
        assert_eq!(reader.by_ref().count() as u64, seen);
        append(&wal, seen + 1..=seen + 2);
        wal.sync().expect("synced");
        for next in seen + 1..=seen + 2 {
            let shown = reader.next_record().expect("read");
            let shown = shown.map(|(_, position)| position.lsn.get());
            assert_eq!(shown, Some(next), "seed {seed}");
        }
    }
}

/// Segments that a reader in another process has not seen are removed: it is told, it does not wait for ever.
#[test]
fn a_reader_is_told_when_segments_that_it_has_not_seen_are_truncated() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=3);
    let look = machine.look().expect("it is looked at");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    assert_eq!(reader.by_ref().count(), 3);
    append(&wal, 4..=300);
    wal.truncate_before(Lsn::new(300)).expect("truncated");
    machine.pass(&wal, WINDOW);
    assert_eq!(machine.segments().len(), 1, "{:?}", machine.file_names());
    // What is left of the segment that it knows may still be shown.
    let end = reader.find(Result::is_err);
    match end {
        Some(Err(Error::Truncated { first, .. })) => assert_eq!(first.get(), 300),
        other => panic!("expected Truncated, got {other:?}"),
    }
}
