//! `cargo xtask ci`: the steps that have to pass before a change is merged.
//!
//! `plan` says what a step runs, as data; `run` runs the steps in order and stops at the first
//! that fails. The tests come last, and nothing is printed after them when they pass, so the
//! output ends with the test runner's own summary.

mod plan;
mod totals;

use std::io::Write as _;
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

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let tools = Tools::installed();
    let steps = plan::select(&args.only, &args.skip);
    if args.list {
        for step in steps {
            println!("{:<9} {}", step.name(), plan::action(step, tools));
        }
        return Ok(true);
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
            return Ok(false);
        }
    }
    print!("{summary}");
    Ok(true)
}

#[derive(Debug, Clone)]
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

fn run_step(step: Step, action: &Action) -> anyhow::Result<Outcome> {
    println!("\n== {}", step.name());
    let passed = match action {
        Action::Commands(commands) => run_all(commands)?,
        Action::CountedTests(cargo) => run_counted(cargo)?,
        Action::Tidy => {
            println!("   cargo xtask tidy");
            tidy::check()?
        }
        Action::Sabotage => {
            println!("   cargo xtask sabotage --quick");
            sabotage::quick()?
        }
        Action::Syscalls => {
            println!("   {}", syscalls::sample_line());
            syscalls::sample()?
        }
        Action::Skip(reason) => {
            println!("   skipped: {}: {reason}", step.name());
            return Ok(Outcome::Skipped(reason.clone()));
        }
    };
    Ok(if passed {
        Outcome::Passed
    } else {
        Outcome::Failed
    })
}

fn run_all(commands: &[Cargo]) -> anyhow::Result<bool> {
    for cargo in commands {
        announce(cargo)?;
        if !cargo.passes()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `cargo test` closes with the result of its last test program only; this adds all up.
fn run_counted(cargo: &Cargo) -> anyhow::Result<bool> {
    announce(cargo)?;
    let mut totals = Totals::default();
    let passed = cargo.passes_printing(|line| totals.add_line(line))?;
    println!("{totals}");
    Ok(passed)
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
        f.write_str("\nstep       seconds  result\n")?;
        for (step, outcome, elapsed) in &self.0 {
            let result = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped(reason) => &format!("skipped: {reason}"),
            };
            let seconds = elapsed.as_secs_f64();
            writeln!(f, "{:<9} {seconds:>8.1}  {result}", step.name())?;
        }
        Ok(())
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
