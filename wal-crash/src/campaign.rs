//! Programs from a seed on, on any number of threads, until a given number of crash states was seen. The same seed gives the
//! same programs and the same counts, whatever the number of threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::oracle::Violation;
use crate::outcome::Outcome;
use crate::program::Program;
use crate::run::run;

/// Programs that a thread takes at a time.
const BLOCK: u64 = 64;

/// When a campaign ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this many crash states, rounded up to a block of programs.
    States(u64),
    /// After this many programs.
    Programs(u64),
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Programs run.
    pub programs: u64,
    /// What they came to.
    pub outcome: Outcome,
    /// Seeds whose programs broke a promise, the lowest first.
    pub violations: Vec<(u64, Violation)>,
}

/// Runs the programs of `first_seed`, the next seed, and so on.
#[must_use]
pub fn campaign(first_seed: u64, until: Until, threads: usize) -> Report {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Done {
        until,
        waiting: BTreeMap::new(),
        added: 0,
        total: Report::default(),
    });
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    let most = match until {
                        Until::Programs(programs) => programs.saturating_sub(block * BLOCK),
                        Until::States(_) => BLOCK,
                    };
                    let report = run_block(first_seed + block * BLOCK, most.min(BLOCK));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    if done.is_over() || done.take(block, report) {
                        return;
                    }
                }
            });
        }
    });
    done.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .total
}

fn run_block(first_seed: u64, programs: u64) -> Report {
    let mut report = Report {
        programs,
        ..Report::default()
    };
    for seed in first_seed..first_seed + programs {
        match run(&Program::random(seed)) {
            Ok(outcome) => report.outcome.add(&outcome),
            Err(violation) => report.violations.push((seed, violation)),
        }
    }
    report
}

/// Blocks are added up in their order.
struct Done {
    until: Until,
    waiting: BTreeMap<u64, Report>,
    added: u64,
    total: Report,
}

impl Done {
    fn is_over(&self) -> bool {
        !self.total.violations.is_empty()
            || match self.until {
                Until::States(states) => self.total.outcome.states >= states,
                Until::Programs(programs) => self.total.programs >= programs,
            }
    }

    /// Takes the report of a block; true when there is nothing more to do.
    fn take(&mut self, block: u64, report: Report) -> bool {
        self.waiting.insert(block, report);
        while !self.is_over()
            && let Some(report) = self.waiting.remove(&self.added)
        {
            self.added += 1;
            self.total.programs += report.programs;
            self.total.outcome.add(&report.outcome);
            self.total.violations.extend(report.violations);
        }
        self.is_over()
    }
}
