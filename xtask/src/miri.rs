//! `cargo xtask miri`: tests that need no files and no C code, interpreted, so that undefined behaviour in what the project
//! stands on (it has no unsafe code of its own) or a data race ends them.
//!
//! Deliberately absent: Zstandard, which is C code, and tests whose thousands of cases an interpreter would take hours for.

use crate::cargo::Cargo;

/// What of it to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the command lines; run nothing.
    #[arg(long)]
    list: bool,
}

/// Of wal-format; the others fill large segments, read golden files, or try every bit of a file.
const FORMAT: &str =
    "--lib --test record --test group --test writer --test segment --test roundtrip";
/// A bit at a time, at a great many places.
const LEFT_OUT: &str = "--skip every_";

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let commands = commands();
    if args.list {
        for cargo in commands {
            println!("{cargo}");
        }
        return Ok(true);
    }
    if !Cargo::nightly("miri --version").answers() {
        let hint = "rustup toolchain install nightly --component miri,rust-src";
        println!("skipped: miri: it is not installed ({hint})");
        return Ok(true);
    }
    for cargo in commands {
        println!("   {cargo}");
        if !cargo.passes()? {
            println!("miri: failed; to run it alone: {cargo}");
            return Ok(false);
        }
    }
    Ok(true)
}

fn commands() -> [Cargo; 2] {
    let tests = "miri test --no-default-features --features lz4";
    [
        format!("{tests} -p wal-format {FORMAT} -- {LEFT_OUT}"),
        format!("{tests} -p wal-core --test memory"),
    ]
    .map(|line| {
        Cargo::nightly(&line)
            // The log asks for the time.
            .with_variable("MIRIFLAGS", "-Zmiri-disable-isolation")
            .with_variable("PROPTEST_CASES", "4")
            .with_variable("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_c_code_is_interpreted() {
        for cargo in commands() {
            let line = cargo.to_string();
            assert!(
                line.contains("--no-default-features --features lz4"),
                "{line}"
            );
        }
    }
}
