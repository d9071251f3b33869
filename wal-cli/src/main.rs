//! `wal`: a write-ahead log from the shell.
//!
//! Data goes to standard output, messages to standard error. One file a subcommand; what they share is in `output` (exit
//! codes, text, JSON), `errors` (messages) and `values` (sizes, times, policies as they are typed). Deliberately absent: any
//! knowledge of the log's files. All of it goes through `wal-core`'s public API.

#![forbid(unsafe_code)]

mod acks;
mod append;
mod cat;
mod errors;
mod facts;
mod file_size;
mod lines;
mod output;
mod progress;
mod repair;
mod stat;
mod truncate;
mod upgrade;
mod values;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit codes:
  0  clean; also an unclean stop whose data is whole, and a reader that went away (broken pipe)
  1  it could not be done: not a log, an I/O error, a full disk, a line that is too long
  2  wrong usage or an option out of range
  3  `wal verify`: a torn tail and nothing else, as a crash may leave it
  4  corruption, or a missing segment
  5  locked: another process has the log open for writing
  6  `wal stat`, `wal verify` and `wal cat`: a repair recorded lost records; the rest is sound

Example:
  wal append mylog < words.txt && wal cat mylog | cmp - words.txt";

/// A write-ahead log on the command line: append lines, read them back, inspect, verify, truncate, repair and upgrade.
///
/// A log is a directory. Every record in it has a number, its LSN, from 1 on. Data goes to standard output, messages go to
/// standard error.
#[derive(Debug, Parser)]
#[command(name = "wal", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Append(append::Args),
    Cat(cat::Args),
    Stat(stat::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Truncate(truncate::Args),
    Upgrade(upgrade::Args),
}

fn main() -> ExitCode {
    file_size::watch();
    let outcome = match Cli::parse().command {
        Command::Append(args) => append::run(&args),
        Command::Cat(args) => cat::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Truncate(args) => truncate::run(&args),
        Command::Upgrade(args) => upgrade::run(&args),
    };
    output::finish(outcome)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
