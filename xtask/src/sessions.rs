//! `cargo xtask sessions`: hundreds of sessions of one log and of one store, or any number. They are a test of wal-kv.

use crate::cargo::Cargo;

/// How many sessions, and what happens in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many sessions of each kind.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    count: u64,
    /// What happens in them, and when they are killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let cargo = tests(args);
    println!("   {cargo}");
    cargo.passes()
}

fn tests(args: &Args) -> Cargo {
    Cargo::new("test --quiet --package wal-kv --test sessions")
        .with_variable("WAL_TEST_SESSIONS", args.count.to_string())
        .with_variable("WAL_TEST_SEED", args.seed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_and_seed_are_passed_on() {
        let line = tests(&Args { count: 7, seed: 3 }).to_string();
        assert!(line.contains("WAL_TEST_SESSIONS='7' "), "{line}");
        assert!(line.contains("WAL_TEST_SEED='3' "), "{line}");
    }
}
