//! One build with all variants, and the programs in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::copy;
use super::trial::Trial;
use super::variant::{Target, Test};

/// Which random programs to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Programs {
    pub(super) seed: u64,
    pub(super) count: u64,
}

/// The programs of the build, by package and name: two packages may have tests of one name.
#[derive(Debug)]
pub(super) struct Built(BTreeMap<(String, String), PathBuf>);

/// The package and the binary of the random crash programs.
const CRASH: &str = "wal-crash";

/// The command's package and its name.
const CLI: &str = "wal-cli";
const WAL: &str = "wal";

/// Whether the command is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithCommand {
    Yes,
    No,
}

/// Builds the random crash programs, `targets`, and the command where it is needed.
pub(super) fn build(targets: &[&Target], command: WithCommand) -> anyhow::Result<Built> {
    let mut built = BTreeMap::new();
    collect("build", CRASH, "--bins", &mut built)?;
    if command == WithCommand::Yes {
        collect("build", CLI, "--bins", &mut built)?;
    }
    for target in targets {
        let what = if target.name == target.package.replace('-', "_") {
            "--lib".to_owned()
        } else {
            format!("--test {}", target.name)
        };
        collect("test --no-run", &target.package, &what, &mut built)?;
    }
    Ok(Built(built))
}

/// Runs cargo, and takes the programs that it has made from its messages.
fn collect(
    command: &str,
    package: &str,
    what: &str,
    built: &mut BTreeMap<(String, String), PathBuf>,
) -> anyhow::Result<()> {
    let cargo = copy::cargo(&format!(
        "{command} --package {package} {what} --message-format json-render-diagnostics"
    ));
    println!("   {cargo}");
    let output = cargo
        .command()
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {cargo}"))?;
    anyhow::ensure!(output.status.success(), "{cargo} has failed");
    for line in output.stdout.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let message: serde_json::Value =
            serde_json::from_slice(line).with_context(|| format!("the messages of {cargo}"))?;
        if let (Some(path), Some(name)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
        ) {
            built.insert((package.into(), name.into()), PathBuf::from(path));
        }
    }
    Ok(())
}

impl Built {
    fn path(&self, package: &str, name: &str) -> anyhow::Result<&PathBuf> {
        let path = self.0.get(&(package.into(), name.into()));
        path.with_context(|| format!("cargo has not said where {name} of {package} is"))
    }

    /// The random crash programs.
    pub(super) fn programs(&self, programs: Programs) -> anyhow::Result<Trial> {
        let mut command = Command::new(self.path(CRASH, CRASH)?);
        command
            .args(["--seed", &programs.seed.to_string()])
            .args(["--programs", &programs.count.to_string()]);
        Ok(Trial::new(command))
    }

    /// A fault in one system call of the command.
    pub(super) fn fault(&self, case: &str) -> anyhow::Result<Trial> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["syscalls", "--replay", case]);
        command.arg("--wal").arg(self.path(CLI, WAL)?);
        Ok(Trial::new(command))
    }

    /// One test, run where cargo would run it.
    pub(super) fn test(&self, test: &Test) -> anyhow::Result<Trial> {
        let program = self.path(&test.target.package, &test.target.name)?;
        let exactly = || {
            let mut command = Command::new(program);
            command
                .args(["--exact", &test.name])
                .current_dir(copy::folder().join(&test.target.package));
            command
        };
        // A program that is asked for a test that it does not have runs none, and says that none has failed.
        let listed = exactly().arg("--list").output();
        let listed = listed.with_context(|| format!("could not ask {}", program.display()))?;
        anyhow::ensure!(
            String::from_utf8_lossy(&listed.stdout).contains(&format!("{}: test", test.name)),
            "{} has no test {}",
            program.display(),
            test.name
        );
        Ok(Trial::new(exactly()))
    }
}
