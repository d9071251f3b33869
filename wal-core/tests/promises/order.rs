//! What is synced before what, read off the record of operations.

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, RecordRef, WalConfig};
use wal_io::Storage;
use wal_io::fault::{Operation, OperationKind, Seeded};

use crate::common::trace::{Trace, segment, spare};
use crate::common::{Machine, SMALL, WINDOW, append, assert_holds, large, policies};

const DIRECTORY: &str = "fault:/log";

/// Runs a log through several rotations, and gives what it did.
fn several_rotations(policy: FsyncPolicy, records: u64) -> Trace {
    let machine = Machine::new(policy).segments_of(SMALL);
    machine.storage.record_operations();
    let wal = machine.open();
    append(&wal, 1..=records);
    assert!(wal.list_segments().expect("segments").len() >= 4);
    Trace::of(&machine.storage)
}

fn began(trace: &Trace) -> u64 {
    let names = (1..).map(|id| trace.renamed_to(&segment(id)));
    names.take_while(Option::is_some).count() as u64
}

#[test]
fn a_spare_is_complete_and_durable_before_it_gets_its_name() {
    for policy in policies() {
        let trace = several_rotations(policy, 300);
        for id in 1..=began(&trace) {
            let spare = spare(id);
            let rename = trace.renamed_to(&segment(id)).expect("it got its name");
            let made = trace.first(OperationKind::CreateFile, &spare, 0);
            let allocated = trace.first(OperationKind::Allocate, &spare, 0);
            let header = trace.first(OperationKind::Write, &spare, 0);
            let synced = trace
                .first(OperationKind::SyncData, &spare, 0)
                .expect("synced");
            let named = trace
                .first(OperationKind::SyncDirectory, DIRECTORY, synced)
                .expect("synced");
            assert!(made < allocated && allocated < header);
            assert!(header < Some(synced) && synced < named && named < rename);
            assert_eq!(trace.count_in(OperationKind::Write, &spare), 1);
        }
    }
}

#[test]
fn the_directory_is_synced_before_the_first_durable_acknowledgement() {
    for count in 1..=60 {
        let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
        machine.storage.record_operations();
        let wal = machine.open();
        for n in 1..=count {
            wal.append(RecordRef::data(&large(n, 200)))
                .expect("appended");
        }
        let trace = Trace::of(&machine.storage);
        // At the moment of the last acknowledgement.
        let newest = began(&trace);
        let rename = trace.renamed_to(&segment(newest)).expect("it got its name");
        let named = trace.first(OperationKind::SyncDirectory, DIRECTORY, rename);
        assert!(named.is_some(), "after {count} records");
        let write = trace.last(OperationKind::Write, &segment(newest), usize::MAX);
        let sync = trace.last(OperationKind::SyncData, &segment(newest), usize::MAX);
        assert!(write.is_some() && write < sync, "after {count} records");
    }
}

#[test]
fn a_segment_gets_its_name_only_when_the_one_before_has_a_durable_one() {
    for policy in policies() {
        let trace = several_rotations(policy, 300);
        for id in 2..=began(&trace) {
            let before = trace.renamed_to(&segment(id - 1)).expect("it got its name");
            let rename = trace.renamed_to(&segment(id)).expect("it got its name");
            let named = trace.first(OperationKind::SyncDirectory, DIRECTORY, before);
            assert!(
                named.is_some_and(|named| named < rename),
                "{policy:?}, {id}"
            );
        }
    }
}

/// Three segments of which two got their names one right after the other, at the end: the spare of the third was made, and its
/// name synced, while all of the second was in memory.
fn two_names_in_a_row(policy: FsyncPolicy) -> (Machine, Wal) {
    let machine = Machine::new(policy).segments_of(SMALL);
    machine.storage.record_operations();
    let wal = machine.open();
    for n in 1.. {
        append(&wal, n..=n);
        if wal.list_segments().expect("segments").len() == 3 {
            break;
        }
        let _ = wal.drive();
    }
    wal.flush().expect("flushed");
    (machine, wal)
}

#[test]
fn a_spare_made_ahead_does_not_stand_for_the_name_before_it() {
    for policy in [FsyncPolicy::Batch(WINDOW), FsyncPolicy::Os] {
        let (machine, wal) = two_names_in_a_row(policy);
        let trace = Trace::of(&machine.storage);
        let before = trace.renamed_to(&segment(2)).expect("it got its name");
        let rename = trace.renamed_to(&segment(3)).expect("it got its name");
        let spare = trace.first(OperationKind::SyncData, &spare(3), 0);
        assert!(spare.is_some_and(|spare| spare < before), "{policy:?}");
        let named = trace.first(OperationKind::SyncDirectory, DIRECTORY, before);
        assert!(named.is_some_and(|named| named < rename), "{policy:?}");
        // Whichever names a crash keeps, there is no hole.
        let last = wal.last_lsn().get();
        for seed in 0..60 {
            let mut after = Machine::new(policy).segments_of(SMALL);
            after.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let opened = after.try_open();
            let opened = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert!(opened.last_lsn().get() <= last);
        }
    }
}

#[test]
fn a_third_segment_is_not_begun_before_the_first_is_synced() {
    for policy in policies() {
        let trace = several_rotations(policy, 400);
        for id in 3..=began(&trace) {
            let rename = trace.renamed_to(&segment(id)).expect("it got its name");
            let old = segment(id - 2);
            let write = trace.last(OperationKind::Write, &old, rename);
            let sync = trace.last(OperationKind::SyncData, &old, rename);
            assert!(write.is_some() && write < sync, "{policy:?}, segment {id}");
        }
    }
}

#[test]
fn a_rotated_segment_is_synced_in_the_background_under_every_policy() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let mut n = 0;
        while wal.list_segments().expect("segments").len() < 2 {
            n += 1;
            append(&wal, n..=n);
        }
        let in_first = n - 1;
        // Nobody asks for a sync, and no window is over.
        wal.flush().expect("flushed");
        let _ = wal.drive();
        assert!(wal.durable_lsn().get() >= in_first, "{policy:?}");
        machine.lose_unsynced();
        assert!(machine.open().last_lsn().get() >= in_first, "{policy:?}");
    }
}

#[test]
fn a_footer_is_written_when_the_data_and_the_successors_name_are_durable() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        machine.storage.record_operations();
        let wal = machine.open();
        append(&wal, 1..=400);
        wal.sync().expect("synced");
        machine.pass(&wal, WINDOW);
        let trace = Trace::of(&machine.storage);
        let mut footers = 0;
        for id in 1..began(&trace) {
            let name = segment(id);
            let Some(cut) = trace.first(OperationKind::SetLength, &name, 0) else {
                continue;
            };
            footers += 1;
            let footer = trace
                .last(OperationKind::Write, &name, cut)
                .expect("written");
            let data = trace
                .last(OperationKind::Write, &name, footer)
                .expect("written");
            let synced = trace
                .first(OperationKind::SyncData, &name, data)
                .expect("synced");
            assert!(synced < footer, "segment {id}: its data");
            let successor = trace.renamed_to(&segment(id + 1)).expect("it is there");
            let named = trace
                .first(OperationKind::SyncDirectory, DIRECTORY, successor)
                .expect("synced");
            assert!(named < footer, "segment {id}: its successor's name");
            let sealed = trace.first(OperationKind::SyncData, &name, footer);
            assert!(sealed.is_some_and(|at| at < cut), "segment {id}: itself");
        }
        assert!(footers >= 3, "{policy:?}: {footers}");
    }
}

#[test]
fn the_parents_of_a_new_directory_are_synced_before_the_first_acknowledgement() {
    let machine = Machine::new(FsyncPolicy::Always);
    let deeper = machine.storage.subdirectory("a").expect("a name");
    let deepest = deeper.subdirectory("b").expect("a name");
    machine.storage.record_operations();
    let builder = Wal::builder("b").storage(Arc::clone(&deepest));
    let builder = builder.config(WalConfig {
        fsync_policy: FsyncPolicy::Always,
        max_segment_size: 1 << 20,
        ..WalConfig::default()
    });
    let wal = builder.driven_by_caller().open().expect("a log");
    append(&wal, 1..=1);
    let trace = Trace::of(&machine.storage);
    let acknowledged = trace.0.len();
    let parents = [
        ("fault:/log", "fault:/"),
        ("fault:/log/a", "fault:/log"),
        ("fault:/log/a/b", "fault:/log/a"),
    ];
    for (made, parent) in parents {
        let at = trace.first(OperationKind::MakeDirectory, made, 0);
        let at = at.expect("it was made");
        let synced = trace.first(OperationKind::SyncDirectory, parent, at);
        assert!(synced.is_some_and(|at| at < acknowledged), "{parent}");
    }
    // And so the log survives.
    drop(wal);
    let after = machine.storage.crash(&mut wal_io::fault::Script::default());
    let deepest = after
        .subdirectory("a")
        .and_then(|deeper| deeper.subdirectory("b"));
    let builder = Wal::builder("b").storage(deepest.expect("names"));
    assert_holds(&builder.open().expect("the log is there"), 1..=1);
}

#[test]
fn the_parent_is_synced_even_if_an_earlier_process_made_the_directory() {
    let machine = Machine::new(FsyncPolicy::Always);
    // It died between making the directory and syncing its parent.
    let fault = wal_io::fault::Fault::error(wal_io::fault::SystemError::Interrupted);
    machine
        .storage
        .inject(fault.on(OperationKind::SyncDirectory));
    assert!(machine.storage.create().is_err());
    let mut machine = machine;
    machine.kill();
    append(&machine.open(), 1..=1);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=1);
}

#[test]
fn recovery_shows_its_copy_only_when_it_is_durable() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.flush().expect("flushed");
    machine.kill();
    machine.storage.record_operations();
    let wal = machine.open();
    assert_eq!(wal.recovery_report().unproven, 5);
    let trace = Trace::of(&machine.storage);
    let rename = trace
        .renamed_to(&segment(2))
        .expect("the copy got its name");
    let copy = &trace.0[rename].name;
    let write = trace
        .last(OperationKind::Write, copy, rename)
        .expect("written");
    let sync = trace
        .last(OperationKind::SyncData, copy, rename)
        .expect("synced");
    let named = trace.first(OperationKind::SyncDirectory, DIRECTORY, rename);
    assert!(write < sync && named.is_some());
    // What it takes the place of goes only then.
    let removed = trace.first(OperationKind::Remove, &segment(1), 0);
    assert!(removed > named);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=5);
}

#[test]
fn a_segment_is_written_through_the_handle_that_syncs_it() {
    // Linux tells of a failed write-back only who had the file open; so nothing is opened again for writing.
    let trace = several_rotations(FsyncPolicy::Os, 400);
    let opened_to_write =
        |done: &&Operation| done.kind == OperationKind::Open && done.name.ends_with(".wal");
    assert_eq!(trace.0.iter().filter(opened_to_write).count(), 0);
}
