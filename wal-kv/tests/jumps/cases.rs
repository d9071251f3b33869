//! The jumps that happen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wal_kv::blocking::KvStore;
use wal_kv::{Condition, FsyncPolicy, UnixMillis};

use super::machine::{
    HOUR, MINUTE, Machine, POLICIES, SECOND, TODAY, YEAR_MILLIS, counted, has, put_for,
};
use crate::common;

#[test]
fn a_wall_clock_that_is_years_ahead_for_a_moment_ends_no_key_and_keeps_none() {
    for policy in POLICIES {
        let machine = Machine::new(policy);
        let store = machine.open();
        put_for(&store, "day", HOUR * 24);
        machine.clock.move_wall(10 * YEAR_MILLIS);
        assert!(has(&store, "day"));
        // 1.5 s in the year 2036, and a write then.
        machine.clock.advance(Duration::from_millis(1500));
        put_for(&store, "meanwhile", HOUR);
        assert!(has(&store, "day"));
        machine.clock.move_wall(-10 * YEAR_MILLIS);
        put_for(&store, "session", Duration::from_millis(300));
        machine.clock.advance(Duration::from_millis(299));
        assert!(has(&store, "session"));
        machine.clock.advance(Duration::from_millis(1));
        assert!(!has(&store, "session"));
        assert_eq!(counted(&store), (1, 0));
        // Nor does the jump reach the disk.
        let store = machine.reopen(store);
        assert!(!has(&store, "session"));
        assert!(has(&store, "day") && has(&store, "meanwhile"));
        machine.clock.advance(HOUR);
        assert!(has(&store, "day") && !has(&store, "meanwhile"));
        machine.clock.advance(HOUR * 23);
        assert!(!has(&store, "day"));
    }
}

#[test]
fn a_suspend_of_eight_hours_counts() {
    for policy in POLICIES {
        let machine = Machine::new(policy);
        let store = machine.open();
        put_for(&store, "loaded", HOUR * 9);
        let store = machine.reopen(store);
        put_for(&store, "short", HOUR * 8);
        put_for(&store, "long", HOUR * 9);
        machine.clock.suspend(HOUR * 8 - SECOND);
        assert!(has(&store, "short"));
        machine.clock.suspend(SECOND);
        assert!(!has(&store, "short"));
        assert!(has(&store, "long") && has(&store, "loaded"));
        machine.run(&store, 20);
        assert_eq!(counted(&store), (0, 0), "it is no jump");
        machine.clock.advance(HOUR);
        assert!(!has(&store, "long") && !has(&store, "loaded"));
    }
}

#[test]
fn a_machine_that_boots_in_1970_corrects_its_keys_when_it_learns_the_time() {
    for policy in POLICIES {
        for snapshot in [false, true] {
            let machine = Machine::new(policy);
            machine.clock.set_wall(UnixMillis::new(40_000));
            let store = machine.open();
            put_for(&store, "minute", MINUTE);
            put_for(&store, "hour", HOUR);
            machine.run(&store, 30);
            machine.clock.set_wall(UnixMillis::new(TODAY));
            machine.run(&store, 9);
            assert_eq!(counted(&store), (1, 0));
            machine.run(&store, 2);
            assert_eq!(counted(&store), (1, 1));
            assert!(has(&store, "minute") && has(&store, "hour"));
            let expiry = store.get_pair(b"hour").expect("a pair").expires_at();
            let left = HOUR - SECOND * 41;
            assert_eq!(
                expiry.map(UnixMillis::get),
                Some(machine.wall() + left.as_millis() as u64)
            );
            if snapshot {
                store.snapshot().expect("a snapshot");
            }
            let store = machine.reopen(store);
            assert!(has(&store, "minute") && has(&store, "hour"));
            machine.clock.advance(SECOND * 18);
            assert!(has(&store, "minute"));
            machine.clock.advance(SECOND);
            assert!(!has(&store, "minute") && has(&store, "hour"));
            machine.clock.advance(HOUR - MINUTE);
            assert!(!has(&store, "hour"));
        }
    }
}

#[test]
fn a_store_that_is_opened_in_1970_goes_on_from_the_time_that_it_knows() {
    for policy in POLICIES {
        let machine = Machine::new(policy);
        let store = machine.open();
        put_for(&store, "second", SECOND);
        put_for(&store, "hour", HOUR);
        machine.run(&store, 2);
        store.close().expect("closed");
        drop(store);
        machine.clock.set_wall(UnixMillis::new(40_000));
        let store = machine.open();
        assert!(has(&store, "hour") && !has(&store, "second"));
        assert_eq!(counted(&store), (1, 0));
        put_for(&store, "here", HOUR);
        // For a minute it is believed.
        machine.run(&store, 60);
        assert_eq!(counted(&store), (1, 1));
        assert!(has(&store, "hour") && has(&store, "here") && !has(&store, "second"));
        machine
            .clock
            .set_wall(UnixMillis::new(TODAY + 2000 + 60_000));
        machine.run(&store, 11);
        assert_eq!(counted(&store), (2, 2));
        let store = machine.reopen(store);
        assert!(has(&store, "hour") && has(&store, "here") && !has(&store, "second"));
        machine.clock.advance(HOUR - SECOND * 73);
        assert!(!has(&store, "hour") && has(&store, "here"));
        machine.clock.advance(SECOND * 2);
        assert!(!has(&store, "here"));
    }
}

#[test]
fn a_jump_of_an_hour_that_stays_is_followed_by_old_keys_and_not_by_new_ones() {
    for policy in POLICIES {
        let machine = Machine::new(policy);
        let store = machine.open();
        put_for(&store, "loaded short", MINUTE * 30);
        put_for(&store, "loaded long", HOUR * 2);
        let store = machine.reopen(store);
        put_for(&store, "short", MINUTE * 30);
        put_for(&store, "long", HOUR * 2);
        machine.clock.move_wall(3_600_000);
        machine.run(&store, 5);
        assert!(has(&store, "loaded short") && has(&store, "short"));
        machine.run(&store, 6);
        assert_eq!(counted(&store), (1, 1));
        assert_eq!(store.stats().clock_difference, 0);
        // By the wall clock its time is over.
        assert!(!has(&store, "loaded short"));
        for key in ["short", "long", "loaded long"] {
            assert!(has(&store, key), "{key}");
        }
        let store = machine.reopen(store);
        assert_eq!(counted(&store), (0, 0));
        assert!(has(&store, "short") && !has(&store, "loaded short"));
        machine.clock.advance(MINUTE * 30);
        assert!(!has(&store, "short") && has(&store, "loaded long"));
        machine.clock.advance(MINUTE * 30);
        assert!(!has(&store, "loaded long") && has(&store, "long"));
        machine.clock.advance(HOUR);
        assert!(!has(&store, "long"));
    }
}

#[test]
fn a_step_back_of_the_wall_clock_revives_nothing_and_ends_nothing() {
    for policy in POLICIES {
        for snapshot in [false, true] {
            let machine = Machine::new(policy);
            let store = machine.open();
            put_for(&store, "loaded gone", MINUTE);
            put_for(&store, "loaded", MINUTE * 3);
            store.put("loaded gone", "older").expect("put");
            put_for(&store, "loaded gone", MINUTE);
            let store = machine.reopen(store);
            put_for(&store, "gone", MINUTE);
            put_for(&store, "kept", MINUTE * 3);
            let view = store.view();
            // They expire at the moment of the correction, so no sweep has removed them before.
            machine.clock.advance(MINUTE - SECOND * 10);
            machine.clock.move_wall(-3_600_000);
            store.put("beat", "value").expect("put");
            machine.clock.advance(SECOND * 10);
            if snapshot {
                store.snapshot().expect("a snapshot");
            }
            store.put("beat", "value").expect("put");
            assert_eq!(counted(&store), (1, 1));
            assert!(!has(&store, "gone") && !has(&store, "loaded gone"));
            assert_eq!(view.get(b"loaded gone"), None);
            assert!(has(&store, "kept") && has(&store, "loaded"));
            assert_eq!(store.len(), 3);
            if snapshot {
                store.snapshot().expect("a snapshot");
            }
            drop(view);
            let store = machine.reopen(store);
            assert!(!has(&store, "gone") && !has(&store, "loaded gone"));
            machine.clock.advance(MINUTE * 2 - SECOND);
            assert!(has(&store, "kept"));
            machine.clock.advance(SECOND);
            assert!(!has(&store, "kept"));
            // What was loaded goes by the wall clock.
            assert!(has(&store, "loaded"));
            machine.clock.advance(HOUR);
            assert!(!has(&store, "loaded"));
        }
    }
}

#[test]
fn a_key_that_had_expired_stays_so_after_several_steps_back_and_forth() {
    for policy in POLICIES {
        let mut machine = Machine::new(policy);
        let mut store = machine.open();
        put_for(&store, "first", SECOND * 40);
        let mut kept = HOUR * 5;
        put_for(&store, "kept", kept);
        store = machine.reopen(store);
        for (round, by) in [3_600_000, -7_200_000, 60_000, -30_000, 3_630_000]
            .into_iter()
            .enumerate()
        {
            let key = format!("round {round}");
            put_for(&store, &key, SECOND * 12);
            machine.clock.move_wall(by);
            machine.run(&store, 12);
            assert_eq!(store.stats().clock_difference, 0, "round {round}");
            // Jumps of the wall clock count for what was loaded.
            kept = kept
                .saturating_sub(SECOND * 12)
                .saturating_sub(Duration::from_millis(u64::try_from(by).unwrap_or(0)))
                + Duration::from_millis(u64::try_from(-by).unwrap_or(0));
            assert!(!has(&store, &key) && has(&store, "kept"));
            assert!(!has(&store, "first"), "round {round}");
            if round % 2 == 1 {
                store.sync().expect("synced");
                machine.crash(store, round as u64);
                store = machine.open();
            } else {
                store = machine.reopen(store);
            }
            for round in 0..=round {
                assert!(!has(&store, &format!("round {round}")));
            }
            assert!(!has(&store, "first") && has(&store, "kept"));
        }
        machine.clock.advance(kept - Duration::from_millis(1));
        assert!(has(&store, "kept"));
        machine.clock.advance(Duration::from_millis(1));
        assert!(!has(&store, "kept"));
    }
}

#[test]
fn a_wall_clock_that_was_set_back_while_the_store_was_closed_is_believed_after_ten_seconds() {
    for policy in POLICIES {
        let machine = Machine::new(policy);
        let store = machine.open();
        put_for(&store, "gone", SECOND);
        put_for(&store, "hour", HOUR);
        machine.run(&store, 2);
        store.close().expect("closed");
        drop(store);
        machine.clock.move_wall(-3_600_000);
        let store = machine.open();
        assert!(!has(&store, "gone") && has(&store, "hour"));
        machine.run(&store, 11);
        assert_eq!(counted(&store), (1, 1));
        assert!(!has(&store, "gone") && has(&store, "hour"));
        machine.clock.advance(HOUR);
        assert!(has(&store, "hour"), "by the wall clock it has an hour left");
        let store = machine.reopen(store);
        assert!(!has(&store, "gone") && has(&store, "hour"));
        machine.clock.advance(HOUR);
        assert!(!has(&store, "hour"));
    }
}

#[test]
fn a_correction_survives_a_crash_once_it_is_counted() {
    for policy in POLICIES {
        for seed in 0..10 {
            let mut machine = Machine::new(policy);
            let store = machine.open();
            put_for(&store, "hour", HOUR);
            machine.clock.move_wall(7_200_000);
            machine.run(&store, 11);
            assert_eq!(counted(&store), (1, 1));
            machine.crash(store, seed);
            let store = machine.open();
            assert!(has(&store, "hour"));
            machine.clock.advance(HOUR - SECOND * 12);
            assert!(has(&store, "hour"));
            machine.clock.advance(SECOND);
            assert!(!has(&store, "hour"));
        }
    }
}

#[test]
fn a_crash_before_a_jump_is_believed_leaves_the_keys_by_the_old_time() {
    let mut machine = Machine::new(FsyncPolicy::Always);
    let store = machine.open();
    put_for(&store, "short", HOUR);
    put_for(&store, "long", HOUR * 3);
    machine.clock.move_wall(7_200_000);
    machine.run(&store, 9);
    assert!(has(&store, "short"));
    machine.crash(store, 0);
    let store = machine.open();
    assert!(!has(&store, "short") && has(&store, "long"));
    machine.clock.advance(HOUR - SECOND * 9);
    assert!(!has(&store, "long"));
}

#[test]
fn a_conditional_put_keeps_the_expiry_through_a_correction() {
    for policy in POLICIES {
        for loaded in [false, true] {
            let machine = Machine::new(policy);
            let mut store = machine.open();
            put_for(&store, "key", HOUR);
            if loaded {
                store = machine.reopen(store);
            }
            put_for(&store, "watched", HOUR * 9);
            machine.clock.move_wall(600_000);
            machine.run(&store, 11);
            assert_eq!(counted(&store), (1, 1));
            let outcome = store.put_if("key", "new", &Condition::Present);
            assert!(outcome.expect("decided").is_applied());
            // Ten minutes of what was loaded have passed by the wall clock.
            let left = HOUR - SECOND * 11 - if loaded { MINUTE * 10 } else { Duration::ZERO };
            // It was written in this session: later jumps do not touch it.
            machine.clock.move_wall(-3_600_000);
            machine.run(&store, 11);
            let left = left - SECOND * 11;
            let store = machine.reopen(store);
            machine.clock.advance(left - Duration::from_millis(1));
            assert_eq!(store.get(b"key").as_deref(), Some(&b"new"[..]));
            machine.clock.advance(Duration::from_millis(1));
            assert!(!has(&store, "key"), "{policy:?}, loaded: {loaded}");
        }
    }
}

#[test]
fn a_time_to_live_is_never_shorter_than_was_asked_for() {
    let machine = Machine::new(FsyncPolicy::Os);
    let store = machine.open();
    for micros in [1, 999, 1000, 1001, 2500] {
        machine.clock.advance(Duration::from_micros(677));
        let ttl = Duration::from_micros(micros);
        put_for(&store, "key", ttl);
        machine.clock.advance(ttl - Duration::from_micros(1));
        assert!(has(&store, "key"), "{micros} us");
        machine.clock.advance(Duration::from_millis(1));
        assert!(!has(&store, "key"), "{micros} us");
    }
}

#[test]
fn the_thread_of_a_store_corrects_the_time_without_a_write() {
    let machine = Machine::new(FsyncPolicy::Os);
    let store = KvStore::builder("store")
        .storage(Arc::new(machine.disk.clone()))
        .config(common::config(machine.policy))
        .small_segments()
        .clock(Arc::new(machine.clock.clone()))
        .open()
        .expect("a store");
    put_for(&store, "hour", HOUR);
    machine.clock.move_wall(7_200_000);
    // The clock stands still until the thread has seen the jump.
    let wait_for = |counts| {
        let begun = Instant::now();
        while counted(&store) != counts {
            assert!(begun.elapsed() < MINUTE, "it takes a second or two");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for((1, 0));
    machine.clock.advance(SECOND * 10);
    wait_for((1, 1));
    store.close().expect("closed");
    drop(store);
    let store = machine.open();
    machine.clock.advance(HOUR - SECOND * 11);
    assert!(has(&store, "hour"));
    machine.clock.advance(SECOND);
    assert!(!has(&store, "hour"));
}
