//! `cargo xtask syscalls`: the `wal` command with a fault at one of its system calls, one fault a run.
//!
//! ```text
//! case.rs        one case as text: operation, call, effect, occurrence
//! table.rs       which errors are plausible for which call
//! trace.rs       what strace has written
//! survey.rs      the calls of a run without a fault, and so all cases
//! lab.rs         logs to start from, strace, limits of time
//! judge.rs       what a run must have come to
//! exceptions.rs  what is allowed all the same, and why
//! ```
//!
//! `strace -e inject` makes a call fail, be late, or be the process's last one: nothing in the command knows of it. What happens
//! below a call, on the disk, is the simulated machine's business (wal-crash).

mod case;
mod exceptions;
mod judge;
mod lab;
mod survey;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::cargo::{Cargo, root};
use case::{Case, Operation};
use lab::Lab;
use survey::Survey;

/// Cases of `cargo xtask ci`: below half a minute.
const IN_CI: usize = 250;

/// Which cases to run: all of them, if no option is given (several minutes).
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Run only this number of cases, drawn with the seed.
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// What the sample is drawn with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run one case, given as a violation prints it.
    #[arg(long, value_name = "CASE", conflicts_with = "sample")]
    replay: Option<Case>,
    /// Run only cases that have this word in their text; may be given several times.
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// Print the cases; run none.
    #[arg(long)]
    list: bool,
    /// Threads; by default one a core.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The command to run, instead of building it.
    #[arg(long, value_name = "FILE")]
    wal: Option<PathBuf>,
}

/// Why it cannot be done here, if it cannot.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("only Linux has strace");
    }
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync",
    ]);
    strace.args(["-e", "inject=fsync:error=EIO:when=1", "true"]);
    strace.stdout(Stdio::null()).stderr(Stdio::null());
    let works = strace.status().is_ok_and(|status| status.success());
    (!works).then_some("strace is not installed, too old, or may not trace here")
}

/// What the step of `cargo xtask ci` runs; true if nothing was found.
pub(crate) fn sample() -> anyhow::Result<bool> {
    try_all(&Args {
        sample: Some(IN_CI),
        seed: 1,
        ..Args::default()
    })
}

/// The command line of [`sample`].
pub(crate) fn sample_line() -> String {
    format!("cargo xtask syscalls --sample {IN_CI}")
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if let Some(obstacle) = obstacle() {
        println!("skipped: syscalls: {obstacle}");
        return Ok(true);
    }
    try_all(args)
}

/// An operation, its calls, and what it prints without a fault.
type Surveyed = BTreeMap<Operation, (Survey, Vec<u8>)>;

fn try_all(args: &Args) -> anyhow::Result<bool> {
    let wal = match &args.wal {
        Some(wal) => wal.clone(),
        None => build()?,
    };
    let begun = Instant::now();
    let lab = Lab::new(&wal)?;
    let mut surveyed = Surveyed::new();
    let mut cases = Vec::new();
    let mut violations = Vec::new();
    for operation in Operation::value_variants().iter().copied() {
        if args
            .replay
            .as_ref()
            .is_some_and(|case| case.operation != operation)
        {
            continue;
        }
        let (survey, stdout) = lab.survey(operation)?;
        cases.extend(survey.cases(operation));
        let name = operation.name();
        let no_row = |call: &String| format!("{name}: {call} has no row in table.rs: add one");
        violations.extend(survey.unknown.iter().map(no_row));
        surveyed.insert(operation, (survey, stdout));
    }
    let known = cases.len();
    cases.retain(|case| args.only.iter().all(|word| case.to_string().contains(word)));
    if let Some(sample) = args.sample {
        draw(&mut cases, sample, args.seed);
    }
    if let Some(case) = &args.replay {
        cases = vec![case.clone()];
    }
    if args.list {
        for case in &cases {
            println!("{case}");
        }
        return Ok(true);
    }
    let tally = run_cases(args, &lab, &surveyed, &cases)?;
    violations.extend(tally.violations);
    println!(
        "syscalls: seed {}, {} of {known} cases, {} violations; in {} the call was not made; {:.0} s",
        args.seed,
        cases.len(),
        violations.len(),
        tally.missed,
        begun.elapsed().as_secs_f64()
    );
    Ok(violations.is_empty())
}

/// Builds the command.
fn build() -> anyhow::Result<PathBuf> {
    let cargo =
        Cargo::new("build --package wal-cli --bin wal --message-format json-render-diagnostics");
    println!("   {cargo}");
    let output = cargo
        .command()
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {cargo}"))?;
    anyhow::ensure!(output.status.success(), "{cargo} has failed");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let messages =
        messages.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let mut paths = messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    let path = paths
        .next()
        .context("cargo has not said where the command is")?;
    Ok(root().join(path))
}

/// Keeps `count` cases, in their order.
fn draw(cases: &mut Vec<Case>, count: usize, seed: u64) {
    let mut state = seed;
    let mut left = cases.len();
    let mut wanted = count.min(left);
    cases.retain(|_| {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let keep = ((u128::from(bits) * left as u128) >> 64) < wanted as u128;
        left -= 1;
        wanted -= usize::from(keep);
        keep
    });
}

/// What came of the cases.
#[derive(Debug, Default)]
struct Tally {
    violations: Vec<String>,
    /// Threads do not always make the same calls.
    missed: usize,
}

fn run_cases(args: &Args, lab: &Lab, surveyed: &Surveyed, cases: &[Case]) -> anyhow::Result<Tally> {
    let cores = || thread::available_parallelism().map_or(1, Into::into);
    let threads = args.threads.unwrap_or_else(cores);
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else {
                return Ok(());
            };
            let (survey, stdout) = surveyed.get(&case.operation).context("it was surveyed")?;
            let seen = lab.case(case, survey, stdout, &format!("case-{number}"))?;
            let broken = judge::judge(case, &seen);
            let mut tally = tally.lock().ok().context("a thread has panicked")?;
            tally.missed += usize::from(seen.struck.is_empty());
            if !broken.is_empty() || args.replay.is_some() {
                println!("{}", told(case, &seen, &broken));
            }
            tally.violations.extend(broken);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread has panicked")))
        });
        joined.collect::<anyhow::Result<()>>()
    })?;
    Ok(tally.into_inner().unwrap_or_default())
}

/// A case that is worth telling: what was struck, how it ended, what is wrong, and how to see it again.
fn told(case: &Case, seen: &judge::Observed, broken: &[String]) -> String {
    let mut lines = vec![format!("{case}: {:?}", seen.ran.ended)];
    lines.extend(seen.struck.iter().map(|call| format!("   struck: {call}")));
    lines.extend(
        seen.ran
            .stderr
            .lines()
            .map(|line| format!("   said: {line}")),
    );
    lines.extend(broken.iter().map(|what| format!("   violation: {what}")));
    lines.push(format!("   cargo xtask syscalls --replay '{case}'"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_sample_each_time_and_another_seed_another() {
        let all: Vec<Case> = (1..=1000)
            .map(|occurrence| Case {
                operation: Operation::Cat,
                call: "pread64".into(),
                effect: case::Effect::Kill,
                occurrence,
            })
            .collect();
        let sample = |seed| {
            let mut cases = all.clone();
            draw(&mut cases, 30, seed);
            cases
        };
        assert_eq!(sample(1).len(), 30);
        assert_eq!(sample(1), sample(1));
        assert_ne!(sample(1), sample(2));
        let mut few = all[..5].to_vec();
        draw(&mut few, 30, 1);
        assert_eq!(few.len(), 5);
    }
}
