//! The rounds. Each begins with an empty directory and has a profile; its lives are processes, one after the other, on what the one
//! before has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::child::Process;
use super::disk::SmallDisk;
use super::report::{Event, Measured};
use super::system::{Memory, Space, descriptors};
use super::table::{Row, Table, Unit};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is killed so long after the load has begun.
    Kill,
    /// It is killed so long after it was started: while it opens, or while it checks what it found.
    KillEarly,
    /// By itself, after so long.
    Itself,
}

/// One process of a round.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// How it ends.
    pub end: End,
    /// When.
    pub after: Duration,
    /// Most descriptors that the system gives it.
    pub descriptors: Option<u64>,
}

/// One round.
#[derive(Clone, Debug)]
pub struct Round {
    /// Its kind.
    pub name: String,
    /// What it is like, in a few words.
    pub profile: String,
    /// Its lives. The last one ends by itself, so that everything is checked once more.
    pub lives: Vec<Life>,
    /// The size of its disk, if it is to be a small one.
    pub disk: Option<u64>,
}

/// Where a process finds its things.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory under test.
    pub data: PathBuf,
    /// What has to survive a process and is not under test.
    pub state: PathBuf,
}

/// How much time a round has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(pub Duration);

/// What is under test.
pub trait Subject {
    /// The rows of its table, beside those of what is seen from outside.
    fn rows(&self) -> Vec<Row>;
    /// How many kinds of rounds there are; they take turns.
    fn profiles(&self) -> u64;
    /// Round `round` of `seed`: the same each time.
    fn round(&self, seed: u64, round: u64, length: Length) -> Round;
    /// The arguments with which this program becomes life `life` of that round.
    fn life(
        &self,
        seed: u64,
        round: u64,
        length: Length,
        life: usize,
        place: &Place,
    ) -> Vec<String>;
}

/// What is run, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// For how long rounds are begun.
    #[arg(long, default_value_t = 30.0)]
    pub minutes: f64,
    /// What the rounds are like.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only this round, to see a violation again.
    #[arg(long)]
    pub round: Option<u64>,
    /// How much time a round has; a replay needs that of the run.
    #[arg(long)]
    pub length_ms: Option<u64>,
    /// Where the stores are made [default: the system's directory for temporary files].
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The table.
    pub table: Table,
    /// Rounds, and lives in them.
    pub rounds: u64,
    /// Processes.
    pub lives: u64,
    /// Those that were killed.
    pub kills: u64,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// No process opens, checks or closes for as long as this, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Time between two looks from outside.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Rounds are begun again if they have broken a promise, at most this many times.
const MOST_VIOLATIONS: usize = 20;

/// What is seen of a process from outside.
#[rustfmt::skip] // One line for each row.
const OUTSIDE: [Row; 3] = [
    Row::new("disk-outside", Unit::Bytes, "bytes on disk, seen by another process"),
    Row::new("process-memory", Unit::Bytes, "memory of a process, the load included"),
    Row::new("process-descriptors", Unit::Count, "descriptors of a process, the load included"),
];

/// Runs rounds until the time is over. `command` is what a replay is to call.
///
/// # Errors
/// The system's; a broken promise is in the outcome.
pub fn run(
    subject: &impl Subject,
    command: &str,
    limits: &Limits,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome {
        table: Table::new(&[subject.rows(), OUTSIDE.to_vec()].concat()),
        rounds: 0,
        lives: 0,
        kills: 0,
        skipped: Vec::new(),
    };
    let begun = Instant::now();
    let time = Duration::from_secs_f64(limits.minutes * 60.0);
    let length = limits.length_ms.map(Duration::from_millis);
    let length = length.unwrap_or_else(|| {
        // Two turns of all profiles, at best.
        let share = time / (2 * subject.profiles().max(1)) as u32;
        share.clamp(Duration::from_secs(1), Duration::from_secs(75))
    });
    let first = limits.round.unwrap_or(0);
    for number in first.. {
        let length = Length(length);
        let round = subject.round(limits.seed, number, length);
        let mut running = Running {
            subject,
            command,
            limits,
            length,
            number,
            round: &round,
            until: limits.round.is_none().then_some(begun + time),
            outcome: &mut outcome,
        };
        let violations = running.go(&mut tell)?;
        outcome.rounds += 1;
        let line = format!(
            "round {number} ({}): {}: {} processes, {violations} violations, {:.0} s",
            round.name,
            round.profile,
            outcome.lives,
            begun.elapsed().as_secs_f64()
        );
        tell(&line);
        let over = begun.elapsed() >= time || limits.round.is_some();
        if over || outcome.table.violations().len() >= MOST_VIOLATIONS {
            break;
        }
    }
    Ok(outcome)
}

struct Running<'a, S> {
    subject: &'a S,
    command: &'a str,
    limits: &'a Limits,
    length: Length,
    number: u64,
    round: &'a Round,
    until: Option<Instant>,
    outcome: &'a mut Outcome,
}

impl<S: Subject> Running<'_, S> {
    /// Lives all lives, or as many as there is time for, and the last one; returns how many promises were broken.
    fn go(&mut self, tell: &mut impl FnMut(&str)) -> anyhow::Result<usize> {
        let directory = self.limits.dir.clone();
        let home = tempfile::Builder::new()
            .prefix("soak-")
            .tempdir_in(directory.unwrap_or_else(std::env::temp_dir))
            .context("making a directory")?;
        let place = Place {
            data: home.path().join("data"),
            state: home.path().join("state"),
        };
        fs::create_dir_all(&place.state).context("making a directory")?;
        let disk = match self.round.disk {
            None => None,
            Some(bytes) => {
                let disk = SmallDisk::mount(&place.data, bytes)?;
                if disk.is_none() {
                    let what = format!(
                        "round {}: a small disk needs the right to mount one",
                        self.number
                    );
                    tell(&format!("skipped: {what}"));
                    self.outcome.skipped.push(what);
                    return Ok(0);
                }
                disk
            }
        };
        let place = Place {
            data: place.data.join("store"),
            ..place
        };
        let before = self.outcome.table.violations().len();
        let last = self.round.lives.len().saturating_sub(1);
        let mut at = 0;
        while at <= last {
            let good = self.live(at, &place, tell)?;
            if !good {
                // What is there stays, to be looked at.
                tell(&format!("its files are in {}", home.keep().display()));
                std::mem::forget(disk);
                break;
            }
            let over = self.until.is_some_and(|until| Instant::now() >= until);
            at = if over { last.max(at + 1) } else { at + 1 };
        }
        Ok(self.outcome.table.violations().len() - before)
    }

    /// Starts a process and ends it. False if something in it is wrong.
    fn live(
        &mut self,
        at: usize,
        place: &Place,
        tell: &mut impl FnMut(&str),
    ) -> anyhow::Result<bool> {
        let Limits { seed, .. } = *self.limits;
        let life = self.round.lives[at];
        let replay = format!(
            "{}; replay: {} --seed {seed} --round {} --length-ms {}",
            self.round.profile,
            self.command,
            self.number,
            self.length.0.as_millis()
        );
        let context = format!("round {} ({}), life {at}", self.number, self.round.name);
        let args = self.subject.life(seed, self.number, self.length, at, place);
        let mut process = Process::start(&args, life.descriptors)?;
        self.outcome.lives += 1;
        let mut watch = Watch {
            table: &mut self.outcome.table,
            context: &context,
            directory: &place.data,
            bound: None,
            taken: None,
            broken: Vec::new(),
        };
        let begun = Instant::now();
        let mut ready = None;
        let mut looked = begun;
        let failure = loop {
            if let Some(event) = process.event(LOOK_EVERY) {
                if event == Event::Ready {
                    ready = Some(Instant::now());
                }
                watch.hear(event);
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                watch.look(&process.id().to_string());
            }
            let since = match life.end {
                End::Kill => ready,
                End::KillEarly => Some(begun),
                End::Itself => None,
            };
            if let Some(status) = process.ended()? {
                let killed_early = life.end != End::Itself && life.end != End::KillEarly;
                let fine = status.success() && !killed_early;
                break (!fine).then(|| format!("it ended by itself: {status}"));
            }
            if since.is_some_and(|since| since.elapsed() >= life.after) {
                process.kill()?;
                self.outcome.kills += 1;
                break None;
            }
            let most = PATIENCE
                + if life.end == End::KillEarly {
                    Duration::ZERO
                } else {
                    life.after
                };
            if begun.elapsed() > most {
                process.kill()?;
                break Some(format!("it hangs: {:.0} s", begun.elapsed().as_secs_f64()));
            }
        };
        let (events, errors) = process.rest();
        for event in events {
            watch.hear(event);
        }
        let mut broken = std::mem::take(&mut watch.broken);
        if let Some(failure) = failure {
            let text = format!("a process failed: {failure}: {}", errors.trim());
            broken.push(self.outcome.table.broken(&text, &context));
        }
        for text in &broken {
            tell(&format!("violation: {text}\n    {replay}"));
        }
        // A bound that was passed is told, and the round goes on; a process that failed has told why.
        let wrong =
            |text: &String| text.starts_with("a process failed") || text.starts_with("broken: ");
        Ok(!broken.iter().any(wrong))
    }
}

/// What is seen of a process from outside.
struct Watch<'a> {
    table: &'a mut Table,
    context: &'a str,
    directory: &'a Path,
    /// What it said last that the directory may take.
    bound: Option<u64>,
    /// What the directory took, with the bound before; to be compared when the next one is told.
    taken: Option<(Space, u64)>,
    broken: Vec<String>,
}

impl Watch<'_> {
    fn hear(&mut self, event: Event) {
        let told = match event {
            Event::Ready => None,
            Event::Measured(measured) => self.table.take(&measured, self.context),
            Event::Counted(key, by) => self.table.count(&key, by, self.context),
            Event::Broken(what) => {
                Some(self.table.broken(&format!("broken: {what}"), self.context))
            }
            Event::Bound(now) => {
                self.bound = Some(now);
                // The bound moves with the data, so the higher one around the look counts.
                let taken = self.taken.take();
                taken.and_then(|(space, before)| {
                    self.measure("disk-outside", space.bytes, Some(before.max(now)))
                })
            }
        };
        self.broken.extend(told);
    }

    fn look(&mut self, process: &str) {
        if self.taken.is_none()
            && let Some(bound) = self.bound
        {
            self.taken = Some((Space::of(self.directory), bound));
        }
        if let Some(memory) = Memory::of(process) {
            self.measure("process-memory", memory.now, None);
        }
        self.measure("process-descriptors", descriptors(process), None);
    }

    fn measure(&mut self, key: &str, value: u64, limit: Option<u64>) -> Option<String> {
        let key = key.to_owned();
        let measured = Measured {
            key,
            value,
            limit,
            note: String::new(),
        };
        self.table.take(&measured, self.context)
    }
}
