//! `wal-bench`: the log and the limits. The peers have a program of their own.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    wal_bench::main_with(&wal_bench::peer::Field::default())
}
