//! Makes, checks and shows the golden files of the format.
//!
//! ```text
//! cargo run -p wal-format --example golden -- --check    compare the kept files (the default)
//! cargo run -p wal-format --example golden -- --show     print the worked examples
//! cargo run -p wal-format --example golden -- --write    write files that are missing, and drafts that differ
//! ```
//!
//! A kept file of a frozen version is never overwritten: it stands for what is already on somebody's disk.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use support::annotate::annotate;
use support::golden::{Golden, all, worked_example};
use support::golden_2;
use wal_format::SegmentId;

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match std::env::args().nth(1).as_deref() {
        None | Some("--check") => check(&mut out, &all()),
        Some("--show") => {
            for example in [worked_example(), golden_2::worked_example()] {
                writeln!(out, "{}", annotate(&example, SegmentId::FIRST))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("--write") => write(&mut out, &all()),
        Some(_) => {
            writeln!(out, "usage: golden [--check | --show | --write]")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn check(out: &mut impl io::Write, goldens: &[Golden]) -> io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for golden in goldens {
        match difference(golden) {
            None => writeln!(out, "{}: as kept", golden.title())?,
            Some(difference) => {
                writeln!(out, "{difference}")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// What differs between a golden file and what the builder makes.
fn difference(golden: &Golden) -> Option<String> {
    match fs::read(golden.path()) {
        Ok(kept) => golden.difference(&kept),
        Err(error) => Some(format!("{}: {error}", golden.title())),
    }
}

fn write(out: &mut impl io::Write, goldens: &[Golden]) -> io::Result<ExitCode> {
    for golden in goldens {
        let changes = golden.folder.is_draft() && difference(golden).is_some();
        if changes || !golden.path().exists() {
            fs::create_dir_all(golden.folder.path())?;
            fs::write(golden.path(), &golden.bytes)?;
            writeln!(out, "{}: written", golden.title())?;
        }
    }
    check(out, goldens)
}
