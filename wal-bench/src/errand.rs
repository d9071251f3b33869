//! What needs a process of its own: a writer that is killed, and work whose memory is measured from the start.
//!
//! The running program is started again with the hidden option `--errand`; what it did comes back as a line of JSON.

mod opening;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use wal_core::blocking::Wal;

use crate::common::{Policy, fill};
use crate::found::Found;
use crate::memory;
use crate::watch::Stopwatch;

pub(crate) use opening::Opening;

/// What the process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Errand {
    /// Writes a log, and closes it.
    Write(Writing),
    /// Writes a log, and stays until it is killed.
    WriteAndStay(Writing),
    /// Opens a log.
    Open(PathBuf),
    /// Something with a store.
    Kv(Opening),
}

/// The log that is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Writing {
    pub(crate) log: PathBuf,
    pub(crate) policy: Policy,
    pub(crate) segment: u64,
    pub(crate) record: u64,
    pub(crate) bytes: u64,
}

impl Errand {
    /// Does it in this process; `text` is what [`run`](Self::run) gave.
    ///
    /// # Errors
    /// `text` is not that; what the log gave.
    pub(crate) fn serve(text: &str) -> anyhow::Result<String> {
        let found = match serde_json::from_str(text)? {
            Self::Write(writing) => write(&writing, Wal::close)?,
            Self::WriteAndStay(writing) => write(&writing, stay)?,
            Self::Open(log) => open(&log)?,
            Self::Kv(errand) => errand.serve()?,
        };
        Ok(serde_json::to_string(&found)?)
    }

    /// Has another process do it.
    ///
    /// # Errors
    /// It could not be started, or failed.
    pub(crate) fn run(&self) -> anyhow::Result<Found> {
        let output = self.command()?.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "a process of its own failed: {errors}"
        );
        let found = serde_json::from_slice(&output.stdout);
        found.context("no answer: is the program's main wal_bench::main_with?")
    }

    /// Has another process do it, and kills that process when it is done.
    ///
    /// # Errors
    /// It could not be started, or ended before.
    pub(crate) fn run_and_kill(&self) -> anyhow::Result<()> {
        let mut command = self.command()?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = first_line(&mut child);
        child.kill()?;
        child.wait()?;
        ensure!(said? == WRITTEN, "the writer ended before it was killed");
        Ok(())
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--errand").arg(serde_json::to_string(self)?);
        Ok(command)
    }
}

fn first_line(child: &mut Child) -> anyhow::Result<String> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("no output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Says that all is with the operating system.
const WRITTEN: &str = "written";

#[allow(clippy::print_stdout, reason = "the parent waits for it")]
fn stay(wal: &Wal) -> wal_core::Result<()> {
    wal.flush()?;
    println!("{WRITTEN}");
    // Ends with the parent, if that does not kill it.
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
    Ok(())
}

/// Everything but the last step is timed.
fn write(writing: &Writing, last: fn(&Wal) -> wal_core::Result<()>) -> anyhow::Result<Found> {
    let (base, watch) = (memory::peak(), Stopwatch::start());
    let config = writing.policy.config_with(writing.segment);
    let wal = Wal::open(&writing.log, config)?;
    let records = fill(&wal, writing.record, writing.bytes)?;
    let found = found(&watch, base, &wal);
    last(&wal)?;
    Ok(Found { records, ..found })
}

fn open(log: &Path) -> anyhow::Result<Found> {
    let (base, watch) = (memory::peak(), Stopwatch::start());
    let wal = Wal::open(log, Policy::Os.config())?;
    let found = found(&watch, base, &wal);
    wal.close()?;
    Ok(found)
}

fn found(watch: &Stopwatch, base: Option<u64>, wal: &Wal) -> Found {
    let report = wal.recovery_report();
    Found {
        segments: report.segments,
        unproven: report.unproven,
        ..Found::of(watch, base, report.records())
    }
}
