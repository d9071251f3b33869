//! `cargo xtask`: what the project runs on itself.
//!
//! One file a subcommand. Nothing here links the project's crates: a task that needs one runs it
//! through cargo, so `cargo xtask` builds in seconds and works while a crate does not compile.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "a task reports to the person who started it"
)]

mod api;
mod bench;
mod cargo;
mod ci;
mod crash;
mod files;
mod fuzz;
mod golden;
mod miri;
mod sabotage;
mod sessions;
mod shuttle;
mod soak;
mod syscalls;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the write-ahead log's repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that has to pass before a change is merged.
    Ci(ci::Args),
    /// Check the rules of the source tree that no compiler checks.
    Tidy(tidy::Args),
    /// List the public API of the libraries, or compare it with the listing.
    Api(api::Args),
    /// Search for a crash that breaks a promise of the log.
    Crash(crash::Args),
    /// Run the log's threads under a model checker.
    Shuttle(shuttle::Args),
    /// Search for bytes that break a decoder, the log or the command's parsers.
    Fuzz(fuzz::Args),
    /// Run the tests of the format, and of the log in memory, under Miri.
    Miri(miri::Args),
    /// Break the log on purpose, one way at a time, and see that a test notices.
    Sabotage(sabotage::Args),
    /// Run the command with a fault at one of its system calls, one a run.
    Syscalls(syscalls::Args),
    /// Open and end a log and a store many times, and see that nothing piles up.
    Sessions(sessions::Args),
    /// Run a store under mixed load for long, kill it, open it again, and hold every bound.
    Soak(soak::Args),
    /// Measure the log in turns with hand-written limits, in release mode.
    Bench(bench::Args),
    /// Show, check or write the golden files of the format.
    Golden(golden::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let passed = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Api(args) => api::run(&args),
        Task::Crash(args) => crash::run(&args),
        Task::Shuttle(args) => shuttle::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Miri(args) => miri::run(&args),
        Task::Sabotage(args) => sabotage::run(&args),
        Task::Syscalls(args) => syscalls::run(&args),
        Task::Sessions(args) => sessions::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Golden(args) => golden::run(&args),
    }?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
