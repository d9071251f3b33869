//! Runs random programs from a seed on, until so many are done or one breaks a promise.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wal_crash::{Outcome, Program, run};

/// Searches for a crash that breaks a promise of the log.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed; program n has the seed S + n.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many programs to run.
    #[arg(long, default_value_t = 100_000)]
    programs: u64,
    /// Print the program before it is run.
    #[arg(long)]
    show: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let begun = Instant::now();
    let mut total = Outcome::default();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.programs) {
        let program = Program::random(seed);
        if arguments.show {
            let _ = writeln!(out, "{program:#?}");
        }
        match run(&program) {
            Ok(outcome) => total.add(&outcome),
            Err(violation) => {
                let _ = writeln!(
                    out,
                    "seed {seed}: {violation}\nrun it again with --seed {seed} --programs 1 --show"
                );
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // A rate to print.
    let rate = total.states as f64 / seconds;
    let _ = writeln!(
        out,
        "programs {}, from seed {}: {} states, {} after power loss, {} with recovery cut short, {} unproven records kept; {seconds:.1} s, {rate:.0} states/s; 0 violations",
        arguments.programs,
        arguments.seed,
        total.states,
        total.crashes,
        total.nested,
        total.unproven
    );
    ExitCode::SUCCESS
}
