//! `cargo xtask golden`: the golden files of wal-format.
//!
//! The files and what they must hold are the format crate's: this only runs its example.

use crate::cargo::Cargo;

/// What to do with the golden files. Without an option they are checked.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Args {
    /// Print the worked examples of docs/format.md and docs/format-2.md in hex.
    #[arg(long)]
    show: bool,
    /// Compare the files with what the encoder writes, and read each one back.
    #[arg(long)]
    check: bool,
    /// Write files that are missing, and drafts that differ. Files of frozen versions never change.
    #[arg(long)]
    write: bool,
}

impl Args {
    fn action(&self) -> &'static str {
        match (self.show, self.write) {
            (true, _) => "--show",
            (_, true) => "--write",
            _ => "--check",
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    example(args.action()).passes()
}

/// The call that does `action`, one of `--show`, `--check`, `--write`.
pub(crate) fn example(action: &str) -> Cargo {
    Cargo::new(&format!(
        "run --quiet --package wal-format --example golden -- {action}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_option_it_checks() {
        let args = Args {
            show: false,
            check: false,
            write: false,
        };
        assert_eq!(args.action(), "--check");
    }

    #[test]
    fn an_option_is_passed_on() {
        assert_eq!(
            Args {
                show: true,
                check: false,
                write: false
            }
            .action(),
            "--show"
        );
        assert_eq!(
            Args {
                show: false,
                check: true,
                write: false
            }
            .action(),
            "--check"
        );
        assert_eq!(
            Args {
                show: false,
                check: false,
                write: true
            }
            .action(),
            "--write"
        );
    }
}
