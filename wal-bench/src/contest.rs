//! Contenders in turns: each case runs all of them once, then again, so that what disturbs the machine disturbs them alike.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use wal_io::{DiskStorage, Storage as _};

use crate::figures::{Latency, Ratio, Summary, micros};
use crate::load::histogram;
use crate::report::{Measure, Row};
use crate::watch::Elapsed;

/// Where the turns take place.
pub struct Ground<'a> {
    /// A directory of the benchmark's own.
    pub dir: PathBuf,
    /// Turns of each contender.
    pub turns: u32,
    /// Is told what is being run.
    pub progress: &'a dyn Fn(&str),
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("dir", &self.dir)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

/// What one turn of a contender came to.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Records appended or read; times that a log was opened.
    pub calls: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Elapsed,
    /// Of the calls, in nanoseconds.
    pub latencies: Option<Histogram<u64>>,
    /// Syncs within the time.
    pub syncs: Option<u64>,
    /// What else there is to say.
    pub note: Option<String>,
}

impl Turn {
    /// A turn without latencies.
    #[must_use]
    pub fn new(calls: u64, bytes: u64, elapsed: Elapsed) -> Self {
        Self {
            calls,
            bytes,
            elapsed,
            latencies: None,
            syncs: None,
            note: None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // Figures of four digits.
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.time.as_secs_f64().max(1e-9)
    }

    /// Bytes of payload a second.
    #[must_use]
    pub fn mib_per_second(&self) -> f64 {
        self.per_second(self.bytes) / f64::from(1 << 20)
    }

    /// The main figure.
    fn figure(&self, measure: Measure) -> f64 {
        match measure {
            Measure::RecordsPerSecond => self.per_second(self.calls),
            Measure::Milliseconds => self.elapsed.time.as_secs_f64() * 1e3,
        }
    }

    /// Microseconds of processor time for one call.
    #[allow(clippy::cast_precision_loss)] // As above.
    fn cpu_micros(&self) -> Option<f64> {
        Some(self.elapsed.cpu?.as_secs_f64() * 1e6 / self.calls.max(1) as f64)
    }

    fn p50(&self) -> Option<f64> {
        Some(micros(self.latencies.as_ref()?.value_at_quantile(0.5)))
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the others are divided by.
    Limit,
    /// What is measured.
    Measured,
}

/// Runs one turn in an empty directory, which is removed afterwards.
type Run<'a> = Box<dyn FnMut(&Path) -> anyhow::Result<Turn> + 'a>;

/// One who takes part in a contest.
pub struct Contender<'a> {
    name: String,
    role: Role,
    run: Run<'a>,
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl<'a> Contender<'a> {
    /// A hand-written limit.
    pub fn limit(
        name: impl Into<String>,
        run: impl FnMut(&Path) -> anyhow::Result<Turn> + 'a,
    ) -> Self {
        Self::new(name.into(), Role::Limit, Box::new(run))
    }

    /// The log, in one of its ways.
    pub fn measured(
        name: impl Into<String>,
        run: impl FnMut(&Path) -> anyhow::Result<Turn> + 'a,
    ) -> Self {
        Self::new(name.into(), Role::Measured, Box::new(run))
    }

    fn new(name: String, role: Role, run: Run<'a>) -> Self {
        Self { name, role, run }
    }
}

/// One case of a workload, and who takes part in it.
#[derive(Debug)]
pub struct Contest<'a> {
    /// What the case is.
    pub case: String,
    /// What the main figure is.
    pub measure: Measure,
    /// Who takes part.
    pub contenders: Vec<Contender<'a>>,
}

impl Contest<'_> {
    /// Runs all turns; one row for each contender.
    ///
    /// # Errors
    /// What a contender gave.
    pub fn run(mut self, ground: &Ground<'_>) -> anyhow::Result<Vec<Row>> {
        let mut turns: Vec<Vec<Turn>> = self.contenders.iter().map(|_| Vec::new()).collect();
        for turn in 0..ground.turns as usize {
            (ground.progress)(&format!("{}, turn {}", self.case, turn + 1));
            for at in 0..self.contenders.len() {
                // Nobody is always the first.
                let at = (at + turn) % self.contenders.len();
                let contender = &mut self.contenders[at];
                let outcome = one_turn(&ground.dir, &mut contender.run)
                    .with_context(|| format!("{}: {}", self.case, contender.name))?;
                turns[at].push(outcome);
            }
        }
        let rows = (0..self.contenders.len()).map(|at| self.row(at, &turns));
        rows.collect()
    }

    fn row(&self, at: usize, turns: &[Vec<Turn>]) -> anyhow::Result<Row> {
        let (contender, own) = (&self.contenders[at], &turns[at]);
        let figures: Vec<f64> = own.iter().map(|turn| turn.figure(self.measure)).collect();
        let of = |figure: &dyn Fn(&Turn) -> Option<f64>| Summary::of(own.iter().filter_map(figure));
        let mut latencies = histogram();
        for own in own.iter().filter_map(|turn| turn.latencies.as_ref()) {
            latencies.add(own)?;
        }
        let limits = self.contenders.iter().zip(turns).enumerate();
        let limits = limits.filter(|(other, (limit, _))| *other != at && limit.role == Role::Limit);
        Ok(Row {
            case: self.case.clone(),
            contender: contender.name.clone(),
            is_limit: contender.role == Role::Limit,
            measure: self.measure,
            summary: Summary::of(figures.iter().copied()).context("no turns")?,
            turns: figures,
            mib_per_second: of(&|turn| (turn.bytes > 0).then(|| turn.mib_per_second())),
            latency: (!latencies.is_empty()).then(|| Latency::from(&latencies)),
            cpu_micros: of(&Turn::cpu_micros),
            syncs_per_second: of(&|turn| Some(turn.per_second(turn.syncs?))),
            ratios: limits
                .filter_map(|(_, (limit, turns))| self.ratio(&limit.name, own, turns))
                .collect(),
            note: own.iter().rev().find_map(|turn| turn.note.clone()),
        })
    }

    /// Turn by turn: what disturbs the machine for a while disturbs both sides of a ratio.
    fn ratio(&self, to: &str, own: &[Turn], limit: &[Turn]) -> Option<Ratio> {
        let pairs = || own.iter().zip(limit);
        let main = pairs().map(|(own, limit)| {
            let (own, limit) = (own.figure(self.measure), limit.figure(self.measure));
            match self.measure {
                Measure::RecordsPerSecond => own / limit,
                Measure::Milliseconds => limit / own,
            }
        });
        Some(Ratio {
            to: to.to_owned(),
            main: Summary::of(main)?,
            p50: Summary::of(pairs().filter_map(|(own, limit)| Some(own.p50()? / limit.p50()?))),
        })
    }
}

fn one_turn(dir: &Path, run: &mut Run<'_>) -> anyhow::Result<Turn> {
    let own = tempfile::Builder::new().prefix("turn-").tempdir_in(dir)?;
    let turn = run(own.path())?;
    own.close()?;
    // What the file system still has to do for this turn's files is not the next one's business.
    DiskStorage::new(dir.to_owned()).sync_dir()?;
    Ok(turn)
}
