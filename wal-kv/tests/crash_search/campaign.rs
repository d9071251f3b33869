//! Programs from a seed on, on all cores, until a given number of crash states was seen.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::program::{Outcome, run};
use crate::common::random::number_in;

/// States unless told otherwise.
const STATES: u64 = 20_000;

#[test]
fn after_any_crash_the_store_holds_what_it_must() {
    let first = number_in("WAL_TEST_SEED").unwrap_or(1);
    let programs = number_in("WAL_CRASH_PROGRAMS").unwrap_or(u64::MAX);
    let states = number_in("WAL_CRASH_STATES");
    // One or the other.
    let states = states.unwrap_or(if programs == u64::MAX {
        STATES
    } else {
        u64::MAX
    });
    let threads = thread::available_parallelism().map_or(1, usize::from);
    println!("store crash: from WAL_TEST_SEED={first}, {threads} threads");
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let so_far = total.lock().expect("no panic").states;
                    if n >= programs || so_far >= states || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = first + n;
                    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                        Ok(outcome) => total.lock().expect("no panic").add(&outcome),
                        Err(panic) => {
                            failed.store(true, Ordering::Relaxed);
                            println!("cargo xtask crash --store --seed {seed} --programs 1");
                            resume_unwind(panic);
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic");
    println!("store crash: {total} from WAL_TEST_SEED={first}; 0 violations");
    if programs == u64::MAX && states >= STATES {
        total.check();
    }
}
