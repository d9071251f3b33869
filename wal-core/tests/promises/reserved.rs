//! A log of version 2 goes on in its reserve when no byte is free: a number of truncations, each with a record, and of small records,
//! over any number of sessions.

use wal_core::{Alignment, Error, FsyncPolicy, Lsn, RecordRef};

use crate::common::full_log::{ENDS, End, Log, Step, fill_up};
use crate::common::{large, policies};

const KIB: u64 = 1 << 10;
const TRUNCATIONS: usize = 16;
const RECORDS: usize = 64;

/// The steps that the reserve has room for, in several orders.
fn orders() -> [Vec<Step>; 3] {
    let (truncations, records) = ([Step::Truncate; TRUNCATIONS], [Step::Record; RECORDS]);
    let mixed = (0..TRUNCATIONS + RECORDS).map(|at| {
        if at % 5 == 2 {
            Step::Truncate
        } else {
            Step::Record
        }
    });
    [
        [&truncations[..], &records].concat(),
        [&records[..], &truncations].concat(),
        mixed.collect(),
    ]
}

/// Segment lengths that hold the whole counts, with their paddings.
const SHAPES: [(u64, Alignment); 4] = [
    (128 * KIB, Alignment::Eight),
    (256 * KIB, Alignment::Sector512),
    (512 * KIB, Alignment::Sector4096),
    (1 << 20, Alignment::Eight),
];

#[test]
fn with_no_byte_free_the_reserve_holds_the_counts_in_any_order_and_over_any_sessions() {
    for (segment, padding) in SHAPES {
        for (number, order) in orders().into_iter().enumerate() {
            for (begun, end) in ENDS.into_iter().enumerate() {
                let policy = policies()[(number + begun) % 3];
                let mut log = Log::full(policy, segment, padding, ENDS[begun]);
                for (at, step) in order.iter().enumerate() {
                    if let Err(error) = log.step(*step) {
                        panic!("{segment}, {padding:?}, {end:?}: step {at}, {step:?}: {error}");
                    }
                    log.refuses();
                    if at % 9 == number {
                        log.again(ENDS[(at / 9 + begun) % 4]);
                        log.refuses();
                    }
                }
                log.check();
                log.again(end);
                log.recovers();
            }
        }
    }
}

#[test]
fn one_kind_of_the_reserved_calls_leaves_the_room_of_the_other() {
    for (segment, padding) in SHAPES {
        for first in [Step::Truncate, Step::Record] {
            for end in ENDS {
                let mut log = Log::full(FsyncPolicy::Always, segment, padding, end);
                let (one, other) = match first {
                    Step::Truncate => (Step::Truncate, Step::Record),
                    Step::Record => (Step::Record, Step::Truncate),
                };
                let count = log.exhaust(one);
                log.again(end);
                // Another session has no more room than this one.
                let more = if log.is_in_reserve() {
                    log.exhaust(one)
                } else {
                    assert_eq!(end, End::PowerLoss);
                    0
                };

                let least = |step| match step {
                    Step::Truncate => TRUNCATIONS,
                    Step::Record => RECORDS,
                };
                assert!(count >= least(one), "{count} {one:?}");
                assert!(count + more <= count + 1, "{count}, then {more}");
                let count = log.exhaust(other);
                assert!(count >= least(other), "{count} {other:?}");
                log.again(end);
                if end != End::PowerLoss {
                    assert_eq!(log.exhaust(Step::Truncate), 0);
                }
                log.recovers();
            }
        }
    }
}

#[test]
fn the_log_is_opened_any_number_of_times_with_no_byte_free() {
    for (at, policy) in policies().into_iter().enumerate() {
        let mut log = Log::full(policy, 128 * KIB, Alignment::Eight, ENDS[at]);
        for session in 0..200 {
            if session % 10 == 0 {
                let step = if session % 40 == 0 {
                    Step::Truncate
                } else {
                    Step::Record
                };
                log.step(step).expect("there is room");
            }
            log.again(ENDS[(session / 3 + at) % 4]);
        }
        log.recovers();
    }
}

#[test]
fn however_many_sessions_append_a_little_each_the_log_can_be_opened() {
    let mut log = Log::full(FsyncPolicy::Os, 128 * KIB, Alignment::Eight, End::Close);
    let mut refused = 0;
    for session in 0..300 {
        let (next, value) = (log.last() + 1, vec![session as u8]);
        match log.wal().append_reserved(RecordRef::data(&value)) {
            Ok(position) => {
                assert_eq!(position.lsn.get(), next);
                log.records.insert(next, value);
            }
            Err(Error::NoSpace { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        fill_up(&log.machine);
        log.again(ENDS[session % 4]);
    }
    assert!(
        (1..300 - TRUNCATIONS - RECORDS).contains(&refused),
        "{refused}"
    );
    log.recovers();
}

#[test]
fn truncate_after_works_any_number_of_times_with_no_byte_free() {
    for (at, policy) in policies().into_iter().enumerate() {
        let mut log = Log::full(policy, 128 * KIB, Alignment::Eight, ENDS[at]);
        for round in 0..60 {
            // The space that a truncation frees is not the log's.
            let _ = log.step(Step::Record);
            let _ = log.step(Step::Record);
            fill_up(&log.machine);
            let kept = log.last() - 1 - u64::from(round % 7 == 6);
            log.wal().truncate_after(Lsn::new(kept)).expect("truncated");
            fill_up(&log.machine);
            log.records.split_off(&(kept + 1));
            log.check();
            if round % 4 == 0 {
                log.again(ENDS[(round / 4) % 4]);
            }
        }
        log.recovers();
    }
}

#[test]
fn the_reserve_is_left_only_where_it_is_whole_afterwards() {
    let segment = 128 * KIB;
    let mut log = Log::full(FsyncPolicy::Always, segment, Alignment::Eight, End::Close);
    log.step(Step::Truncate).expect("there is room");
    assert!(log.is_in_reserve());
    let used = log.machine.storage.used_space();
    let image = log.machine.storage.image();
    let other = image.get(&log.machine.reserve()[0]).expect("a file");
    let reserve = other.len() as u64;
    for (free, leaves) in [
        (segment, false),
        (reserve, false),
        (segment + reserve + 8 * KIB, true),
    ] {
        log.machine.storage.set_capacity(Some(used + free));
        let (next, value) = (log.last() + 1, large(log.last() + 1, 300));
        match log.wal().append(RecordRef::data(&value)) {
            Ok(_) => drop(log.records.insert(next, value)),
            Err(Error::NoSpace { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(log.last() == next, leaves, "{free} bytes free");
    }
    assert_eq!(log.machine.reserve().len(), 2);
    log.check();
    // The segment that it has left is one of the others from now on.
    for end in ENDS {
        fill_up(&log.machine);
        log.again(end);
    }
    let names = log.machine.file_names();
    let segments = names.iter().filter(|name| name.ends_with("wal")).count();
    log.step(Step::Truncate).expect("there is room");
    log.step(Step::Record).expect("there is room");
    log.again(End::Kill);
    let names = log.machine.file_names();
    let now = names.iter().filter(|name| name.ends_with("wal")).count();
    assert!(now <= segments + 1, "{names:?}");
    log.recovers();
}

#[test]
fn a_record_that_is_too_long_for_the_reserve_is_refused_at_any_time() {
    let mut log = Log::full(FsyncPolicy::Always, 128 * KIB, Alignment::Eight, End::Close);
    for capacity in [Some(log.machine.storage.used_space()), None] {
        log.machine.storage.set_capacity(capacity);
        let (bytes, more_bytes) = (vec![1; 513], vec![1; 4097]);
        let first = Lsn::new(log.first + 1);
        let refused = log.wal().append_reserved(RecordRef::data(&bytes));
        assert!(matches!(refused, Err(Error::TooLarge { limit: 512, .. })));
        let refused = log
            .wal()
            .truncate_before_with(first, RecordRef::data(&more_bytes));
        assert!(matches!(refused, Err(Error::TooLarge { limit: 4096, .. })));
        let next = Lsn::new(log.last() + 2);
        let refused = log.wal().truncate_before_with(next, RecordRef::data(b"r"));
        assert!(matches!(refused, Err(Error::NotAppended { .. })));
        log.check();
        log.step(Step::Truncate).expect("there is room");
        log.step(Step::Record).expect("there is room");
    }
}
