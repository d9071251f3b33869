//! `cargo xtask fuzz`: each fuzz target for a while, and what came of it.
//!
//! The targets are programs in the folder `fuzz`, which cargo-fuzz builds with a sanitizer on a nightly toolchain. Deliberately
//! absent: what the targets check. That is in the crate wal-fuzz, whose tests replay every find on the stable toolchain.

mod stats;

use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::{fs, thread};

use anyhow::{Context as _, ensure};

use crate::cargo::{self, Cargo};

use stats::Stats;

/// Limits that a target may not pass: seconds for one input, MiB of memory, MiB of one allocation, bytes of an input.
/// Leaks are not looked for: a thread that `verify` has started may still be freeing what is its own when an input ends.
const LIMITS: &str =
    "-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=64 -max_len=16384 -detect_leaks=0";

/// Lines of a failing target's output that are shown.
const SHOWN: usize = 40;

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets; all of them, if none is named.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Where the random choices start. With the time as the limit, two runs are not the same; an input always is.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// How many targets run at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let targets = select(&all()?, &args.targets)?;
    if let Some(reason) = missing() {
        println!("skipped: fuzz: {reason}");
        return Ok(true);
    }
    let seeds = Cargo::new("run --quiet --package wal-fuzz --example seeds -- fuzz/corpus");
    let build = Cargo::nightly("fuzz build");
    for step in [&seeds, &build] {
        println!("   {step}");
        ensure!(step.passes()?, "{step} failed");
    }

    println!("{}", Fuzzed::HEAD);
    let left = Mutex::new(targets.iter());
    let next = || left.lock().ok().and_then(|mut left| left.next());
    let worker = || -> anyhow::Result<usize> {
        let mut failures = 0;
        while let Some(target) = next() {
            let outcome = fuzz(target, args)?;
            print!("{outcome}");
            failures += usize::from(outcome.failed);
        }
        Ok(failures)
    };
    let failures = thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(worker)).collect();
        let finished = workers.into_iter().map(thread::ScopedJoinHandle::join);
        finished
            .map(|outcome| outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked"))))
            .sum::<anyhow::Result<usize>>()
    })?;
    Ok(failures == 0)
}

/// Why nothing can run, and what installs it.
fn missing() -> Option<String> {
    if !Cargo::nightly("--version").answers() {
        return Some("there is no nightly toolchain (rustup toolchain install nightly)".into());
    }
    if !Cargo::nightly("fuzz --version").answers() {
        return Some("cargo-fuzz is not installed (cargo install --locked cargo-fuzz)".into());
    }
    None
}

/// The targets that there are, by the names of their programs.
fn all() -> anyhow::Result<Vec<String>> {
    let folder = cargo::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).context("could not list the fuzz targets")?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.context("could not list the fuzz targets")?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn select(all: &[String], wanted: &[String]) -> anyhow::Result<Vec<String>> {
    for name in wanted {
        let known = all.join(", ");
        ensure!(
            all.contains(name),
            "there is no target {name}; there are {known}"
        );
    }
    let chosen = all
        .iter()
        .filter(|name| wanted.is_empty() || wanted.contains(name));
    Ok(chosen.cloned().collect())
}

fn command_line(target: &str, args: &Args) -> Cargo {
    Cargo::nightly(&format!(
        "fuzz run {target} -- -max_total_time={} -seed={} -print_final_stats=1 {LIMITS}",
        args.seconds, args.seed
    ))
}

/// What came of one target.
#[derive(Debug)]
struct Fuzzed {
    target: String,
    seed: u32,
    stats: Stats,
    failed: bool,
    /// The end of its output.
    tail: Vec<String>,
}

fn fuzz(target: &str, args: &Args) -> anyhow::Result<Fuzzed> {
    let cargo = command_line(target, args);
    let mut outcome = Fuzzed {
        target: target.to_owned(),
        seed: args.seed,
        stats: Stats::default(),
        failed: false,
        tail: Vec::new(),
    };
    let mut command = cargo.command();
    let piped = command.stdout(Stdio::null()).stderr(Stdio::piped());
    outcome.failed = !cargo.passes_telling(piped, |line| outcome.add_line(line))?;
    Ok(outcome)
}

impl Fuzzed {
    const HEAD: &'static str =
        "target                  seed   executions  seconds  executions/s  crashes";

    fn add_line(&mut self, line: &str) {
        self.stats.add_line(line);
        if self.tail.len() == SHOWN {
            self.tail.remove(0);
        }
        self.tail.push(line.to_owned());
    }
}

impl std::fmt::Display for Fuzzed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            target,
            seed,
            stats,
            ..
        } = self;
        writeln!(
            f,
            "{target:<22} {seed:>5} {:>12} {:>8} {:>13} {:>8}",
            stats.executions,
            stats.seconds,
            stats.rate(),
            usize::from(self.failed),
        )?;
        if self.failed {
            for line in &self.tail {
                writeln!(f, "    {line}")?;
            }
            let find = stats.find.as_deref().unwrap_or("FILE");
            let name = Path::new(find).file_name().unwrap_or_default().display();
            writeln!(
                f,
                "  look at it: cargo run -p wal-fuzz --example replay -- {target} {find}\n  \
                 keep it:    cp {find} fuzz/regressions/{target}/{name} && cargo test -p wal-fuzz"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn all_targets_run_unless_some_are_named() {
        let all = names(&["group", "record"]);
        assert_eq!(select(&all, &[]).unwrap(), all);
        assert_eq!(
            select(&all, &names(&["record"])).unwrap(),
            names(&["record"])
        );
        let error = select(&all, &names(&["other"])).unwrap_err().to_string();
        assert!(error.contains("group, record"), "{error}");
    }

    #[test]
    fn time_and_seed_are_passed_on() {
        let args = Args {
            targets: Vec::new(),
            seconds: 5,
            seed: 7,
            jobs: 1,
        };
        let line = command_line("record", &args).to_string();
        let begin = "cargo +nightly fuzz run record -- -max_total_time=5 -seed=7 ";
        assert!(line.starts_with(begin), "{line}");
        assert!(line.contains("-malloc_limit_mb="), "{line}");
    }

    #[test]
    fn a_find_is_shown_with_what_to_do() {
        let mut outcome = Fuzzed {
            target: "record".into(),
            seed: 1,
            stats: Stats::default(),
            failed: true,
            tail: Vec::new(),
        };
        for n in 0..2 * SHOWN {
            outcome.add_line(&format!("line {n}"));
        }
        outcome.add_line("Test unit written to fuzz/artifacts/record/crash-1a");
        let text = outcome.to_string();
        assert!(
            !text.contains("line 1\n") && text.contains("line 79\n"),
            "{text}"
        );
        let keep = "cp fuzz/artifacts/record/crash-1a fuzz/regressions/record/crash-1a";
        assert!(text.contains(keep), "{text}");
    }

    #[test]
    fn the_targets_are_those_in_the_folder() {
        assert!(all().unwrap().contains(&"directory_structured".to_owned()));
    }
}
