//! The program: parses the command line, runs the workloads, prints the table, writes the JSON.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is for the person who started it"
)]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::options::Options;
use crate::peer::Field;
use crate::workloads::run_with;

/// The `main` of a program that measures the log, the limits and the peers of `field`.
///
/// # Errors
/// As [`run_with`]; the report could not be written.
pub fn main_with(field: &Field) -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let shows = std::io::stderr().is_terminal();
    let report = run_with(&options, field, &|what| {
        if shows {
            // Over the line before.
            eprint!("\r\x1b[K{what}");
        }
    })?;
    if shows {
        eprint!("\r\x1b[K");
    }
    if options.quick {
        println!("tiny sizes: the figures mean nothing");
    }
    print!("{report}");
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
