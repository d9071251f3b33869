//! Random programs against the plain model. `cargo xtask crash --seed S --states N` runs more of them.

use wal_crash::{Program, Until, campaign, run};

/// Where the programs start; any number will do, and a failure prints its own.
const FIRST_SEED: u64 = 20_261_123;
/// Together with the other tests of this crate, what every change has to pass.
const STATES: u64 = 200_000;

#[test]
fn two_hundred_thousand_crash_states_break_no_promise() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let report = campaign(FIRST_SEED, Until::States(STATES), threads);
    if let Some((seed, violation)) = report.violations.first() {
        panic!(
            "seed {seed}: {violation}\ncargo xtask crash --seed {seed} --show makes it smaller\n{}",
            Program::random(*seed)
        );
    }
    // A suite that never gets there proves nothing.
    let total = report.outcome;
    assert!(total.states >= STATES, "{total}");
    assert!(total.kills > STATES / 50, "{total}");
    assert!(total.nested.iter().all(|count| *count > 1000), "{total}");
    assert!(
        total.after_errors.iter().all(|count| *count > 500),
        "{total}"
    );
    assert!(total.background > STATES / 50, "{total}");
    assert!(total.looks > STATES / 10, "{total}");
    assert!(total.unproven > STATES / 10, "{total}");
    assert!(total.full > 500, "{total}");
    assert!(total.controls > STATES / 4, "{total}");
    assert!(total.moved > STATES / 100, "{total}");
    assert!(total.changes > STATES / 4, "{total}");
    assert!(total.no_descriptor > 500, "{total}");
    assert!(total.displaced > 1000, "{total}");
    assert!(total.neighbours > 500, "{total}");
    assert!(total.slow > 1000, "{total}");
    assert!(total.untrue.loud > 10, "{total}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..200 {
        let once = run(&Program::random(seed)).expect("no promise is broken");
        let again = run(&Program::random(seed)).expect("no promise is broken");
        assert_eq!(once, again, "seed {seed}");
    }
}

#[test]
fn the_counts_do_not_depend_on_the_threads() {
    let alone = campaign(1, Until::States(5000), 1);
    let together = campaign(1, Until::States(5000), 4);
    assert_eq!(alone.outcome, together.outcome);
    assert_eq!(alone.programs, together.programs);
    let counted = campaign(1, Until::Programs(100), 3);
    assert_eq!(counted.programs, 100);
}
