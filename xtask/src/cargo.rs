//! One call of cargo: what is printed is what is run.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A cargo command line, run from the root of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cargo {
    nightly: bool,
    args: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Cargo {
    /// The command line `cargo ARGS`, where `args` is split at spaces.
    pub(crate) fn new(args: &str) -> Self {
        Self {
            nightly: false,
            args: args.split_whitespace().map(str::to_owned).collect(),
            variables: Vec::new(),
        }
    }

    /// The command line `cargo +nightly ARGS`.
    pub(crate) fn nightly(args: &str) -> Self {
        Self {
            nightly: true,
            ..Self::new(args)
        }
    }

    /// The same with an environment variable set.
    pub(crate) fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The same with further arguments, each taken as it is.
    pub(crate) fn with_args(mut self, args: &[String]) -> Self {
        self.args.extend_from_slice(args);
        self
    }

    /// Ready to start.
    pub(crate) fn command(&self) -> Command {
        // A toolchain's own cargo, which runs this task, does not know of others.
        let mut command = if self.nightly {
            let mut rustup = Command::new("rustup");
            rustup.args(["run", "nightly", "cargo"]).env_remove("CARGO");
            rustup
        } else {
            Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
        };
        command.args(&self.args).current_dir(root());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end; whether that was a success.
    pub(crate) fn passes(&self) -> anyhow::Result<bool> {
        let status = self.command().status();
        let status = status.with_context(|| format!("could not start {self}"))?;
        Ok(status.success())
    }

    /// The same. Prints each line of its standard output after `take` has seen it.
    pub(crate) fn passes_printing(&self, mut take: impl FnMut(&str)) -> anyhow::Result<bool> {
        let mut command = self.command();
        self.passes_telling(command.stdout(Stdio::piped()), |line| {
            take(line);
            println!("{line}");
        })
    }

    /// Runs `command`, made by [`command`](Self::command), and gives each line of its piped output to `take`.
    pub(crate) fn passes_telling(
        &self,
        command: &mut Command,
        mut take: impl FnMut(&str),
    ) -> anyhow::Result<bool> {
        let child = command.spawn();
        let mut child = child.with_context(|| format!("could not start {self}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let piped = stdout.map(|output| Box::new(output) as Box<dyn Read>);
        let piped = piped.or(stderr.map(|output| Box::new(output) as _));
        for line in BufReader::new(piped.context("no output is piped")?).split(b'\n') {
            let line = line.with_context(|| format!("could not read the output of {self}"))?;
            take(&String::from_utf8_lossy(&line));
        }
        let status = child.wait();
        let status = status.with_context(|| format!("could not wait for {self}"))?;
        Ok(status.success())
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
        let toolchain = if self.nightly { "+nightly " } else { "" };
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
