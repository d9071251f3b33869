//! Every state that every crash of a small program can leave: all moments, all choices. Absent: large programs; a crash point
//! that can leave more states than the budget is sampled, and counted as such.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wal_io::fault::{Chooser, Exhaustive, Moment, Seeded};

use crate::finish::Ended;
use crate::oracle::Violation;
use crate::outcome::Outcome;
use crate::program::{Choices, End, Life, Program};
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
            let running = Running::default();
            while lock(&running).next_run() {
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
type Running = Arc<Mutex<Exhaustive>>;

fn lock(running: &Running) -> MutexGuard<'_, Exhaustive> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
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
        let ended = runner.live_until_power_loss(&last, Arc::clone(running))?;
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
            let mut choices = running.trace();
            choices.extend(&self.made);
            last.choices = Choices::Script(choices);
        }
        program
    }
}

/// Lives of small programs, as a replay takes them. The end of a last life is not looked at.
const IN_VERSION_1: &[&str] = &[
    "append:20",
    "append:20 sync batch:3:30",
    "append:600 sync batch:2:500 flush append-durable:40",
    "append:2200 flush append:2200 flush sync",
    "append:10 append:20 sync truncate-before:1 append:30",
    // The cut is inside a batch.
    "append:10 batch:3:30 truncate-after:1 append:40",
    "append:20 closing",
    // The same calls behind a kill that left an unproven tail, and behind a close.
    "append:20 sync append:700 flush kill /",
    "append:20 sync append:700 flush kill / append:10 sync",
    "append:20 close / append:10 sync",
];
/// The control state, and the reserve.
const IN_VERSION_2: &[&str] = &[
    "append-durable:20 consumer:0:0 append:20 term:2 sync truncate-after:1 no-consumer:0",
    "append:20 term:1 flush kill / set-control:2 append:10 sync",
    "append:20 append:30 truncate-with:1 append-reserved:40 sync",
];

/// Small programs: each policy, with and without preallocation, up to three groups.
///
/// # Panics
/// Never: each of them is a program.
#[must_use]
pub fn family() -> Vec<Program> {
    let mut family = Vec::new();
    for (format, all) in [(1, IN_VERSION_1), (2, IN_VERSION_2)] {
        for lives in all {
            for policy in ["always", "batch:5000", "os"] {
                for preallocate in [1, 0] {
                    let setup =
                        format!("policy={policy} preallocate={preallocate} format={format}");
                    let program = format!("seed=1 {setup} / {lives}").parse();
                    family.push(program.expect("each text is a program"));
                }
            }
        }
    }
    family
}
