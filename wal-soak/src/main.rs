//! `wal-soak`: long runs under mixed load, with kills and reopens. `cargo xtask soak` builds and starts it.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "it reports to the person who started it"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    Kv(Args),
    /// A process of a round: for the soak itself.
    #[command(hide = true)]
    KvLife(kv::LifeArgs),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// For how long rounds are begun.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// What the rounds are like.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this round, to see a violation again.
    #[arg(long)]
    round: Option<u64>,
    /// How much time a round has; a replay needs that of the run.
    #[arg(long)]
    length_ms: Option<u64>,
    /// Where the stores are made [default: the system's directory for temporary files].
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().what {
        What::Kv(args) => soak(&Kv, "cargo xtask soak kv", args),
        What::KvLife(args) => Ok(kv::life(&args)),
    }
}

fn soak(subject: &impl Subject, command: &str, args: Args) -> anyhow::Result<ExitCode> {
    let limits = Limits {
        time: Duration::from_secs_f64(args.minutes * 60.0),
        seed: args.seed,
        round: args.round,
        length: args.length_ms.map(Duration::from_millis),
        directory: args.dir.unwrap_or_else(std::env::temp_dir),
        command: command.to_owned(),
    };
    let outcome = run(subject, &limits, |line| println!("{line}"))?;
    println!("\n{}", outcome.table);
    for skipped in &outcome.skipped {
        println!("skipped: {skipped}");
    }
    let violations = outcome.table.violations();
    println!(
        "{command}: seed {}, {} rounds, {} processes, {} kills, {} violations",
        args.seed,
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
