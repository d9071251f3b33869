//! Random programs against the plain model. `cargo run --release -p wal-crash -- --seed S --programs N` runs more of them.

use wal_crash::{Outcome, Program, run};

/// Where the programs start; any number will do, and a failure prints its own.
const FIRST_SEED: u64 = 20_261_123;
const PROGRAMS: u64 = 10_000;

#[test]
fn ten_thousand_random_programs_break_no_promise() {
    let mut total = Outcome::default();
    for seed in FIRST_SEED..FIRST_SEED + PROGRAMS {
        let program = Program::random(seed);
        match run(&program) {
            Ok(outcome) => total.add(&outcome),
            Err(violation) => panic!(
                "seed {seed}: {violation}\ncargo run --release -p wal-crash -- --seed {seed} --programs 1 --show"
            ),
        }
    }
    // A suite that never gets into recovery proves nothing.
    assert!(total.crashes > PROGRAMS / 2, "{total:?}");
    assert!(total.nested > PROGRAMS / 10, "{total:?}");
    assert!(total.unproven > PROGRAMS / 10, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..200 {
        let once = run(&Program::random(seed)).expect("no promise is broken");
        let again = run(&Program::random(seed)).expect("no promise is broken");
        assert_eq!(once, again, "seed {seed}");
    }
}
