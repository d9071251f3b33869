//! `wal-bench`: runs the workloads, prints the table, writes the JSON.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is for the person who started it"
)]

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Parser as _;
use wal_bench::Options;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let shows = std::io::stderr().is_terminal();
    let report = wal_bench::run(&options, &|what| {
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
    Ok(())
}
