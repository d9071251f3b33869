//! How much is done under one lock, counted in steps, and that no read needs the lock of writes.

use std::sync::atomic::{AtomicBool, Ordering};

use wal_core::clock::ManualClock;

use super::*;
use crate::history::History;

fn index(shown: Shown) -> Arc<Index> {
    let clock = Arc::new(ManualClock::default());
    Arc::new(Index::new(shown, Time::new(clock)))
}

fn keys(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(u32::to_be_bytes).collect()
}

fn puts(keys: &[[u8; 4]]) -> Vec<Change<'_>> {
    let put = |key| Change::Put {
        key,
        value: b"value",
        expires_at: None,
    };
    keys.iter().map(|key| put(key.as_slice())).collect()
}

/// Applies the changes as one batch; everything is durable.
fn apply(index: &Index, changes: &[Change<'_>], first: u64) -> bool {
    let last = first + changes.len() as u64 - 1;
    index.apply(&mut index.writer(), changes, first, || last)
}

fn opened() -> Opened {
    Opened {
        at: std::time::Duration::ZERO,
        own: false,
    }
}

fn settle_all(index: &Index, durable: u64) {
    while !index.settle(|| durable) {}
}

#[test]
fn what_a_closed_view_kept_is_forgotten_in_short_steps() {
    let index = index(Shown::AtOnce);
    let keys = keys(1000);
    let changes = puts(&keys);
    apply(&index, &changes, 1);
    let hold = Hold::now(&index, opened(), || 1000);
    for (change, lsn) in changes.iter().zip(1001..) {
        assert!(apply(&index, &[*change], lsn), "nothing else is due");
    }
    let mut ledger = index.ledger();
    assert_eq!(ledger.kept(), 1000);
    ledger.close_view(hold.view);
    let mut kept = 1000;
    while kept > 0 {
        let all = index.settle_some(&mut ledger, 2000, STEP);
        kept = usize::saturating_sub(kept, STEP);
        assert_eq!((ledger.kept(), all), (kept, kept == 0));
    }
    drop(ledger);
    drop(hold);
    assert_eq!(index.len(|| 2000), 1000);
}

#[test]
fn a_write_does_a_little_of_what_is_due_and_says_that_more_is() {
    for shown in [Shown::AtOnce, Shown::WhenDurable] {
        let index = index(shown);
        let keys = keys(1000);
        let changes = puts(&keys);
        assert!(apply(&index, &changes, 1), "it replaces nothing");
        assert!(!apply(&index, &changes, 1001));
        let before = index.ledger().kept();
        assert!(!apply(&index, &changes[..1], 2001));
        let done = before - index.ledger().kept();
        assert!((1..STEP).contains(&done), "{done} of {before}");
        settle_all(&index, 2001);
        assert_eq!(index.ledger().kept(), 0);
        assert_eq!(index.len(|| 2001), 1000);
    }
}

#[test]
fn expired_keys_are_counted_once_and_in_short_steps() {
    let index = index(Shown::AtOnce);
    let keys = keys(1000);
    let at = UnixMillis::new(5);
    // Half of them go by the clock of keys that were loaded.
    index.ledger().expiries.begin(501);
    let now = |written, loaded| Now {
        first: 501,
        written: UnixMillis::new(written),
        loaded: UnixMillis::new(loaded),
    };
    let changes: Vec<_> = keys
        .iter()
        .map(|key| Change::Put {
            key,
            value: b"value",
            expires_at: Some(at),
        })
        .collect();
    apply(&index, &changes, 1);
    settle_all(&index, 1000);
    let mut ledger = index.ledger();
    assert_eq!(ledger.live(now(4, 4), STEP), Some(1000));
    for (now, live) in [(now(4, 5), 500), (now(5, 5), 0)] {
        let mut steps = 1;
        while ledger.live(now, STEP).is_none() {
            steps += 1;
        }
        assert_eq!(steps, 500 / STEP + 1);
        assert_eq!(
            ledger.live(now, STEP),
            Some(live),
            "they are counted already"
        );
    }
}

#[test]
fn a_batch_that_is_durable_is_shown_when_all_of_it_is_applied() {
    let index = index(Shown::WhenDurable);
    let keys = keys(2);
    apply(&index, &puts(&keys[..1]), 1);
    // The log has made durable what is not applied yet.
    assert_eq!(index.visible(|| 3), 1);
    apply(&index, &puts(&keys), 2);
    assert_eq!(index.visible(|| 3), 3);
    assert_eq!(index.visible(|| 1), 1);
}

/// All reads that there are, beside those of one key.
fn read(index: &Arc<Index>) {
    let hold = Hold::now(index, opened(), || 0);
    let mut found = Vec::new();
    index.forward(&Bound::Unbounded, hold.lsn(), 16, &mut found);
    index.backward(&Bound::Unbounded, hold.lsn(), 16, &mut found);
    index.version_at(&[0; 4], hold.lsn());
    drop(hold);
    index.len(|| 0);
    index.ledger().kept();
    index.structure_bytes();
    index.live_memory();
}

#[test]
fn no_read_waits_for_the_lock_of_writes() {
    let index = index(Shown::AtOnce);
    apply(&index, &puts(&keys(100)), 1);
    let writer = index.writer();
    let (done, told) = std::sync::mpsc::channel();
    let reader = Arc::clone(&index);
    std::thread::spawn(move || {
        read(&reader);
        done.send(()).expect("somebody waits");
    });
    let limit = std::time::Duration::from_secs(60);
    told.recv_timeout(limit).expect("the reads return");
    drop(writer);
}

#[test]
fn reads_go_on_while_a_batch_is_applied() {
    let index = index(Shown::AtOnce);
    let keys = keys(100_000);
    let changes = puts(&keys);
    let stop = AtomicBool::new(false);
    let mut within = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                apply(&index, &changes, 1 + round * changes.len() as u64);
                settle_all(&index, 0);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while within < 20 && std::time::Instant::now() < limit {
            // Memory grows while a batch is applied, and shrinks again when all of it is.
            let (first, visible) = (index.kept_memory(), index.visible(|| 0));
            read(&index);
            let (last, still) = (index.kept_memory(), index.visible(|| 0));
            within += u32::from(first < last && visible == still);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(within, 20, "reads that begin and end within a batch");
}

#[test]
fn a_key_stays_deleted_whose_put_is_read_after_its_delete() {
    const KEYS: u32 = 70_000;
    let keys = keys(KEYS);
    let (puts, deletes) = (1, 1 + u64::from(KEYS));
    let end = 1 + 2 * u64::from(KEYS);
    let of_puts = || {
        let mut scratch = Vec::new();
        let lsns = keys.iter().zip(puts..);
        lsns.map(|(key, lsn)| Version::put(&mut scratch, lsn, key, b"value", None))
            .collect()
    };
    let of_deletes = || {
        let lsns = keys.iter().zip(deletes..);
        lsns.map(|(key, lsn)| Version::tombstone(lsn, key))
            .collect()
    };
    for deletes_first in [true, false] {
        let clock = Arc::new(ManualClock::default());
        let mut index = Index::new(Shown::AtOnce, Time::new(clock));
        let mut loader = index.loader();
        loader.set_parts([(puts, deletes), (deletes, end)].into_iter());
        // Each is more than what is looked through at a time.
        if deletes_first {
            loader.put_tail(1, of_deletes(), end);
            loader.put_tail(0, of_puts(), deletes);
        } else {
            loader.put_tail(0, of_puts(), deletes);
            loader.put_tail(1, of_deletes(), end);
            assert_eq!(loader.keys(), 0, "nothing older can come");
        }
        loader.finish(end - 1, &History::default(), 2);
        assert_eq!(index.len(|| end), 0);
        assert!(index.newest(&keys[0]).is_none());
        assert_eq!(index.live_memory(), 0);
    }
}
