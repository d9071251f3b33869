//! Real logs at a moment that is hard to reach by hand.

use wal_core::{FsyncPolicy, Lsn, Tail};
use wal_io::fault::{Fault, Moment, OperationKind};

use crate::common::trace::{segment, spare};
use crate::common::{Machine, SMALL, WINDOW, append, assert_holds, is_half_made};

#[test]
fn a_rotation_that_was_cut_off_before_each_of_its_steps() {
    // The spare, its rename, the link, the footer: whatever was last, all that was handed over before is there.
    let live = |machine: &Machine| {
        let wal = machine.try_open()?;
        for n in 1..=130 {
            let payload = crate::common::payload(n);
            wal.durable().append(wal_core::RecordRef::data(&payload))?;
            let _ = wal.drive();
        }
        Ok::<_, wal_core::Error>(())
    };
    let whole = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    live(&whole).expect("nothing fails");
    assert!(whole.segments().len() > 1);
    for at in 0..whole.storage.change_count() {
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        machine
            .storage
            .inject(Fault::power_cut(Moment::Before).after(at));
        assert!(live(&machine).is_err());
        machine.kill();
        let names = machine.file_names();
        let wal = machine.open();
        let report = wal.recovery_report();
        for name in names.iter().filter(|name| is_half_made(name)) {
            assert!(report.leftovers.contains(name), "change {at}: {report:?}");
        }
        assert_eq!(report.tail, Tail::Whole, "change {at}");
        let last = wal.last_lsn().get();
        assert_holds(&wal, 1..=last);
    }
}

#[test]
fn a_spare_that_was_not_taken_is_reported_and_goes() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let wal = machine.open();
    let mut n = 0;
    while !machine.file_names().contains(&spare(2)) {
        n += 1;
        append(&wal, n..=n);
        let _ = wal.drive();
    }
    wal.sync().expect("synced");
    machine.kill();
    let wal = machine.open();
    assert!(wal.recovery_report().leftovers.contains(&spare(2)));
    assert!(!machine.file_names().contains(&spare(2)));
    assert_holds(&wal, 1..=n);
}

#[test]
fn a_truncation_that_was_cut_off_between_its_unlinks() {
    let mut machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=300);
    let segments = wal.list_segments().expect("segments").len() as u64;
    assert!(segments > 4);
    let fault = Fault::power_cut(Moment::Before);
    machine
        .storage
        .inject(fault.on(OperationKind::Remove).after(2));
    // The cut is durable, so the truncation holds, whatever it answers.
    let _ = wal.truncate_before(Lsn::new(300));
    assert!(machine.storage.has_lost_power());
    machine.kill();
    let wal = machine.open();
    assert_holds(&wal, 300..=300);
    let mut leftovers = wal.recovery_report().leftovers.clone();
    leftovers.sort();
    leftovers.retain(|name| *name < segment(segments));
    assert_eq!(leftovers, (3..segments).map(segment).collect::<Vec<_>>());
    let left = machine.segments();
    assert!(left.iter().all(|(name, _)| *name >= segment(segments)));
}

#[test]
fn an_unclean_stop_without_anything_new() {
    // Opened, closed, opened, killed: the second life has left no file.
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.close().expect("closed");
    let _second = machine.open();
    machine.kill();
    let wal = machine.open();
    assert!(wal.recovery_report().clean);
    assert_holds(&wal, 1..=5);
}

#[test]
fn many_unclean_stops_in_a_row_leave_no_files_behind() {
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
    for round in 0..30 {
        let wal = machine.open();
        let last = wal.last_lsn().get();
        assert_eq!(last, round);
        append(&wal, last + 1..=last + 1);
        wal.flush().expect("flushed");
        machine.kill();
    }
    let wal = machine.open();
    assert_holds(&wal, 1..=30);
    let names = machine.file_names();
    assert!(!names.iter().any(|name| is_half_made(name)));
    let listed: Vec<_> = wal.list_segments().expect("segments");
    let names: Vec<_> = machine
        .segments()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<_> = listed.iter().map(|id| segment(id.get())).collect();
    assert_eq!(names, listed);
}
