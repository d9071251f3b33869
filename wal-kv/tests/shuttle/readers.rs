//! Reads beside a writer.

use shuttle::thread::{scope, yield_now};
use wal_kv::{Batch, Conditional, FsyncPolicy};

use super::explore::{below, explore, pick};
use super::machine::{ENDS, Machine, number};

const ROUNDS: u8 = 4;

/// Under `Always` what a read shows is on the disk, whatever the read.
fn durable_reads() {
    let machine = Machine::new(FsyncPolicy::Always);
    let store = machine.open();
    scope(|scope| {
        let (store, machine) = (&store, &machine);
        scope.spawn(move || {
            for round in 1..=ROUNDS {
                if below(2) == 0 {
                    store.put("a", [round]).expect("put");
                } else {
                    let batch = Batch::new().put("b", [round]).put("a", [round]);
                    store.write(batch).expect("written");
                }
                assert_eq!(number(store, "a"), Some(round), "its own write");
            }
        });
        scope.spawn(move || {
            let mut last = 0;
            for _ in 0..3 {
                let seen = match below(4) {
                    0 => number(store, "a"),
                    1 => {
                        let pair = store.get_pair(b"a");
                        let durable = store.durable_lsn();
                        assert!(pair.as_ref().is_none_or(|pair| pair.lsn() <= durable));
                        pair.map(|pair| pair.value()[0])
                    }
                    2 => store.scan("a".."b").next().map(|pair| pair.value()[0]),
                    _ => store.multi_get(&["a"]).remove(0).map(|value| value[0]),
                };
                let seen = seen.unwrap_or(0);
                assert!(seen >= last, "{seen} after {last}");
                last = seen;
                if below(2) == 0 {
                    let found = number(&machine.after_power_loss(), "a").unwrap_or(0);
                    assert!(found >= seen, "{seen} was shown, {found} is left");
                }
                yield_now();
            }
        });
    });
    let store = machine.end(store, pick(&ENDS));
    assert_eq!(number(&store, "a"), Some(ROUNDS));
}

/// Two threads count the same key up; each step counts once.
fn swaps() {
    let machine = Machine::any();
    let store = machine.open();
    let up = |applied: &mut u8| {
        for _ in 0..3 {
            let seen = number(&store, "n");
            let expected = seen.map(|seen| [seen]);
            let next = [seen.unwrap_or(0) + 1];
            let expected = expected.as_ref().map(<[u8; 1]>::as_slice);
            match store.compare_and_swap("n", expected, Some(&next)) {
                Ok(Conditional::Applied(_)) => *applied += 1,
                Ok(Conditional::Refused { found }) => {
                    // What is told is never less than what was read before.
                    let found = found.map_or(0, |found| found[0]);
                    assert!(found > seen.unwrap_or(0));
                    if machine.is_always() {
                        assert!(number(&store, "n").is_some_and(|now| now >= found));
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (mut one, mut other) = (0, 0);
    scope(|scope| {
        scope.spawn(|| up(&mut one));
        scope.spawn(|| up(&mut other));
    });
    assert_eq!(number(&store, "n"), Some(one + other));
    store.close().expect("closed");
    drop(store);
    assert_eq!(
        number(&machine.open_on(&machine.disk), "n"),
        Some(one + other)
    );
}

#[test]
fn reads_show_what_is_durable() {
    explore("reads_show_what_is_durable", durable_reads);
}

#[test]
fn swaps_count_once() {
    explore("swaps_count_once", swaps);
}
