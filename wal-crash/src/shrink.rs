//! Makes a failing program smaller, as long as it fails: fewer lives and calls, milder rules, smaller numbers, fewer choices.
//! Absent: what failing means; the caller says it.

use std::time::Duration;

use wal_core::{Alignment, FsyncPolicy};
use wal_io::fault::{Background, CrashMode, FaultConfig};

use crate::oracle::Violation;
use crate::program::{Call, Choices, End, Format, Program};
use crate::run::trace;

/// A program that fails, and how.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The program. Its choices are scripts: it replays whatever the seeds come to mean.
    pub program: Program,
    /// What it breaks.
    pub violation: Violation,
    /// How many programs were run to find it.
    pub runs: u32,
}

/// Makes `program`, which fails with `violation`, smaller by running at most `most` others. `fails` runs a program and says
/// what it breaks.
pub fn shrink(
    program: &Program,
    violation: &Violation,
    most: u32,
    fails: &mut dyn FnMut(&Program) -> Option<Violation>,
) -> Shrunk {
    let mut search = Search {
        best: Shrunk {
            program: program.clone(),
            violation: violation.clone(),
            runs: 0,
        },
        most,
        fails,
    };
    search.choose_by_script();
    search.crash_in_order();
    loop {
        let before = search.best.program.clone();
        search.drop_lives();
        search.drop_calls();
        search.calm();
        search.lessen();
        search.choose_less();
        if search.best.program == before || search.best.runs >= most {
            return search.best;
        }
    }
}

struct Search<'a> {
    best: Shrunk,
    most: u32,
    fails: &'a mut dyn FnMut(&Program) -> Option<Violation>,
}

impl Search<'_> {
    /// Keeps the change if the program still fails.
    fn attempt(&mut self, change: impl FnOnce(&mut Program)) -> bool {
        let mut program = self.best.program.clone();
        change(&mut program);
        if program == self.best.program || self.best.runs >= self.most {
            return false;
        }
        self.best.runs += 1;
        let Some(violation) = (self.fails)(&program) else {
            return false;
        };
        self.best.program = program;
        self.best.violation = violation;
        true
    }

    /// The choices that were made take the place of the seeds that made them.
    fn choose_by_script(&mut self) {
        let (_, made) = trace(&self.best.program);
        self.attempt(|program| {
            for (life, made) in program.lives.iter_mut().zip(made) {
                life.choices = Choices::Script(made);
            }
        });
    }

    /// A crash that keeps a prefix is easier to understand; any prefix will do.
    fn crash_in_order(&mut self) {
        for seed in 0..24 {
            let mut program = self.best.program.clone();
            program.setup.machine.crash = CrashMode::Prefix;
            for life in &mut program.lives {
                life.choices = Choices::Seed(seed);
            }
            let (_, made) = trace(&program);
            for (life, made) in program.lives.iter_mut().zip(made) {
                life.choices = Choices::Script(made);
            }
            if self.attempt(|best| *best = program) {
                return;
            }
        }
    }

    fn drop_lives(&mut self) {
        for at in (0..self.best.program.lives.len()).rev() {
            self.attempt(|program| {
                program.lives.remove(at);
            });
        }
    }

    /// Half of the calls, then quarters, down to single ones.
    fn drop_calls(&mut self) {
        for life in 0..self.best.program.lives.len() {
            let mut piece = self.best.program.lives[life].calls.len();
            while piece > 0 {
                let mut at = 0;
                while at < self.best.program.lives[life].calls.len() {
                    let dropped = self.attempt(|program| {
                        let calls = &mut program.lives[life].calls;
                        let end = (at + piece).min(calls.len());
                        calls.drain(at..end);
                    });
                    if !dropped {
                        at += piece;
                    }
                }
                piece /= 2;
            }
        }
    }

    /// Milder rules, fewer troubles.
    fn calm(&mut self) {
        let mild = FaultConfig::default();
        self.attempt(|program| {
            let crash = program.setup.machine.crash;
            program.setup.machine = FaultConfig { crash, ..mild };
        });
        self.attempt(|program| program.setup.machine.sector = mild.sector);
        self.attempt(|program| program.setup.machine.directory = mild.directory);
        self.attempt(|program| program.setup.machine.names = mild.names);
        self.attempt(|program| program.setup.machine.overwrite = mild.overwrite);
        self.attempt(|program| program.setup.machine.unpersisted = mild.unpersisted);
        self.attempt(|program| program.setup.machine.rename = mild.rename);
        self.attempt(|program| program.setup.machine.sync_failure = mild.sync_failure);
        self.attempt(|program| program.setup.config.fsync_policy = FsyncPolicy::Always);
        self.attempt(|program| program.setup.config.preallocate = true);
        self.attempt(|program| program.setup.padding = None);
        self.attempt(|program| program.setup.format = Format::One);
        self.attempt(|program| program.setup.buffer = 4 << 10);
        // Padded to 4096 bytes nothing fits in the smallest.
        self.attempt(|program| {
            let padded = program.setup.padding == Some(Alignment::Sector4096);
            program.setup.config.max_segment_size = if padded { 64 << 10 } else { 8 << 10 };
        });
        for life in 0..self.best.program.lives.len() {
            self.attempt(|program| program.lives[life].look_first = false);
            self.attempt(|program| program.lives[life].background = Background::Idle);
            for at in (0..self.best.program.lives[life].troubles.len()).rev() {
                self.attempt(|program| {
                    program.lives[life].troubles.remove(at);
                });
            }
        }
    }

    /// Smaller numbers.
    fn lessen(&mut self) {
        for life in 0..self.best.program.lives.len() {
            for at in 0..self.best.program.lives[life].calls.len() {
                self.lessen_call(life, at);
            }
            for at in 0..self.best.program.lives[life].troubles.len() {
                let count = self.best.program.lives[life].troubles[at].after;
                self.descend(count, |program, count| {
                    program.lives[life].troubles[at].after = count;
                });
            }
            if let End::Crash(at, _) | End::KillAt(at, _) = self.best.program.lives[life].end {
                self.descend(at, |program, less| {
                    let life = &mut program.lives[life];
                    if let End::Crash(at, _) | End::KillAt(at, _) = &mut life.end {
                        *at = less;
                    }
                });
            }
        }
    }

    fn lessen_call(&mut self, life: usize, at: usize) {
        let mut call = self.best.program.lives[life].calls[at];
        if let Call::Pass(time) = call {
            let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
            self.descend(u64::from(micros), |program, less| {
                program.lives[life].calls[at] = Call::Pass(Duration::from_micros(less));
            });
        }
        let numbers: Vec<u32> = call.numbers().iter().map(|number| **number).collect();
        for (which, number) in numbers.into_iter().enumerate() {
            self.descend(u64::from(number), |program, less| {
                *program.lives[life].calls[at].numbers()[which] = less as u32;
            });
        }
    }

    /// 0 if that fails, else as far down as halving goes, then one by one.
    fn descend(&mut self, from: u64, set: impl Fn(&mut Program, u64)) {
        let mut now = from;
        if now == 0 || self.attempt(|program| set(program, 0)) {
            return;
        }
        let mut step = now / 2;
        while step > 0 {
            let less = now - step;
            if self.attempt(|program| set(program, less)) {
                now = less;
            } else {
                step /= 2;
            }
            step = step.min(now / 2);
        }
    }

    /// No choices, the first half of them, less of them; then zeros.
    fn choose_less(&mut self) {
        for life in 0..self.best.program.lives.len() {
            let len = |program: &Program| match &program.lives[life].choices {
                Choices::Script(script) => script.len(),
                Choices::Seed(_) => 0,
            };
            let script = |program: &mut Program, change: &dyn Fn(&mut Vec<u32>)| {
                if let Choices::Script(script) = &mut program.lives[life].choices {
                    change(script);
                }
            };
            let from = len(&self.best.program) as u64;
            self.descend(from, |program, less| {
                script(program, &|script| script.truncate(less as usize));
            });
            let mut piece = len(&self.best.program);
            while piece > 0 {
                for at in (0..len(&self.best.program)).step_by(piece) {
                    self.attempt(|program| {
                        script(program, &|script| {
                            let end = (at + piece).min(script.len());
                            script[at.min(end)..end].fill(0);
                        });
                    });
                }
                piece /= 2;
            }
            self.attempt(|program| {
                script(program, &|script| {
                    while script.last() == Some(&0) {
                        script.pop();
                    }
                });
            });
        }
    }
}
