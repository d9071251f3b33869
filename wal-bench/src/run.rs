//! The run through the workloads.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::contest::Ground;
use crate::host::Host;
use crate::options::Options;
use crate::peer::Field;
use crate::probe::Probe;
use crate::report::{Report, SCHEMA, Section};

/// Runs what `options` ask for, with the log, the limits and the peers of `field`. `progress` is told what is being run.
///
/// Some workloads start the running program again as a process of its own, so its `main` must be
/// [`main_with`](crate::main_with).
///
/// # Errors
/// What the system, the log or a limit gave; a contender that did not do what it should. A peer that fails is left out and
/// named in the report.
pub fn run_with(
    options: &Options,
    field: &Field,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Report> {
    let base = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let tmp = tempfile::Builder::new()
        .prefix("wal-bench-")
        .tempdir_in(&base)
        .with_context(|| format!("making a directory in {}", base.display()))?;
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (watch, host) = (Instant::now(), Host::of(tmp.path())?);
    let mut sections = Vec::new();
    for workload in options.workloads() {
        let dir = tmp.path().join(workload.name);
        std::fs::create_dir(&dir)?;
        let progress = |what: &str| progress(&format!("{}: {what}", workload.name));
        progress("probing the disk");
        let disk = Probe::of(&dir, options.size())?;
        let (about, outcome) = (workload.run)(&Ground {
            dir: &dir,
            turns: options.turns(),
            size: options.size(),
            field,
            host: &host,
            progress: &progress,
        })
        .context(workload.name)?;
        sections.push(Section {
            workload: workload.name.to_owned(),
            about,
            disk,
            rows: outcome.rows,
            left_out: outcome.left_out,
        });
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        begun,
        seconds: watch.elapsed().as_secs_f64(),
        host,
        turns: options.turns(),
        size: options.size(),
        sections,
    })
}
