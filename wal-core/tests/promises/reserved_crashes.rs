//! A log of version 2 loses nothing of what the reserve holds, wherever the power fails or the process is killed.

use wal_core::{Alignment, FsyncPolicy, Lsn, RecordRef};
use wal_io::fault::{
    DirectoryOrder, Fault, FaultConfig, Moment, OperationKind, Rename, Seeded, SystemError,
    Unpersisted,
};

use crate::common::full_log::{ENDS, End, Log, Step, fill_up};
use crate::common::{large, policies};

const KIB: u64 = 1 << 10;

/// A machine that is as good as it must be, or better.
fn rules(seed: u64) -> FaultConfig {
    FaultConfig {
        rename: [Rename::Atomic, Rename::LinkThenUnlink][(seed % 2) as usize],
        directory: [DirectoryOrder::Unordered, DirectoryOrder::Ordered][(seed / 2 % 2) as usize],
        unpersisted: [Unpersisted::Zeros, Unpersisted::Stale][(seed / 4 % 2) as usize],
        ..FaultConfig::default()
    }
}

/// Some sessions with no byte free, then one with room, and a fault at a change; false if there are fewer changes.
fn interrupted(change: u64, moment: Moment, power: bool, seed: u64) -> bool {
    let steps = [Step::Truncate, Step::Record, Step::Truncate, Step::Record];
    let begun = ENDS[(seed % 4) as usize];
    let policy = policies()[(seed % 3) as usize];
    let mut log = Log::full_on(rules(seed), policy, 128 * KIB, Alignment::Eight, begun);
    fill_up(&log.machine);
    let cut = Fault::power_cut(moment);
    log.machine.storage.inject(cut.after(change));
    let mut durable = log.last();
    let mut asked = None;
    'sessions: for session in 0..4 {
        let has_room = session == 3;
        if has_room {
            log.is_full = false;
            log.machine.storage.set_capacity(None);
            let (next, value) = (log.last() + 1, large(log.last() + 1, 300));
            let done = log.wal().durable().append(RecordRef::data(&value));
            if log.machine.storage.faults_struck() == 0 {
                durable = done.expect("there is room").lsn.get();
            } else {
                asked = Some((next, Step::Record));
            }
            log.records.insert(next, value);
        }
        for step in steps.into_iter().filter(|_| asked.is_none()) {
            let (next, value) = (log.last() + 1, log.value(step));
            let done = log.step(step);
            durable = durable.max(log.wal().durable_lsn().get());
            if log.machine.storage.faults_struck() > 0 {
                if done.is_err() {
                    asked = Some((next, step));
                    log.records.insert(next, value);
                }
                break 'sessions;
            }
            done.expect("there is room");
        }
        let wal = log.wal.take().expect("it is open");
        let ended = if (seed + session).is_multiple_of(2) {
            wal.close()
        } else {
            wal.flush()
        };
        drop(wal);
        if log.machine.storage.faults_struck() > 0 {
            break;
        }
        ended.expect("ended");
        if session == 3 {
            break;
        }
        fill_up(&log.machine);
        match log.try_open() {
            Ok(wal) => log.wal = Some(wal),
            Err(error) => {
                assert!(log.machine.storage.faults_struck() > 0, "{error}");
                break;
            }
        }
        durable = log.last();
    }
    let struck = log.machine.storage.faults_struck() > 0;
    log.machine.storage.clear_faults();
    (log.wal, log.is_full) = (None, true);
    if power {
        log.machine.storage = log.machine.storage.crash(&mut Seeded::streaky(seed));
    } else {
        log.machine.kill();
    }
    // With no byte free, whatever the crash has left.
    for session in 0..4 {
        fill_up(&log.machine);
        let wal = match log.try_open() {
            Ok(wal) => wal,
            Err(error) => panic!("change {change}, {moment:?}, seed {seed}: {error}"),
        };
        if session == 0 {
            let last = wal.last_lsn().get();
            let durable = durable.min(asked.map_or(durable, |(lsn, _)| lsn - 1));
            assert!(
                last >= durable && last <= log.last(),
                "{last}, {durable}, {asked:?}"
            );
            log.records.split_off(&(last + 1));
            let first = wal.first_lsn().get();
            if let Some((lsn, Step::Truncate)) = asked
                && first == log.first + 1
            {
                assert!(last >= lsn, "a truncation without its record");
                log.first = first;
            }
        }
        log.wal = Some(wal);
        log.check();
        fill_up(&log.machine);
        log.step(Step::Truncate).expect("there is room");
        log.step(Step::Record).expect("there is room");
        log.wal().sync().expect("synced");
        log.end(ENDS[((seed + session) % 3) as usize]);
    }
    log.machine.storage.set_capacity(None);
    log.open();
    log.recovers();
    struck
}

fn a_fault_at_every_change(power: bool) {
    for change in 0..1000 {
        let mut any = false;
        for (at, moment) in [Moment::Before, Moment::During, Moment::After]
            .into_iter()
            .enumerate()
        {
            for seed in 0..4 {
                any |= interrupted(change, moment, power, change * 12 + at as u64 * 4 + seed);
            }
        }
        if !any {
            assert!(change > 40, "{change}");
            return;
        }
    }
    panic!("it never came to an end");
}

#[test]
fn a_power_loss_at_every_change_of_sessions_with_no_byte_free() {
    a_fault_at_every_change(true);
}

#[test]
fn a_kill_at_every_change_of_sessions_with_no_byte_free() {
    a_fault_at_every_change(false);
}

/// What a killed process has written and not synced is there until the power fails: no file goes because of it.
#[test]
fn a_truncation_that_was_not_synced_removes_nothing_that_a_crash_brings_back() {
    let mut cut_short = 0;
    for change in 0..80 {
        let mut log = Log::full(FsyncPolicy::Always, 128 * KIB, Alignment::Eight, End::Close);
        log.step(Step::Record).expect("there is room");
        assert!(log.is_in_reserve());
        let failing = Fault::error(SystemError::Io).on(OperationKind::SyncData);
        log.machine.storage.inject(failing);
        let first = log.first + 33;
        let truncated = log.wal().truncate_before(Lsn::new(first));
        truncated.expect_err("the sync has failed");
        log.wal = None;
        log.machine.kill();
        let cut = Fault::power_cut(Moment::Before).on_changes().after(change);
        log.machine.storage.inject(cut);
        cut_short += u32::from(log.try_open().is_err());
        log.machine.storage = log.machine.storage.crash(&mut Seeded::streaky(change));
        log.machine.storage.set_capacity(None);
        let opened = log.try_open();
        let wal = opened.unwrap_or_else(|error| panic!("change {change}: {error}"));
        if wal.first_lsn().get() == first {
            log.first = first;
        }
        log.wal = Some(wal);
        log.check();
    }
    assert!(cut_short > 10, "{cut_short}");
}
