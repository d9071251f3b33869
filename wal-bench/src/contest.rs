//! Contenders in turns: each case runs all of them once, then again, so that what disturbs the machine disturbs them alike.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wal_io::{DiskStorage, Storage as _};

use crate::figures::{Latency, Ratio, Role, Summary};
use crate::host::Host;
use crate::load::histogram;
use crate::peer::Field;
use crate::row::Row;
use crate::size::Size;
use crate::turn::{Measure, Turn};

/// Where the turns take place, and what is known of it.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "it holds closures")]
pub struct Ground<'a> {
    /// A directory of the workload's own.
    pub dir: &'a Path,
    /// Turns of each contender.
    pub turns: u32,
    /// How much is run.
    pub size: Size,
    /// Who takes part from elsewhere.
    pub field: &'a Field,
    /// The machine.
    pub host: &'a Host,
    /// Is told what is being run.
    pub progress: &'a dyn Fn(&str),
}

/// Runs one turn in an empty directory, which is removed afterwards; `None` from who does not offer what is asked.
type Run<'a> = Box<dyn FnMut(&Path) -> anyhow::Result<Option<Turn>> + 'a>;

/// Names a contender within its contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

struct Contender<'a> {
    case: String,
    name: String,
    version: Option<String>,
    role: Role,
    run: Run<'a>,
    /// Others that it is divided by, beside the limits and the peers of its case, and as what.
    others: Vec<(Id, String)>,
    turns: Vec<Turn>,
    /// It does not take part (any longer).
    out: bool,
}

/// Those who take turns, in one case or in several.
#[allow(missing_debug_implementations, reason = "it holds closures")]
pub struct Contest<'a> {
    measure: Measure,
    contenders: Vec<Contender<'a>>,
}

/// What the contests of a workload came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One for each contender of each case.
    pub rows: Vec<Row>,
    /// Peers that failed.
    pub left_out: Vec<String>,
}

impl Outcome {
    /// Adds another contest's.
    pub fn add(&mut self, more: Self) {
        self.rows.extend(more.rows);
        self.left_out.extend(more.left_out);
    }
}

impl<'a> Contest<'a> {
    /// A contest without contenders.
    #[must_use]
    pub fn new(measure: Measure) -> Self {
        Self {
            measure,
            contenders: Vec::new(),
        }
    }

    /// Adds a hand-written limit.
    pub fn limit(
        &mut self,
        case: &str,
        name: &str,
        mut run: impl FnMut(&Path) -> anyhow::Result<Turn> + 'a,
    ) -> Id {
        self.add(case, name, Role::Limit, move |dir| run(dir).map(Some))
    }

    /// Adds the log, in one of its ways.
    pub fn log(
        &mut self,
        case: &str,
        name: &str,
        mut run: impl FnMut(&Path) -> anyhow::Result<Turn> + 'a,
    ) -> Id {
        self.add(case, name, Role::Log, move |dir| run(dir).map(Some))
    }

    /// Adds a log or a store from elsewhere. It takes no part if its first turn gives `None`, and is left out if it fails.
    pub fn peer(
        &mut self,
        case: &str,
        name: &str,
        version: &str,
        run: impl FnMut(&Path) -> anyhow::Result<Option<Turn>> + 'a,
    ) -> Id {
        let id = self.add(case, name, Role::Peer, run);
        self.contenders[id.0].version = Some(version.to_owned());
        id
    }

    /// Has `id` divided by `other` too, under the name `as_what`.
    pub fn against(&mut self, id: Id, other: Id, as_what: &str) {
        self.contenders[id.0]
            .others
            .push((other, as_what.to_owned()));
    }

    fn add(
        &mut self,
        case: &str,
        name: &str,
        role: Role,
        run: impl FnMut(&Path) -> anyhow::Result<Option<Turn>> + 'a,
    ) -> Id {
        self.contenders.push(Contender {
            case: case.to_owned(),
            name: name.to_owned(),
            version: None,
            role,
            run: Box::new(run),
            others: Vec::new(),
            turns: Vec::new(),
            out: false,
        });
        Id(self.contenders.len() - 1)
    }

    /// Runs all turns; one row for each contender.
    ///
    /// # Errors
    /// What a limit or the log gave.
    pub fn run(mut self, ground: &Ground<'_>) -> anyhow::Result<Outcome> {
        let mut left_out = Vec::new();
        settle(ground.dir)?;
        for turn in 0..ground.turns as usize {
            for at in 0..self.contenders.len() {
                // Nobody is always the first.
                let at = (at + turn) % self.contenders.len();
                let contender = &mut self.contenders[at];
                if contender.out {
                    continue;
                }
                let place = format!("{}: {}", contender.case, contender.name);
                (ground.progress)(&format!("turn {}, {place}", turn + 1));
                match one_turn(ground.dir, &mut contender.run) {
                    Ok(Some(turn)) => contender.turns.push(turn),
                    Ok(None) => contender.out = true,
                    Err(error) if contender.role == Role::Peer => {
                        contender.out = true;
                        left_out.push(format!("{place}: {error:#}"));
                    }
                    Err(error) => return Err(error.context(place)),
                }
            }
        }
        let all = &self.contenders;
        let rows = (0..all.len()).filter(|at| !all[*at].out);
        let rows = rows.map(|at| self.row(at)).collect::<anyhow::Result<_>>()?;
        Ok(Outcome { rows, left_out })
    }

    fn row(&self, at: usize) -> anyhow::Result<Row> {
        let own = &self.contenders[at];
        let of = |figure: &dyn Fn(&Turn) -> Option<f64>| {
            Summary::of(own.turns.iter().filter_map(figure))
        };
        let figure = |turn: &Turn| turn.figure(self.measure);
        let mut latencies = histogram();
        for turn in own.turns.iter().filter_map(|turn| turn.latencies.as_ref()) {
            latencies.add(turn)?;
        }
        Ok(Row {
            case: own.case.clone(),
            contender: own.name.clone(),
            version: own.version.clone(),
            role: own.role,
            measure: self.measure,
            summary: of(&figure).with_context(|| format!("{}: no figure", own.name))?,
            turns: own.turns.iter().filter_map(figure).collect(),
            mib_per_second: of(&Turn::mib_per_second),
            latency: (!latencies.is_empty()).then(|| Latency::from(&latencies)),
            cpu_micros: of(&Turn::cpu_micros),
            syncs_per_second: of(&Turn::syncs_per_second),
            bytes_per_byte: of(&Turn::bytes_per_byte),
            peak_mib: of(&Turn::peak_mib),
            ratios: self.ratios(at),
            note: own.turns.iter().rev().find_map(|turn| turn.note.clone()),
        })
    }

    /// To the limits of the case, to the others that were named, and to the peers of the case.
    fn ratios(&self, at: usize) -> Vec<Ratio> {
        let own = &self.contenders[at];
        let with = |role: Role| {
            let all = self.contenders.iter().enumerate();
            let all = all.filter(move |(other, contender)| {
                *other != at && contender.role == role && contender.case == own.case
            });
            all.map(|(_, contender)| (contender, contender.name.as_str()))
        };
        let others = own.others.iter();
        let others =
            others.map(|(Id(other), as_what)| (&self.contenders[*other], as_what.as_str()));
        let peers = with(Role::Peer).filter(|_| own.role == Role::Log);
        let all = with(Role::Limit)
            .filter(|_| own.role != Role::Limit)
            .chain(others)
            .chain(peers);
        all.filter_map(|(other, name)| self.ratio(own, other, name))
            .collect()
    }

    /// Turn by turn: what disturbs the machine for a while disturbs both sides of a ratio.
    fn ratio(&self, own: &Contender<'_>, other: &Contender<'_>, to: &str) -> Option<Ratio> {
        if other.out {
            return None;
        }
        let pairs = || own.turns.iter().zip(&other.turns);
        let divided = |figure: &dyn Fn(&Turn) -> Option<f64>| {
            let both = |(own, other)| Some(figure(own)? / figure(other)?);
            Summary::of(pairs().filter_map(both))
        };
        Some(Ratio {
            to: to.to_owned(),
            role: other.role,
            main: divided(&|turn| turn.figure(self.measure))?,
            p50: divided(&|turn| turn.latency(0.5)),
        })
    }
}

fn one_turn(dir: &Path, run: &mut Run<'_>) -> anyhow::Result<Option<Turn>> {
    let own = tempfile::Builder::new().prefix("turn-").tempdir_in(dir)?;
    let turn = run(own.path())?;
    own.close()?;
    // What the file system still has to do for this turn's files is not the next one's business.
    DiskStorage::new(dir.to_owned()).sync_dir()?;
    Ok(turn)
}

/// What was written before the first turn goes down now, not meanwhile.
fn settle(dir: &Path) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(std::fs::File::open(dir)?)?;
    DiskStorage::new(PathBuf::from(dir)).sync_dir()?;
    Ok(())
}
