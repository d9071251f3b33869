//! `cargo xtask bench`: the benchmark, built in release mode.
//!
//! What it can do is wal-bench's: this builds the program with or without peers, and runs it.

use crate::cargo::Cargo;

/// What is passed on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Options of wal-bench, which `cargo xtask bench -- --help` shows. Beside them --peers: other logs take part;
    /// --peers=rocksdb,sqlite: those that build C++ and C, too.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    benchmark(&args.options).passes()
}

/// Wherever `--peers` stands: the options before it are wal-bench's.
fn benchmark(options: &[String]) -> Cargo {
    let mut build = "run --release --package wal-bench".to_owned();
    let mut passed_on = vec!["--".to_owned()];
    for option in options {
        match option.strip_prefix("--peers") {
            Some("") => build = with_peers(None),
            Some(features) if features.starts_with('=') => build = with_peers(Some(&features[1..])),
            _ => passed_on.push(option.clone()),
        }
    }
    Cargo::new(&build).with_args(&passed_on)
}

fn with_peers(features: Option<&str>) -> String {
    let run = "run --release --manifest-path wal-bench/peers/Cargo.toml";
    match features {
        None => run.to_owned(),
        Some(features) => format!("{run} --features {features}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &[&str]) -> String {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        benchmark(&options).to_string()
    }

    #[test]
    fn options_are_passed_on_as_they_are() {
        assert_eq!(
            line(&["--only", "replay", "--full"]),
            "cargo run --release --package wal-bench -- --only replay --full"
        );
    }

    #[test]
    fn the_peers_have_a_program_of_their_own() {
        let program = "cargo run --release --manifest-path wal-bench/peers/Cargo.toml";
        assert_eq!(line(&["--peers"]), format!("{program} --"));
        assert_eq!(
            line(&["--full", "--peers=rocksdb,sqlite", "--turns", "7"]),
            format!("{program} --features rocksdb,sqlite -- --full --turns 7")
        );
    }
}
