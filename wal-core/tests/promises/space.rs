//! The log's space on disk does not grow with the number of opens, closes, kills and power losses.

use wal_core::{FsyncPolicy, Lsn, RecordRef};
use wal_format::FileName;
use wal_io::fault::{Fault, Moment};

use crate::common::trace::segment;
use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, is_segment, large, policies, read_all,
};

const KIB: u64 = 1 << 10;
const SEGMENT: u64 = 64 * KIB;
/// A file is cut at a multiple of this; a footer and the room for it may lie behind that.
const BLOCK: u64 = 4 * KIB;

/// The length of each file, the reserve left out.
fn lengths(machine: &Machine) -> Vec<(String, u64)> {
    let image = machine.storage.image();
    let files = image.files().filter(|(name, _)| !name.starts_with('.'));
    files
        .map(|(name, bytes)| (name.to_owned(), bytes.len() as u64))
        .collect()
}

/// Files with the space of a whole segment.
fn whole(machine: &Machine) -> Vec<String> {
    let files = lengths(machine).into_iter();
    let whole = files.filter(|(_, len)| *len > SEGMENT / 2);
    whole.map(|(name, _)| name).collect()
}

/// How the lives end.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Drop,
    Kill,
    PowerLoss,
}

const ENDS: [End; 4] = [End::Close, End::Drop, End::Kill, End::PowerLoss];

/// Lives of a few records each, ended as `end` says for each.
fn live(policy: FsyncPolicy, lives: u64, end: impl Fn(u64) -> End) {
    let mut machine = Machine::new(policy);
    let mut last = 0;
    for n in 0..lives {
        let wal = machine.open();
        // Files that the previous session left or had begun.
        let begun = whole(&machine);
        assert!(begun.len() <= 2, "life {n}: {begun:?}");
        append(&wal, last + 1..=last + 5);
        wal.sync().expect("synced");
        last += 5;
        let _ = wal.drive();
        let begun = whole(&machine);
        assert!(begun.len() <= 1, "life {n}: {begun:?}");
        let bytes: u64 = lengths(&machine).iter().map(|(_, len)| *len).sum();
        assert!(bytes <= SEGMENT + (n + 1) * 2 * BLOCK, "life {n}: {bytes}");
        match end(n) {
            End::Close => wal.close().expect("closed"),
            End::Drop => drop(wal),
            End::Kill => machine.kill(),
            End::PowerLoss => machine.crash(n),
        }
    }
    assert_holds(&machine.open(), 1..=last);
    assert_eq!(machine.verify().expect("verified").damage().count(), 0);
}

#[test]
fn space_does_not_grow_with_the_number_of_exits() {
    for policy in policies() {
        for end in ENDS {
            live(policy, 60, |_| end);
        }
        live(policy, 300, |n| ENDS[(n * 7 / 3 % 4) as usize]);
    }
}

#[test]
fn space_does_not_grow_with_power_losses_before_the_first_sync() {
    for seed in 0..8 {
        let mut machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.sync().expect("synced");
        drop(wal);
        for n in 0..60 {
            let wal = machine.open();
            let segments = machine.file_names();
            let segments: Vec<_> = segments.iter().filter(|name| is_segment(name)).collect();
            // Those with records, the newest, and one more that a footer or a link names.
            let live = wal.list_segments().expect("segments").len();
            assert!(segments.len() <= live + 3, "life {n}: {segments:?}");
            let last = wal.last_lsn().get();
            append(&wal, last + 1..=last + 1);
            wal.flush().expect("flushed");
            machine.crash(seed * 1000 + n);
        }
    }
}

#[test]
fn a_segment_is_cut_only_when_the_next_one_is_durable() {
    let mut machine = Machine::new(FsyncPolicy::Batch(WINDOW));
    let wal = machine.open();
    append(&wal, 1..=5);
    wal.sync().expect("synced");
    // An idle log proves its last records, so that an open has nothing to copy.
    machine.pass(&wal, std::time::Duration::from_secs(5));
    machine.kill();
    machine.config.fsync_policy = FsyncPolicy::Os;
    for sync in [false, true] {
        let wal = machine.open();
        let first = wal.last_lsn().get();
        append(&wal, first + 1..=first + 1);
        wal.flush().expect("flushed");
        let _ = wal.drive();
        assert!(whole(&machine).contains(&segment(1)), "not synced yet");
        if sync {
            wal.sync().expect("synced");
            let _ = wal.drive();
            assert!(!whole(&machine).contains(&segment(1)), "cut");
        }
        machine.lose_unsynced();
    }
    assert_holds(&machine.open(), 1..=6);
}

#[test]
fn truncate_after_gives_back_the_space_of_an_earlier_life() {
    let mut machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    append(&wal, 1..=5);
    machine.kill();
    let wal = machine.open();
    wal.truncate_after(Lsn::new(3)).expect("truncated");
    let _ = wal.drive();
    assert_eq!(whole(&machine).len(), 1);
    machine.lose_unsynced();
    assert_holds(&machine.open(), 1..=3);
}

#[test]
fn a_reader_beside_is_not_told_of_damage_where_space_was_given_back() {
    let mut machine = Machine::new(FsyncPolicy::Os).segments_of(4 << 20);
    let wal = machine.open();
    append(&wal, 1..=1);
    wal.sync().expect("synced");
    // One group, longer than a reader reads at a time. Nothing proves it.
    let records: Vec<_> = (2..=90)
        .map(|n| wal_core::Record::data(large(n, 10_000)))
        .collect();
    wal.append_batch(&records).expect("appended");
    wal.flush().expect("flushed");
    machine.kill();
    let look = machine.look().expect("looked at");
    let mut reader = look.read_from(Lsn::ZERO).expect("a reader");
    for _ in 0..5 {
        reader.next_record().expect("read").expect("a record");
    }
    let writer = machine.open();
    assert_eq!(writer.last_lsn().get(), 90);
    let cut = lengths(&machine)
        .into_iter()
        .find(|(name, _)| *name == segment(1));
    assert!(
        cut.is_some_and(|(_, len)| len < 100 * KIB),
        "the first segment is cut"
    );
    for n in 6..=90 {
        let (record, position) = reader.next_record().expect("read").expect("a record");
        assert_eq!(position.lsn.get(), n);
        assert_eq!(record.value, large(n, 10_000));
    }
    assert!(reader.next_record().expect("read").is_none());
}

#[test]
fn a_footer_whose_cut_was_lost_is_found_again() {
    // The data is durable and the footer too; the length is not.
    let mut machine = Machine::new(FsyncPolicy::Always);
    let wal = machine.open();
    let mut n = 0;
    while wal.list_segments().expect("segments").len() < 2 {
        n += 1;
        wal.append(RecordRef::data(&large(n, 6000)))
            .expect("appended");
        let _ = wal.drive();
    }
    let sealed = lengths(&machine)[0].clone();
    assert_eq!(FileName::parse(&sealed.0), FileName::parse(&segment(1)));
    machine.kill();
    let rest = vec![0; (2 * SEGMENT - sealed.1) as usize];
    machine
        .storage
        .extend_file(&sealed.0, &rest)
        .expect("extended");
    let wal = machine.open();
    assert_eq!(lengths(&machine)[0], sealed);
    assert_eq!(read_all(&wal).expect("read").len() as u64, n);
}

#[test]
fn space_does_not_grow_with_truncations_of_the_newest_records() {
    // As a consensus log does: a long tail is appended and dropped, and one record of it stays.
    for policy in policies() {
        for closed in [false, true] {
            let mut machine = Machine::new(policy);
            let mut wal = machine.open();
            let mut last = 0;
            for n in 0..40 {
                append(&wal, last + 1..=last + 300);
                wal.sync().expect("synced");
                if closed {
                    wal.close().expect("closed");
                    wal = machine.open();
                }
                last += 1;
                wal.truncate_after(Lsn::new(last)).expect("truncated");
                let _ = wal.drive();
                let whole = whole(&machine);
                assert!(whole.len() <= 1, "truncation {n}: {whole:?}");
            }
            assert_holds(&wal, 1..=last);
            assert_eq!(machine.verify().expect("verified").damage().count(), 0);
            drop(wal);
            machine.lose_unsynced();
            assert_holds(&machine.open(), 1..=last);
            assert_eq!(machine.verify().expect("verified").damage().count(), 0);
        }
    }
}

#[test]
fn a_crash_inside_truncate_after_does_not_keep_the_space_of_what_is_dropped() {
    let mut over = false;
    for change in 0..40 {
        for seed in 0..6 {
            let mut machine = Machine::new(FsyncPolicy::Always);
            let wal = machine.open();
            append(&wal, 1..=600);
            wal.close().expect("closed");
            let wal = machine.open();
            let cut = Fault::power_cut(Moment::During).after(change);
            machine.storage.inject(cut);
            let outcome = wal.truncate_after(Lsn::new(1));
            let _ = wal.drive();
            machine.storage.clear_faults();
            over = outcome.is_ok() && !machine.storage.has_lost_power();
            drop(wal);
            if seed == 0 {
                machine.kill();
            } else {
                machine.crash(seed);
            }
            let wal = machine.open();
            let last = wal.last_lsn().get();
            append(&wal, last + 1..=last + 3);
            let _ = wal.drive();
            let whole = whole(&machine);
            let most = if last == 1 { 1 } else { 2 };
            assert!(
                whole.len() <= most,
                "change {change}, crash {seed}: {whole:?}"
            );
            assert_holds(&wal, 1..=last + 3);
        }
        if over {
            assert!(change > 3, "it was cut short");
            return;
        }
    }
    panic!("it never came to an end");
}
