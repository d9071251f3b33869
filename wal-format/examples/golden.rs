//! Makes, checks and shows the golden files of the format.
//!
//! ```text
//! cargo run -p wal-format --example golden -- --check    compare the kept files (the default)
//! cargo run -p wal-format --example golden -- --show     print the worked example
//! cargo run -p wal-format --example golden -- --write    write files that are missing
//! ```
//!
//! A kept file is never overwritten: it stands for what is already on somebody's disk.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use support::annotate::annotate;
use support::golden::{Golden, all, directory, worked_example};
use wal_format::SegmentId;

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match std::env::args().nth(1).as_deref() {
        None | Some("--check") => check(&mut out, &all()),
        Some("--show") => {
            let text = annotate(&worked_example(), SegmentId::FIRST);
            out.write_all(text.as_bytes())?;
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
        let difference = match fs::read(golden.path()) {
            Ok(kept) => golden.difference(&kept),
            Err(error) => Some(format!("{}: {error}", golden.name)),
        };
        match difference {
            None => writeln!(out, "{}: as kept", golden.name)?,
            Some(difference) => {
                writeln!(out, "{difference}")?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn write(out: &mut impl io::Write, goldens: &[Golden]) -> io::Result<ExitCode> {
    fs::create_dir_all(directory())?;
    for golden in goldens.iter().filter(|golden| !golden.path().exists()) {
        fs::write(golden.path(), &golden.bytes)?;
        writeln!(out, "{}: written", golden.name)?;
    }
    check(out, goldens)
}
