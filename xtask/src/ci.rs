//! `cargo xtask ci`: the steps that have to pass before a change is merged.
//!
//! `plan` says what a step runs, as data; `run` runs the steps in order and stops at the first
//! that fails. The tests come last, and nothing is printed after them when they pass, so the
//! output ends with the test runner's own summary.

mod plan;
mod totals;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cargo::Cargo;
use crate::{sabotage, syscalls, tidy};

use plan::{Action, Step, Tools};
use totals::Totals;

/// Which steps to run: all of them, if no option is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this step; may be given several times.
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
    /// Leave this step out; may be given several times.
    #[arg(long, value_enum, value_name = "STEP")]
    skip: Vec<Step>,
    /// Print the steps and what each runs; run nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tools = Tools::installed();
    let steps = plan::select(&args.only, &args.skip);
    if args.list {
        for step in steps {
            println!("{:<9} {}", step.name(), plan::action(step, tools));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut summary = Summary::default();
    for step in steps {
        // The test runner has a summary of its own, which stays the last thing printed.
        if step == Step::Tests {
            print!("{summary}");
            summary = Summary::default();
        }
        let start = Instant::now();
        let outcome = run_step(step, &plan::action(step, tools))?;
        let elapsed = start.elapsed();
        let failed = matches!(outcome, Outcome::Failed);
        if step != Step::Tests {
            println!("   {:.1} s", elapsed.as_secs_f64());
            summary.add(step, outcome, elapsed);
        }
        if failed {
            print!("{summary}");
            let name = step.name();
            println!("\nci: {name} failed; to run it alone: cargo xtask ci --only {name}");
            return Ok(ExitCode::FAILURE);
        }
    }
    print!("{summary}");
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Clone)]
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

fn run_step(step: Step, action: &Action) -> anyhow::Result<Outcome> {
    println!("\n== {}", step.name());
    match action {
        Action::Commands(commands) => {
            for cargo in commands {
                if !run_cargo(cargo)? {
                    return Ok(Outcome::Failed);
                }
            }
            Ok(Outcome::Passed)
        }
        Action::CountedTests(cargo) => Ok(if run_counted(cargo)? {
            Outcome::Passed
        } else {
            Outcome::Failed
        }),
        Action::Tidy => {
            println!("   cargo xtask tidy");
            Ok(if tidy::check()? {
                Outcome::Passed
            } else {
                Outcome::Failed
            })
        }
        Action::Sabotage => {
            println!("   cargo xtask sabotage --quick");
            Ok(if sabotage::quick()? {
                Outcome::Passed
            } else {
                Outcome::Failed
            })
        }
        Action::Syscalls => {
            println!("   {}", syscalls::sample_line());
            Ok(if syscalls::sample()? {
                Outcome::Passed
            } else {
                Outcome::Failed
            })
        }
        Action::Skip(reason) => {
            println!("   skipped: {}: {reason}", step.name());
            Ok(Outcome::Skipped(reason.clone()))
        }
    }
}

fn run_cargo(cargo: &Cargo) -> anyhow::Result<bool> {
    announce(cargo)?;
    let status = cargo
        .command()
        .status()
        .with_context(|| format!("could not start {cargo}"))?;
    Ok(status.success())
}

/// `cargo test` closes with the result of its last test program only; this adds all up.
fn run_counted(cargo: &Cargo) -> anyhow::Result<bool> {
    announce(cargo)?;
    let mut child = cargo
        .command()
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {cargo}"))?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("could not read the output of {cargo}"))?;
            let line = String::from_utf8_lossy(&line);
            totals.add_line(&line);
            println!("{line}");
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("could not wait for {cargo}"))?;
    println!("{totals}");
    Ok(status.success())
}

/// Before the child writes to the same place.
fn announce(cargo: &Cargo) -> anyhow::Result<()> {
    println!("   {cargo}");
    std::io::stdout()
        .flush()
        .context("could not write to standard output")
}

/// What the steps so far took.
#[derive(Debug, Default)]
struct Summary(Vec<(Step, Outcome, Duration)>);

impl Summary {
    fn add(&mut self, step: Step, outcome: Outcome, elapsed: Duration) {
        self.0.push((step, outcome, elapsed));
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = String::from("\nstep       seconds  result\n");
        for (step, outcome, elapsed) in &self.0 {
            let result = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped(reason) => &format!("skipped: {reason}"),
            };
            let seconds = elapsed.as_secs_f64();
            writeln!(table, "{:<9} {seconds:>8.1}  {result}", step.name())?;
        }
        f.write_str(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_what_was_skipped() {
        let mut summary = Summary::default();
        summary.add(Step::Fmt, Outcome::Passed, Duration::from_millis(1250));
        let reason = String::from("cargo-deny is not installed");
        summary.add(Step::Deny, Outcome::Skipped(reason), Duration::ZERO);
        let text = summary.to_string();
        assert!(text.contains("fmt            1.2  ok\n"), "{text}");
        assert!(
            text.contains("deny           0.0  skipped: cargo-deny is not installed\n"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_summary_prints_nothing() {
        assert_eq!(Summary::default().to_string(), "");
    }
}
