//! `cargo xtask bench`: the benchmark, built in release mode.
//!
//! What it can do is wal-bench's: this only runs it.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cargo::Cargo;

/// Everything is passed on; `cargo xtask bench -- --help` shows what there is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Options of wal-bench.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let cargo = benchmark(&args.options);
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

fn benchmark(options: &[String]) -> Cargo {
    Cargo::new("run --release --package wal-bench --").with_args(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_passed_on_as_they_are() {
        let options = ["--only".to_owned(), "replay".to_owned()];
        assert_eq!(
            benchmark(&options).to_string(),
            "cargo run --release --package wal-bench -- --only replay"
        );
    }
}
