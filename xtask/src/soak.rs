//! `cargo xtask soak kv`: the store under mixed load for as long as one likes, with kills and reopens, and every bound in a table.
//!
//! What it does is wal-soak's: this builds the program in release mode, and runs it.

use crate::cargo::Cargo;
use crate::sabotage;

/// What is passed on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is soaked (kv), and options of wal-soak, which `cargo xtask soak kv --help` shows: --minutes, --seed, --round, --dir.
    /// Or `broken`: stores with deliberate mistakes, which the soak must find.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

/// Minutes of the soak in `cargo xtask ci`.
const SHORT: &str = "0.4";

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    match &args.options[..] {
        [what] if what == "broken" => sabotage::soak_finds_the_broken(),
        options => soak(options).passes(),
    }
}

/// What `cargo xtask ci` runs: each kind of round, for a second or two, in the build that the tests have.
pub(crate) fn short() -> Cargo {
    Cargo::new("run --quiet --package wal-soak -- kv --minutes").with_args(&[SHORT.to_owned()])
}

fn soak(options: &[String]) -> Cargo {
    Cargo::new("run --release --quiet --package wal-soak --").with_args(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on_as_they_are() {
        let options = ["kv", "--minutes", "5"].map(str::to_owned);
        assert_eq!(
            soak(&options).to_string(),
            "cargo run --release --quiet --package wal-soak -- kv --minutes 5"
        );
    }
}
