//! With no byte free the log can still be opened, and truncated at both ends, also after it was closed or killed.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wal_core::Offline;
use wal_core::blocking::Wal;
use wal_core::{Error, FormatVersion, FsyncPolicy, Lsn, Record, RecordRef};
use wal_format::RESERVE_NAME;
use wal_io::fault::{Fault, Moment, OperationKind, Seeded, SystemError};

use crate::common::trace::segment;
use crate::common::watched::Watched;
use crate::common::{
    Machine, SMALL, append, assert_holds, in_tested_version, is_segment, large, payload, policies,
    until,
};

const KIB: u64 = 1 << 10;
const LAST: u64 = 1150;
/// In the third segment.
const MIDDLE: u64 = 700;

/// No byte is free.
fn fill_up(machine: &Machine) {
    let used = machine.storage.used_space();
    machine.storage.set_capacity(Some(used));
}

/// A log of several segments, all of it durable, that was closed or killed; the disk is full.
fn full(policy: FsyncPolicy, closed: bool) -> Machine {
    filled(Machine::new(policy), closed)
}

fn filled(machine: Machine, closed: bool) -> Machine {
    let mut machine = machine.segments_of(16 * KIB);
    let wal = machine.open();
    append(&wal, 1..=LAST);
    wal.sync().expect("synced");
    if closed {
        wal.close().expect("closed");
    } else {
        machine.kill();
    }
    drop(wal);
    fill_up(&machine);
    machine
}

fn segments(machine: &Machine) -> usize {
    let names = machine.file_names();
    names.iter().filter(|name| is_segment(name)).count()
}

fn has_reserve(machine: &Machine) -> bool {
    !machine.reserve().is_empty()
}

/// The message of `NoSpace`.
#[track_caller]
fn no_space<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(error @ Error::NoSpace { .. }) => error.to_string(),
        other => panic!("expected NoSpace, got {other:?}"),
    }
}

#[test]
fn truncate_before_works_with_no_byte_free() {
    for policy in policies() {
        for closed in [true, false] {
            let mut machine = full(policy, closed);
            let before = segments(&machine);
            assert!(before > 3, "{before}");
            let wal = machine.open();
            fill_up(&machine);
            wal.truncate_before(Lsn::new(MIDDLE)).expect("truncated");
            assert_holds(&wal, MIDDLE..=LAST);
            assert!(segments(&machine) < before);
            // Every segment that can go.
            wal.truncate_before(Lsn::new(LAST + 1)).expect("truncated");
            assert_eq!(wal.first_lsn().get(), LAST + 1);
            assert!(segments(&machine) <= 2);
            drop(wal);
            machine.lose_unsynced();
            let wal = machine.open();
            assert_eq!(wal.first_lsn().get(), LAST + 1);
            machine.storage.set_capacity(None);
            append(&wal, LAST + 1..=LAST + 3);
            wal.close().expect("closed");
            assert_holds(&machine.open(), LAST + 1..=LAST + 3);
            let names = machine.file_names();
            assert!(
                !names.iter().any(|name| name.contains("first")),
                "{names:?}"
            );
        }
    }
}

#[test]
fn where_no_segment_can_go_the_error_says_where_the_log_starts() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.close().expect("closed");
    drop(wal);
    fill_up(&machine);
    let wal = machine.open();
    let said = no_space(wal.truncate_before(Lsn::new(4)));
    assert!(said.contains("the log still starts at LSN 1"), "{said}");
    assert_holds(&wal, 1..=5);
    machine.storage.set_capacity(None);
    wal.truncate_before(Lsn::new(4)).expect("truncated");
    assert_holds(&wal, 4..=5);
}

#[test]
fn a_crash_at_every_change_of_a_truncation_with_no_byte_free() {
    for change in 0..100 {
        let mut over = false;
        for seed in 0..6 {
            let mut machine = full(FsyncPolicy::Always, seed % 2 == 0);
            let wal = machine.open();
            fill_up(&machine);
            let cut = Fault::power_cut(Moment::During).after(change);
            machine.storage.inject(cut);
            let outcome = wal.truncate_before(Lsn::new(MIDDLE));
            machine.storage.clear_faults();
            over |= outcome.is_ok() && !machine.storage.has_lost_power();
            drop(wal);
            machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            machine.storage.set_capacity(None);
            let wal = machine.open();
            let first = wal.first_lsn().get();
            assert!(
                first == MIDDLE || (first == 1 && outcome.is_err()),
                "{first}"
            );
            assert_holds(&wal, first..=LAST);
            drop(wal);
            machine.lose_unsynced();
            assert_holds(&machine.open(), first..=LAST);
        }
        if over {
            assert!(change > 3, "it was cut short");
            return;
        }
    }
    panic!("it never came to an end");
}

/// The log ends at `kept`, and continues there when there is room.
fn ends_at(mut machine: Machine, kept: u64) {
    let wal = machine.open();
    fill_up(&machine);
    wal.truncate_after(Lsn::new(kept)).expect("truncated");
    assert_eq!(wal.last_lsn().get(), kept);
    drop(wal);
    machine.lose_unsynced();
    let wal = machine.open();
    assert_eq!(wal.last_lsn().get(), kept);
    machine.storage.set_capacity(None);
    append(&wal, kept + 1..=kept + 30);
    wal.close().expect("closed");
    assert_holds(&machine.open(), 1..=kept + 30);
}

#[test]
fn truncate_after_works_with_no_byte_free() {
    for policy in policies() {
        for kept in [0, 20, MIDDLE, LAST - 1] {
            ends_at(full(policy, true), kept);
        }
    }
}

#[test]
fn truncate_after_works_with_no_byte_free_after_a_kill() {
    // Opening takes the reserve. It is made again of the space that the killed process had allocated.
    for policy in policies() {
        for kept in [0, 20, MIDDLE, LAST - 1] {
            let mut machine = Machine::new(policy).segments_of(4 << 20);
            let wal = machine.open();
            append(&wal, 1..=LAST);
            wal.flush().expect("flushed");
            machine.kill();
            drop(wal);
            fill_up(&machine);
            ends_at(machine, kept);
        }
    }
}

#[test]
fn a_crash_at_every_change_of_truncate_after_with_no_byte_free() {
    for change in 0..100 {
        let mut over = false;
        for seed in 0..6 {
            let mut machine = full(FsyncPolicy::Always, true);
            let wal = machine.open();
            fill_up(&machine);
            let cut = Fault::power_cut(Moment::During).after(change);
            machine.storage.inject(cut);
            let outcome = wal.truncate_after(Lsn::new(MIDDLE));
            machine.storage.clear_faults();
            over |= outcome.is_ok() && !machine.storage.has_lost_power();
            drop(wal);
            machine.storage = machine.storage.crash(&mut Seeded::streaky(seed));
            let wal = machine.open();
            let last = wal.last_lsn().get();
            assert!(
                last == MIDDLE || (last == LAST && outcome.is_err()),
                "{last}"
            );
            assert_holds(&wal, 1..=last);
        }
        if over {
            assert!(change > 3, "it was cut short");
            return;
        }
    }
    panic!("it never came to an end");
}

#[test]
fn a_killed_log_opens_with_no_byte_free() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=100);
    wal.flush().expect("flushed");
    machine.kill();
    drop(wal);
    fill_up(&machine);
    let wal = machine.open();
    assert_holds(&wal, 1..=100);
    drop(wal);
    machine.lose_unsynced();
    machine.storage.set_capacity(None);
    assert_holds(&machine.open(), 1..=100);
    assert!(has_reserve(&machine), "it is made again");
}

/// A later sync of the same file may succeed and prove nothing of the pages that the first one lost.
#[test]
fn a_file_of_the_reserve_whose_sync_has_failed_is_not_used_again() {
    for error in [SystemError::NoSpace, SystemError::Io] {
        let machine = full(FsyncPolicy::Always, false);
        let files = machine.reserve().len();
        machine
            .storage
            .inject(Fault::error(error).on(OperationKind::SyncData));
        assert!(machine.try_open().is_err(), "{error:?}");
        assert_eq!(machine.reserve().len(), files - 1, "{error:?}");
        // The other one serves.
        if files > 1 {
            assert_holds(&machine.open(), 1..=LAST);
        }
    }
}

#[test]
fn the_reserve_is_made_again_when_there_is_room() {
    for version in [FormatVersion::V1, FormatVersion::V2] {
        let machine = Machine::new(FsyncPolicy::Always).in_version(version);
        let machine = filled(machine, true);
        let wal = machine.open();
        assert!(has_reserve(&machine));
        wal.truncate_after(Lsn::new(MIDDLE)).expect("truncated");
        // The segments that were superseded have made room.
        assert!(has_reserve(&machine));
        wal.truncate_after(Lsn::new(MIDDLE - 1)).expect("truncated");
        machine.storage.set_capacity(None);
        let mut n = MIDDLE - 1;
        while !has_reserve(&machine) && n < LAST {
            n += 1;
            append(&wal, n..=n);
            let _ = wal.drive();
        }
        assert!(has_reserve(&machine), "with the next segment");
        assert_holds(&wal, 1..=n);
    }
}

#[test]
fn where_the_reserve_does_not_suffice_nothing_changes() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(8 << 20);
    let wal = machine.open();
    append(&wal, 1..=3);
    let records: Vec<_> = (4..=33).map(|n| Record::data(large(n, 100_000))).collect();
    wal.append_batch(&records).expect("appended");
    wal.close().expect("closed");
    drop(wal);
    fill_up(&machine);
    let wal = machine.open();
    let before = machine.segments();
    // Most of the batch stays, in a segment of its own.
    let said = no_space(wal.truncate_after(Lsn::new(30)));
    let bytes = said.split(['(', ')']).nth(1).expect("a number of bytes");
    let bytes: u64 = bytes.trim_end_matches(" bytes").parse().expect("a number");
    assert!((2_700_000..3_500_000).contains(&bytes), "{said}");
    assert_eq!(machine.segments(), before);
    assert!(has_reserve(&machine));
    assert_eq!(wal.last_lsn().get(), 33);
    // Less of it fits.
    wal.truncate_after(Lsn::new(8)).expect("truncated");
    assert_eq!(wal.last_lsn().get(), 8);
}

#[test]
fn where_a_new_name_takes_space_nothing_changes() {
    for closed in [true, false] {
        let mut machine = full(FsyncPolicy::Always, closed);
        let wal = machine.open();
        let before = machine.segments();
        let fault = Fault::error(SystemError::NoSpace).on(OperationKind::Rename);
        machine.storage.inject(fault.persistent());
        no_space(wal.truncate_after(Lsn::new(MIDDLE)));
        if closed {
            no_space(wal.truncate_before(Lsn::new(MIDDLE)));
        }
        assert_eq!(machine.segments(), before);
        assert_holds(&wal, 1..=LAST);
        machine.storage.clear_faults();
        wal.truncate_before(Lsn::new(MIDDLE)).expect("truncated");
        drop(wal);
        machine.kill();
        assert_holds(&machine.open(), MIDDLE..=LAST);
    }
}

#[test]
fn a_segment_under_the_name_of_the_reserve_is_never_used() {
    // Where a rename is a link and an unlink, a crash leaves both names of one file.
    for found in [true, false] {
        let machine = full(FsyncPolicy::Always, found);
        machine.storage.set_capacity(None);
        let wal = machine.open();
        machine.remove_reserve();
        let alias = machine.storage.link_file(&segment(1), RESERVE_NAME);
        alias.expect("a second name");
        let image = machine.storage.image();
        let before = image.get(RESERVE_NAME).expect("a file").to_vec();
        fill_up(&machine);
        let said = no_space(wal.truncate_after(Lsn::new(MIDDLE)));
        assert!(said.contains("bytes"), "{said}");
        let image = machine.storage.image();
        assert_eq!(image.get(RESERVE_NAME), Some(&before[..]));
        assert_holds(&wal, 1..=LAST);
    }
}

#[test]
fn a_log_without_a_reserve_works() {
    let machine = full(FsyncPolicy::Always, true);
    machine.remove_reserve();
    fill_up(&machine);
    let wal = machine.open();
    no_space(wal.truncate_after(Lsn::new(MIDDLE)));
    assert_holds(&wal, 1..=LAST);
    wal.close().expect("closed");
}

fn refused(wal: &Wal, n: u64) {
    no_space(wal.append(RecordRef::data(&large(n, 1000))));
}

#[test]
fn a_truncated_log_on_a_full_disk_goes_on() {
    let machine = full(FsyncPolicy::Always, true);
    let wal = machine.open();
    refused(&wal, LAST + 1);
    wal.truncate_before(Lsn::new(MIDDLE)).expect("truncated");
    // The space that it has freed is the log's again.
    append(&wal, LAST + 1..=LAST + 10);
    assert_holds(&wal, MIDDLE..=LAST + 10);
    // The same without opening: there is nothing more to remove.
    drop(wal);
    let storage: Arc<dyn wal_io::Storage> = Arc::new(machine.storage.clone());
    let done = Offline::on(Arc::clone(&storage))
        .truncate_before(Lsn::new(MIDDLE + 1))
        .expect("truncated");
    assert!(done.first_lsn.get() >= MIDDLE);
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
fn truncations_of_both_ends_with_no_byte_free_do_not_cross() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(16 * KIB);
    let watched = Watched::new(&machine.storage);
    let builder = wal_core::Wal::builder("log")
        .storage(Arc::new(watched.clone()))
        .config(machine.config.clone())
        .small_segments();
    let wal = finish(in_tested_version(builder).open()).expect("opened");
    let mut last = 0;
    loop {
        if last == 600 {
            fill_up(&machine);
        }
        match finish(wal.append(RecordRef::data(&payload(last + 1)))) {
            Ok(_) => last += 1,
            Err(Error::NoSpace { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    finish(wal.flush()).expect("flushed");
    // Under one sync that is held up, cuts fill what the segment keeps for them.
    let names = machine.file_names();
    let newest = names.iter().rfind(|name| is_segment(name));
    watched.hold_syncs_of(newest.expect("a segment"));
    let leader = wal.clone();
    let leader = std::thread::spawn(move || finish(leader.truncate_before(Lsn::new(2))));
    watched.wait_for_a_sync();
    let mut context = Context::from_waker(Waker::noop());
    let mut cuts: Vec<_> = (3..14)
        .map(|lsn| Box::pin(wal.truncate_before(Lsn::new(lsn))))
        .collect();
    for cut in &mut cuts {
        assert!(cut.as_mut().poll(&mut context).is_pending());
    }
    // So this one drops by a name, once what it drops is durable.
    let mut before = Box::pin(wal.truncate_before(Lsn::new(last)));
    for _ in 0..40 {
        assert!(before.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_millis(2));
    }
    // That it is it hears from a truncation of the newest records, which is half done by then.
    let mut after = Box::pin(wal.truncate_after(Lsn::new(50)));
    assert!(after.as_mut().poll(&mut context).is_pending());
    watched.hold_syncs_of_the_directory();
    until("all is durable", || wal.durable_lsn().get() == last);
    watched.wait_for_a_sync();
    assert!(before.as_mut().poll(&mut context).is_pending());
    watched.let_syncs_go();
    finish(after).expect("truncated");
    let refused = finish(before);
    assert!(
        matches!(refused, Err(Error::NotAppended { next, .. }) if next.get() == 51),
        "{refused:?}"
    );
    drop(cuts);
    leader.join().expect("no panic").expect("truncated");
    let first = wal.first_lsn().get();
    assert!(first < 14, "{first}");
    drop(wal);
    machine.lose_unsynced();
    assert_holds(&machine.open(), first..=50);
}
