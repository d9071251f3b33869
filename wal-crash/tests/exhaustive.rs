//! Every state that every crash of small programs can leave. `cargo xtask crash --exhaustive` goes further at each point.

#![allow(clippy::print_stdout, reason = "the counts are for who asks for them")]

use wal_crash::{Budget, Coverage, exhaust, family};

#[test]
fn every_state_of_every_crash_of_small_programs() {
    // What is above this is left to the longer run: here it is sampled thinly.
    let budget = Budget {
        states: 1 << 8,
        samples: 16,
    };
    let mut total = Coverage::default();
    for program in family() {
        match exhaust(&program, budget) {
            Ok(coverage) => total.add(&coverage),
            Err((program, violation)) => {
                panic!("{violation}\ncargo xtask crash --replay '{program}'")
            }
        }
    }
    println!(
        "all {} states of {} crash points; {} points above {} states",
        total.states, total.points, total.sampled_points, budget.states
    );
    assert_eq!(total.programs, family().len() as u64);
    assert!(total.points > 1000, "{total:?}");
    assert!(total.states > 10_000, "{total:?}");
    assert!(total.outcome.unproven > 0, "{total:?}");
}
