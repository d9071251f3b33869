//! What each step of `cargo xtask ci` runs. Data only: nothing here starts a program, except to
//! ask which cargo subcommands are installed.

use std::fmt;

use clap::ValueEnum;

use crate::cargo::Cargo;
use crate::golden;
use crate::{shuttle, soak, syscalls};

/// The steps, in the order in which they run: cheap ones first, the tests last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Step {
    Fmt,
    Tidy,
    Clippy,
    Docs,
    Api,
    Golden,
    Deny,
    Doctests,
    Shuttle,
    Sabotage,
    Syscalls,
    Soak,
    Formats,
    Tests,
}

impl Step {
    /// As the command line takes it.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The steps that `only` and `skip` leave, in their order.
pub(super) fn select(only: &[Step], skip: &[Step]) -> Vec<Step> {
    let wanted = |step: &Step| (only.is_empty() || only.contains(step)) && !skip.contains(step);
    Step::value_variants()
        .iter()
        .copied()
        .filter(wanted)
        .collect()
}

/// What a step uses where it is installed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools {
    pub(super) nextest: bool,
    pub(super) deny: bool,
    /// Why strace cannot be used, if it cannot.
    pub(super) no_strace: Option<&'static str>,
}

impl Tools {
    pub(super) fn installed() -> Self {
        Self {
            nextest: Cargo::new("nextest --version").answers(),
            deny: Cargo::new("deny --version").answers(),
            no_strace: syscalls::obstacle(),
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Runs these one after the other, up to the first that fails.
    Commands(Vec<Cargo>),
    /// Runs `cargo test` and adds up the results of its test programs.
    CountedTests(Cargo),
    /// Checks the tree in this process.
    Tidy,
    /// Breaks the log on purpose, from this process.
    Sabotage,
    /// Injects faults into the command's system calls, from this process.
    Syscalls,
    /// Does nothing, for this reason.
    Skip(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commands(commands) => {
                let lines: Vec<String> = commands.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join(" && "))
            }
            Self::CountedTests(cargo) => cargo.fmt(f),
            Self::Tidy => f.write_str("cargo xtask tidy"),
            Self::Sabotage => f.write_str("cargo xtask sabotage --quick"),
            Self::Syscalls => f.write_str(&syscalls::sample_line()),
            Self::Skip(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

pub(super) fn action(step: Step, tools: Tools) -> Action {
    let commands = match step {
        Step::Fmt => vec![Cargo::new("fmt --all -- --check")],
        Step::Tidy => return Action::Tidy,
        Step::Clippy => vec![
            Cargo::new("clippy --workspace --all-targets -- -D warnings"),
            // The library alone: with its tests, dev-dependencies could bring the features back.
            Cargo::new("clippy -p wal-format --lib --no-default-features -- -D warnings"),
            Cargo::new("clippy -p wal-core --lib --no-default-features -- -D warnings"),
        ],
        Step::Docs => {
            let doc = Cargo::new("doc --workspace --no-deps");
            vec![doc.with_variable("RUSTDOCFLAGS", "-D warnings")]
        }
        Step::Api => vec![Cargo::new("run --quiet --package xtask -- api --check")],
        Step::Golden => vec![golden::example("--check")],
        Step::Deny if !tools.deny => {
            let hint = "cargo install --locked cargo-deny";
            return Action::Skip(format!("cargo-deny is not installed ({hint})"));
        }
        Step::Deny => vec![Cargo::new("deny check bans licenses sources")],
        Step::Doctests => vec![Cargo::new("test --doc --workspace")],
        Step::Shuttle => shuttle::round(),
        Step::Sabotage => return Action::Sabotage,
        Step::Syscalls => {
            let skipped = |obstacle: &str| Action::Skip(obstacle.to_owned());
            return tools.no_strace.map_or(Action::Syscalls, skipped);
        }
        Step::Soak => vec![soak::short()],
        Step::Formats => {
            // Version 2 is what all tests run in.
            // These make logs of both versions themselves.
            let of_both = "--skip promises::hostile --skip promises::lies";
            let promises = Cargo::new(&format!("test -q -p wal-core --test promises -- {of_both}"));
            // No crate of the workspace has the feature on.
            let serde = "test -q -p wal-format -p wal-core -p wal-kv --features serde --test serde";
            vec![
                promises.with_variable("WAL_TEST_FORMAT", "1"),
                Cargo::new(serde),
            ]
        }
        Step::Tests if !tools.nextest => {
            // Named targets, because the doctests have a step of their own.
            let tests =
                Cargo::new("test --workspace --no-fail-fast --lib --bins --tests --examples");
            return Action::CountedTests(tests);
        }
        Step::Tests => vec![Cargo::new("nextest run --workspace --no-fail-fast")],
    };
    Action::Commands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Tools = Tools {
        nextest: true,
        deny: true,
        no_strace: None,
    };
    const NONE: Tools = Tools {
        nextest: false,
        deny: false,
        no_strace: Some("strace is not installed"),
    };

    #[test]
    fn the_tests_are_the_last_step() {
        assert_eq!(select(&[], &[]).last(), Some(&Step::Tests));
    }

    #[test]
    fn only_and_skip_keep_the_order() {
        assert_eq!(
            select(&[Step::Tests, Step::Fmt], &[]),
            [Step::Fmt, Step::Tests]
        );
        assert_eq!(select(&[Step::Docs, Step::Fmt], &[Step::Fmt]), [Step::Docs]);
        assert!(!select(&[], &[Step::Clippy]).contains(&Step::Clippy));
    }

    #[test]
    fn a_name_is_what_the_command_line_takes() {
        for step in Step::value_variants() {
            assert_eq!(Step::from_str(&step.name(), false), Ok(*step));
        }
    }

    #[test]
    fn deny_is_skipped_with_the_command_that_installs_it() {
        let Action::Skip(reason) = action(Step::Deny, NONE) else {
            panic!("not skipped")
        };
        assert!(
            reason.contains("cargo install --locked cargo-deny"),
            "{reason}"
        );
        assert!(matches!(action(Step::Deny, ALL), Action::Commands(_)));
    }

    #[test]
    fn faults_in_system_calls_are_skipped_with_the_reason() {
        assert_eq!(action(Step::Syscalls, ALL), Action::Syscalls);
        let reason = "skipped: strace is not installed";
        assert_eq!(action(Step::Syscalls, NONE).to_string(), reason);
    }

    #[test]
    fn the_tests_run_without_nextest() {
        assert_eq!(
            action(Step::Tests, ALL).to_string(),
            "cargo nextest run --workspace --no-fail-fast"
        );
        assert!(
            action(Step::Tests, NONE)
                .to_string()
                .starts_with("cargo test --workspace")
        );
    }

    #[test]
    fn the_model_checker_has_a_build_of_its_own() {
        let line = action(Step::Shuttle, ALL).to_string();
        assert!(line.contains("--cfg wal_shuttle"), "{line}");
        assert!(line.contains("--target-dir target/shuttle"), "{line}");
    }

    #[test]
    fn clippy_sees_the_crates_without_their_features() {
        let line = action(Step::Clippy, ALL).to_string();
        assert!(
            line.contains("-p wal-core --lib --no-default-features"),
            "{line}"
        );
        assert!(
            line.contains("-p wal-format --lib --no-default-features"),
            "{line}"
        );
    }
}
