//! `wal-soak`: long runs under mixed load, with kills and reopens. `cargo xtask soak` builds and starts it.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "it reports to the person who started it"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wal_soak::harness::{Limits, Subject, run};
use wal_soak::kv::{self, Kv};

/// Runs something under mixed load for long, kills it, opens it again, and holds every stated bound.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The key-value store.
    Kv(Limits),
    /// A process of a round: for the soak itself.
    #[command(hide = true)]
    KvLife {
        /// As JSON.
        #[arg(value_parser = kv::LifeArgs::parse)]
        args: kv::LifeArgs,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().what {
        What::Kv(limits) => soak(&Kv, "cargo xtask soak kv", &limits),
        What::KvLife { args } => Ok(kv::life(&args)),
    }
}

fn soak(subject: &impl Subject, command: &str, limits: &Limits) -> anyhow::Result<ExitCode> {
    let outcome = run(subject, command, limits, |line| println!("{line}"))?;
    println!("\n{}", outcome.table);
    for skipped in &outcome.skipped {
        println!("skipped: {skipped}");
    }
    let violations = outcome.table.violations();
    println!(
        "{command}: seed {}, {} rounds, {} processes, {} kills, {} violations",
        limits.seed,
        outcome.rounds,
        outcome.lives,
        outcome.kills,
        violations.len()
    );
    for violation in violations {
        println!("violation: {violation}");
    }
    Ok(if violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
