//! `cargo xtask crash`: the crash suite for as long as one likes. The log's is the crate wal-crash, the store's a test of wal-kv.

use crate::cargo::Cargo;

/// What to search, and how far.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The first seed; program n has the seed S + n.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run random programs until this many crash states were seen (a million by default).
    #[arg(long)]
    states: Option<u64>,
    /// Run this many programs instead.
    #[arg(long, conflicts_with = "states")]
    programs: Option<u64>,
    /// Threads; by default one a core. The counts do not depend on it.
    #[arg(long)]
    threads: Option<u64>,
    /// Print the program of the seed and run only that; if it fails, make it smaller.
    #[arg(long)]
    show: bool,
    /// Look at every state that every crash of a family of small programs can leave.
    #[arg(long)]
    exhaustive: bool,
    /// With --exhaustive: a crash point that can leave more states is sampled (65536 by default).
    #[arg(long)]
    budget: Option<u64>,
    /// Run one program, given as the text that a failure prints, or as a file that holds it.
    #[arg(long, value_name = "TEXT_OR_FILE")]
    replay: Option<String>,
    /// Search for a crash that breaks a promise of the store, on all cores.
    #[arg(long, conflicts_with_all = ["threads", "show", "exhaustive", "budget", "replay"])]
    store: bool,
}

/// States of the store unless told otherwise.
const STORE_STATES: u64 = 1_000_000;

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    suite(args).passes()
}

fn suite(args: &Args) -> Cargo {
    if args.store {
        return store_suite(args);
    }
    let mut passed_on = vec!["--seed".to_owned(), args.seed.to_string()];
    let numbers = [
        ("--states", args.states),
        ("--programs", args.programs),
        ("--threads", args.threads),
        ("--budget", args.budget),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            passed_on.extend([name.to_owned(), number.to_string()]);
        }
    }
    for (name, given) in [("--show", args.show), ("--exhaustive", args.exhaustive)] {
        if given {
            passed_on.push(name.to_owned());
        }
    }
    if let Some(program) = &args.replay {
        // The suite runs from the root of the workspace.
        let file = std::path::absolute(program)
            .ok()
            .filter(|path| path.is_file());
        let program = file.map_or_else(|| program.clone(), |path| path.display().to_string());
        passed_on.extend(["--replay".to_owned(), program]);
    }
    Cargo::new("run --quiet --release --package wal-crash --").with_args(&passed_on)
}

/// `wal-kv/tests/crash_search`.
fn store_suite(args: &Args) -> Cargo {
    let test = "test --quiet --release --package wal-kv --test crash_search -- --nocapture";
    let cargo = Cargo::new(test).with_variable("WAL_TEST_SEED", args.seed.to_string());
    if let Some(programs) = args.programs {
        return cargo.with_variable("WAL_CRASH_PROGRAMS", programs.to_string());
    }
    let states = args.states.unwrap_or(STORE_STATES);
    cargo.with_variable("WAL_CRASH_STATES", states.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_count_are_passed_on() {
        let args = Args {
            seed: 7,
            states: Some(3),
            show: true,
            ..Args::default()
        };
        let line = suite(&args).to_string();
        assert!(line.ends_with("-- --seed 7 --states 3 --show"), "{line}");
    }

    #[test]
    fn seed_and_count_are_passed_on_to_the_store_s_suite() {
        let mut args = Args {
            seed: 7,
            store: true,
            ..Args::default()
        };
        for (programs, expected) in [
            (None, "WAL_CRASH_STATES='1000000'"),
            (Some(3), "WAL_CRASH_PROGRAMS='3'"),
        ] {
            args.programs = programs;
            let line = suite(&args).to_string();
            assert!(line.contains("WAL_TEST_SEED='7'"), "{line}");
            assert!(line.contains(expected), "{line}");
            assert!(line.contains("--test crash_search"), "{line}");
        }
    }

    #[test]
    fn a_program_is_passed_on_as_one_argument() {
        let args = Args {
            replay: Some("seed=1 / append:3 kill ~4".into()),
            ..Args::default()
        };
        assert!(
            suite(&args)
                .to_string()
                .ends_with("--replay seed=1 / append:3 kill ~4")
        );
    }
}
