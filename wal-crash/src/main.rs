//! The crash suite for as long as one likes: random programs from a seed on, every state of small programs, or one program
//! again.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wal_crash::{
    Budget, Coverage, Program, Until, Violation, campaign, exhaust, family, run, shrink,
};

/// Searches for a crash that breaks a promise of the log.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed; program n has the seed S + n.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run until this many crash states were seen.
    #[arg(long, default_value_t = 1_000_000)]
    states: u64,
    /// Run this many programs instead.
    #[arg(long, conflicts_with = "states")]
    programs: Option<u64>,
    /// Threads; by default one a core. The counts do not depend on it.
    #[arg(long)]
    threads: Option<usize>,
    /// Print the program of the seed and run only that.
    #[arg(long)]
    show: bool,
    /// Look at every state that every crash of a family of small programs can leave.
    #[arg(long)]
    exhaustive: bool,
    /// With --exhaustive: a crash point that can leave more states is sampled.
    #[arg(long, default_value_t = Budget::FULL.states)]
    budget: u64,
    /// Run one program, given as its text or as a file that holds it.
    #[arg(long, value_name = "TEXT_OR_FILE")]
    replay: Option<String>,
    /// Programs to run at most while making a failing one smaller; 0 to leave it as it is.
    #[arg(long, default_value_t = 4000)]
    shrink: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let outcome = if let Some(text) = &arguments.replay {
        replay(&arguments, text, &mut out)
    } else if arguments.show {
        show(&arguments, &Program::random(arguments.seed), &mut out)
    } else if arguments.exhaustive {
        search_all(&arguments, &mut out)
    } else {
        search(&arguments, &mut out)
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "wal-crash: {error}");
            ExitCode::from(2)
        }
    }
}

fn replay(arguments: &Arguments, text: &str, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let text = if Path::new(text).is_file() {
        std::fs::read_to_string(text)?
    } else {
        text.to_owned()
    };
    show(arguments, &text.parse()?, out)
}

fn show(arguments: &Arguments, program: &Program, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    writeln!(out, "{program}")?;
    match run(program) {
        Ok(outcome) => {
            writeln!(out, "{outcome}\n0 violations")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => report(arguments, program, &violation, out),
    }
}

fn search(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let until = match arguments.programs {
        Some(programs) => Until::Programs(programs),
        None => Until::States(arguments.states),
    };
    let begun = Instant::now();
    let report_of_all = campaign(arguments.seed, until, threads);
    let seconds = begun.elapsed().as_secs_f64();
    let (programs, states) = (report_of_all.programs, report_of_all.outcome.states);
    #[allow(clippy::cast_precision_loss)] // A rate to print.
    let rate = states as f64 / seconds;
    writeln!(out, "{}", report_of_all.outcome)?;
    writeln!(
        out,
        "{programs} programs from seed {}, {threads} threads, {seconds:.1} s, {rate:.0} states/s; {} violations",
        arguments.seed,
        report_of_all.violations.len()
    )?;
    match report_of_all.violations.first() {
        None => Ok(ExitCode::SUCCESS),
        Some((seed, violation)) => {
            writeln!(out, "seed {seed}")?;
            report(arguments, &Program::random(*seed), violation, out)
        }
    }
}

fn search_all(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let budget = Budget {
        states: arguments.budget,
        ..Budget::FULL
    };
    let begun = Instant::now();
    let mut total = Coverage::default();
    for program in family() {
        match exhaust(&program, budget) {
            Ok(coverage) => total.add(&coverage),
            Err((program, violation)) => return report(arguments, &program, &violation, out),
        }
    }
    writeln!(
        out,
        "{} programs: all {} states of {} crash points; {} points above {} states, {} of theirs; {:.1} s; 0 violations",
        total.programs,
        total.states,
        total.points,
        total.sampled_points,
        budget.states,
        total.sampled_states,
        begun.elapsed().as_secs_f64()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a failing program, made smaller, as a line that replays it.
fn report(
    arguments: &Arguments,
    program: &Program,
    violation: &Violation,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    writeln!(out, "{violation}")?;
    // The programs that are tried may panic like the first one; once is enough to see.
    std::panic::set_hook(Box::new(|_| {}));
    let small = shrink(program, violation, arguments.shrink, &mut |program| {
        run(program).err()
    });
    writeln!(
        out,
        "\nmade smaller in {} runs: {}",
        small.runs, small.violation
    )?;
    writeln!(out, "cargo xtask crash --replay '{}'", small.program)?;
    Ok(ExitCode::FAILURE)
}
