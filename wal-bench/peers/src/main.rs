//! `wal-bench` with the peers beside the log and the limits.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    wal_bench::main_with(&wal_bench_peers::field())
}
