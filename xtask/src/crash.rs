//! `cargo xtask crash`: the crash suite for as long as one likes. The suite itself is the crate wal-crash.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cargo::Cargo;

/// How long to search, and from where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first seed; program n has the seed S + n.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many programs to run; each is about 3.5 states.
    #[arg(long, default_value_t = 100_000)]
    programs: u64,
    /// Print each program before it is run: with `--programs 1`, what a failing seed does.
    #[arg(long)]
    show: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let cargo = suite(args);
    let status = cargo
        .command()
        .status()
        .with_context(|| format!("could not start {cargo}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn suite(args: &Args) -> Cargo {
    let show = if args.show { " --show" } else { "" };
    Cargo::new(&format!(
        "run --quiet --release --package wal-crash -- --seed {} --programs {}{show}",
        args.seed, args.programs
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_count_are_passed_on() {
        let args = Args {
            seed: 7,
            programs: 3,
            show: true,
        };
        let line = suite(&args).to_string();
        assert!(line.ends_with("-- --seed 7 --programs 3 --show"), "{line}");
    }
}
