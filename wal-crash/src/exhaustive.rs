//! Every state that every crash of a small program can leave: all moments, all choices. Absent: large programs; a crash point
//! that can leave more states than the budget is sampled, and counted as such.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wal_core::{FsyncPolicy, WalConfig};
use wal_io::fault::{Chooser, Exhaustive, FaultConfig, Moment, Seeded};

use crate::finish::Ended;
use crate::oracle::Violation;
use crate::outcome::Outcome;
use crate::program::{Call, Choices, End, Format, Life, Program, Setup};
use crate::run::guarded;
use crate::runner::Runner;

/// How far to go at one crash point.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// A crash point that can leave more states than this is sampled.
    pub states: u64,
    /// States taken from such a point.
    pub samples: u64,
}

impl Budget {
    /// As far as the fault model's own bound: 65,536 states at a point.
    pub const FULL: Self = Self {
        states: 1 << 16,
        samples: 4096,
    };
}

/// What was covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Programs whose crash points were all visited.
    pub programs: u64,
    /// Crash points all of whose states were looked at.
    pub points: u64,
    /// Their states.
    pub states: u64,
    /// Crash points above the budget.
    pub sampled_points: u64,
    /// The states taken from them.
    pub sampled_states: u64,
    /// What the opens of all these came to.
    pub outcome: Outcome,
}

impl Coverage {
    /// Adds what another search has covered.
    pub fn add(&mut self, other: &Self) {
        self.programs += other.programs;
        self.points += other.points;
        self.states += other.states;
        self.sampled_points += other.sampled_points;
        self.sampled_states += other.sampled_states;
        self.outcome.add(&other.outcome);
    }
}

/// Crashes the last life of `program` at every change and moment, and opens every state that the crash can leave. The end of
/// that life is not looked at.
///
/// # Errors
/// The program that replays the first state that breaks a promise, and the promise.
pub fn exhaust(program: &Program, budget: Budget) -> Result<Coverage, (Box<Program>, Violation)> {
    let mut coverage = Coverage {
        programs: 1,
        ..Coverage::default()
    };
    for at in 0.. {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            let mut running = Running(Arc::new(Mutex::new(Exhaustive::new())));
            while running.next_run() {
                let mut point = Point {
                    program,
                    at,
                    moment,
                    made: Vec::new(),
                };
                let ended = guarded(|| point.visit(&running, budget, &mut coverage));
                match ended {
                    Ok(Ended::ByPowerCut) => {}
                    // The same for every larger number.
                    Ok(Ended::AfterTheLastCall) => return Ok(coverage),
                    Err(violation) => return Err((Box::new(point.replay(&running)), violation)),
                }
            }
        }
    }
    Ok(coverage)
}

/// The choices while the machine runs: how much of an interrupted write was done.
#[derive(Clone, Debug)]
struct Running(Arc<Mutex<Exhaustive>>);

impl Running {
    fn next_run(&mut self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_run()
    }
}

/// A moment of the program at which the power fails.
struct Point<'a> {
    program: &'a Program,
    at: u64,
    moment: Moment,
    /// What the crash chose in the state that is looked at.
    made: Vec<u32>,
}

impl Point<'_> {
    fn visit(
        &mut self,
        running: &Running,
        budget: Budget,
        coverage: &mut Coverage,
    ) -> Result<Ended, Violation> {
        let mut runner = Runner::new(self.program);
        let (last, before) = match self.program.lives.split_last() {
            Some((last, before)) => (last.clone(), before),
            None => return Ok(Ended::AfterTheLastCall),
        };
        runner.live_all(before)?;
        let last = Life {
            end: End::Crash(self.at, self.moment),
            ..last
        };
        let ended = runner.live_until_power_loss(&last, Arc::clone(&running.0))?;
        let possible = runner.storage.crash_states();
        if possible > budget.states {
            coverage.sampled_points += 1;
            for seed in 0..budget.samples {
                coverage.sampled_states += 1;
                self.look(&runner, Seeded::streaky(seed), coverage)?;
            }
            return Ok(ended);
        }
        coverage.points += 1;
        let mut choices = Exhaustive::new();
        while choices.next_run() {
            coverage.states += 1;
            choices = self.look(&runner, choices, coverage)?;
        }
        Ok(ended)
    }

    fn look<C: Chooser>(
        &mut self,
        runner: &Runner,
        mut choices: C,
        coverage: &mut Coverage,
    ) -> Result<C, Violation> {
        let mut after = runner.after_crash(&mut choices);
        self.made = choices.trace();
        after.open_and_check()?;
        coverage.outcome.add(&after.outcome);
        Ok(choices)
    }

    /// A program that comes to the state that was looked at last.
    fn replay(&self, running: &Running) -> Program {
        let mut program = self.program.clone();
        if let Some(last) = program.lives.last_mut() {
            last.end = End::Crash(self.at, self.moment);
            let mut choices = running.0.trace();
            choices.extend(&self.made);
            last.choices = Choices::Script(choices);
        }
        program
    }
}

/// Small programs: each policy, with and without preallocation, up to three groups.
#[must_use]
pub fn family() -> Vec<Program> {
    let quiet = |calls: &[Call], end| Life::new(calls.to_vec(), end, Choices::Script(Vec::new()));
    let ends = End::Drop; // Not looked at in a last life.
    let mut lives: Vec<Vec<Life>> = vec![
        vec![quiet(&[Call::Append(20)], ends)],
        vec![quiet(
            &[Call::Append(20), Call::Sync, Call::Batch(3, 30)],
            ends,
        )],
        vec![quiet(
            &[
                Call::Append(600),
                Call::Sync,
                Call::Batch(2, 500),
                Call::Flush,
                Call::AppendDurable(40),
            ],
            ends,
        )],
        vec![quiet(
            &[
                Call::Append(2200),
                Call::Flush,
                Call::Append(2200),
                Call::Flush,
                Call::Sync,
            ],
            ends,
        )],
        vec![quiet(
            &[
                Call::Append(10),
                Call::Append(20),
                Call::Sync,
                Call::TruncateBefore(1),
                Call::Append(30),
            ],
            ends,
        )],
        // The cut is inside a batch.
        vec![quiet(
            &[
                Call::Append(10),
                Call::Batch(3, 30),
                Call::TruncateAfter(1),
                Call::Append(40),
            ],
            ends,
        )],
        vec![quiet(&[Call::Append(20), Call::Closing], ends)],
    ];
    // The same calls behind a kill that left an unproven tail, and behind a close.
    let tail = [Call::Append(20), Call::Sync, Call::Append(700), Call::Flush];
    lives.push(vec![quiet(&tail, End::Kill), quiet(&[], ends)]);
    lives.push(vec![
        quiet(&tail, End::Kill),
        quiet(&[Call::Append(10), Call::Sync], ends),
    ]);
    lives.push(vec![
        quiet(&[Call::Append(20)], End::Close),
        quiet(&[Call::Append(10), Call::Sync], ends),
    ]);
    let ones = lives.len();
    // The control state, in version 2.
    lives.push(vec![quiet(
        &[
            Call::AppendDurable(20),
            Call::Consumer(0, 0),
            Call::Append(20),
            Call::Term(2),
            Call::Sync,
            Call::TruncateAfter(1),
            Call::NoConsumer(0),
        ],
        ends,
    )]);
    lives.push(vec![
        quiet(&[Call::Append(20), Call::Term(1), Call::Flush], End::Kill),
        quiet(&[Call::SetControl(2), Call::Append(10), Call::Sync], ends),
    ]);
    lives.push(vec![quiet(
        &[
            Call::Append(20),
            Call::Append(30),
            Call::TruncateWith(1),
            Call::AppendReserved(40),
            Call::Sync,
        ],
        ends,
    )]);
    let policies = [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(5)),
        FsyncPolicy::Os,
    ];
    let mut family = Vec::new();
    for (at, lives) in lives.into_iter().enumerate() {
        for fsync_policy in policies {
            for preallocate in [true, false] {
                let setup = Setup {
                    machine: FaultConfig::default(),
                    config: WalConfig {
                        max_segment_size: 8 << 10,
                        fsync_policy,
                        preallocate,
                        node_id: 7,
                    },
                    buffer: 4 << 10,
                    padding: None,
                    format: if at < ones { Format::One } else { Format::Two },
                };
                family.push(Program {
                    seed: 1,
                    setup,
                    lives: lives.clone(),
                });
            }
        }
    }
    family
}
