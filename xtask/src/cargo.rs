//! One call of cargo: what is printed is what is run.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A cargo command line, run from the root of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cargo {
    toolchain: Toolchain,
    args: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
}

/// Whose cargo it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The one that runs this task.
    Own,
    Nightly,
}

impl Cargo {
    /// The command line `cargo ARGS`, where `args` is split at spaces.
    pub(crate) fn new(args: &str) -> Self {
        Self {
            toolchain: Toolchain::Own,
            args: args.split_whitespace().map(str::to_owned).collect(),
            variables: Vec::new(),
        }
    }

    /// The command line `cargo +nightly ARGS`.
    pub(crate) fn nightly(args: &str) -> Self {
        Self {
            toolchain: Toolchain::Nightly,
            ..Self::new(args)
        }
    }

    /// The same with an environment variable set.
    pub(crate) fn with_variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// The same with further arguments, each taken as it is.
    pub(crate) fn with_args(mut self, args: &[String]) -> Self {
        self.args.extend_from_slice(args);
        self
    }

    /// Ready to start.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.toolchain {
            Toolchain::Own => {
                Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
            }
            // A toolchain's own cargo, which runs this task, does not know of others.
            Toolchain::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", "nightly", "cargo"]).env_remove("CARGO");
                rustup
            }
        };
        command.args(&self.args).current_dir(root());
        command.envs(self.variables.iter().copied());
        command
    }

    /// Whether it ends with success when run without output. A cargo subcommand that is not
    /// installed ends with an error.
    pub(crate) fn answers(&self) -> bool {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}='{value}' ")?;
        }
        let toolchain = match self.toolchain {
            Toolchain::Own => "",
            Toolchain::Nightly => "+nightly ",
        };
        write!(f, "cargo {toolchain}{}", self.args.join(" "))
    }
}

/// The root of the workspace: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable for `cargo xtask`; a copied binary falls back to where it was built.
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_the_line_that_a_shell_takes() {
        let cargo = Cargo::new("doc --no-deps").with_variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            cargo.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
    }

    #[test]
    fn another_toolchain_is_named_as_a_shell_does() {
        assert_eq!(
            Cargo::nightly("fuzz list").to_string(),
            "cargo +nightly fuzz list"
        );
    }

    #[test]
    fn a_missing_subcommand_does_not_answer() {
        assert!(Cargo::new("--version").answers());
        assert!(!Cargo::new("no-such-subcommand-of-cargo --version").answers());
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").exists() || root().join("Cargo.toml").exists());
    }
}
