//! Running a scenario under many schedules.
//!
//! `WAL_SHUTTLE_SCHEDULES` says how many for each scenario, `WAL_TEST_SEED` where they start. The same numbers give the same
//! schedules. A failure prints its schedule; `WAL_SHUTTLE_REPLAY` takes it, and runs that one only.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Schedules of one scenario unless told otherwise.
const SCHEDULES: usize = 100;
/// More steps than any schedule needs: threads that keep each other busy without an end.
const MOST_STEPS: usize = 100_000;
/// Opening and recovery want more than shuttle's own.
const STACK: usize = 256 << 10;
/// How many changes of priority a schedule of the second kind has.
const DEPTHS: [usize; 2] = [2, 4];

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    config
}

/// Runs `scenario` under as many schedules as are asked for: one half by chance at every step, the other by priorities that
/// change a few times (PCT), which finds what needs one thread to be very late.
pub(super) fn explore(name: &str, scenario: fn()) {
    if let Ok(schedule) = std::env::var("WAL_SHUTTLE_REPLAY") {
        let scheduler = ReplayScheduler::new_from_encoded(&schedule);
        Runner::new(scheduler, config()).run(scenario);
        return;
    }
    let schedules =
        number("WAL_SHUTTLE_SCHEDULES").map_or(SCHEDULES, |schedules| schedules as usize);
    let seed = number("WAL_TEST_SEED").unwrap_or(1);
    let begun = Instant::now();
    let mut done = run(
        name,
        seed,
        RandomScheduler::new_from_seed(seed, schedules.div_ceil(2)),
        scenario,
    );
    for (round, depth) in DEPTHS.into_iter().enumerate() {
        let share = (schedules - done).div_ceil(DEPTHS.len() - round);
        let priorities = PctScheduler::new_from_seed(seed + round as u64, depth, share);
        done += run(name, seed, priorities, scenario);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("shuttle: {name}: {done} schedules in {seconds:.1} s");
}

fn run(name: &str, seed: u64, scheduler: impl Scheduler + 'static, scenario: fn()) -> usize {
    let runner = Runner::new(scheduler, config());
    match catch_unwind(AssertUnwindSafe(|| runner.run(scenario))) {
        Ok(done) => done,
        Err(panic) => {
            println!("shuttle: {name}: failed with WAL_TEST_SEED={seed}");
            println!(
                "shuttle: replay it with: cargo xtask shuttle --scenario {name} --replay SCHEDULE"
            );
            resume_unwind(panic);
        }
    }
}

/// A number below `limit`, the same when the schedule is replayed.
pub(super) fn below(limit: u64) -> u64 {
    thread_rng().gen_range(0..limit)
}

/// One of these.
pub(super) fn pick<T: Copy>(choices: &[T]) -> T {
    choices[below(choices.len() as u64) as usize]
}

/// Lets the others go on until `condition` holds. Where it never does, the schedule runs out of steps.
pub(super) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        shuttle::thread::yield_now();
    }
}
