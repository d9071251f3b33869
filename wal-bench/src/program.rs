//! The program: parses the command line, runs the workloads, prints the table, writes the JSON, compares.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is for the person who started it"
)]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::compare;
use crate::errand::Errand;
use crate::options::Options;
use crate::peer::Field;
use crate::report::Report;
use crate::run::run_with;

/// The `main` of a program that measures the log, the limits and the peers of `field`. It ends with failure if the report
/// is worse than the one that `--compare` names, and is so again when the worse workloads are measured once more.
///
/// # Errors
/// As [`run_with`]; a report could not be read or written.
pub fn main_with(field: &Field) -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(errand) = &options.errand {
        println!("{}", Errand::serve(errand)?);
        return Ok(ExitCode::SUCCESS);
    }
    // Before the run: it may be the file that the new one replaces.
    let old = options.compare.as_deref().map(compare::read).transpose()?;
    let report = run(&options, field)?;
    if options.quick {
        println!("tiny sizes: the figures mean nothing");
    }
    print!("{report}");
    let path = options
        .json
        .clone()
        .unwrap_or_else(|| PathBuf::from("target/bench.json"));
    write(&report, &path)?;
    println!("\nreport: {}", path.display());
    let Some(old) = old else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut comparison = compare::compare(&old, &report)?;
    print!("{comparison}");
    if comparison.has_regressed() {
        let only = comparison.worse_workloads();
        println!("once more, to tell it from noise: {}", only.join(", "));
        let names = Vec::new();
        let again = Options {
            names,
            only,
            ..options
        };
        let again = run(&again, field)?;
        comparison = comparison.confirmed_by(&compare::compare(&old, &again)?);
        print!("{comparison}");
    }
    Ok(if comparison.has_regressed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// On a terminal, a line says what is being run.
fn run(options: &Options, field: &Field) -> anyhow::Result<Report> {
    let shows = std::io::stderr().is_terminal();
    let report = run_with(options, field, &|what| {
        if shows {
            // Over the line before.
            eprint!("\r\x1b[K{what}");
        }
    });
    if shows {
        eprint!("\r\x1b[K");
    }
    report
}

fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    let writing = || format!("writing {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(writing)?;
    }
    std::fs::write(path, json + "\n").with_context(writing)
}
