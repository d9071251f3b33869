//! The workloads, one file each, and the run through them.
//!
//! To add one: a file with a `WORKLOAD`, and its line in [`ALL`]. What a size means for it stands at the head of its file.

mod append_buffered;
mod append_durable;
mod batch_durable;
mod common;
mod compression;
mod footprint;
mod kv;
mod lag;
mod open;
mod parallel;
mod point_read;
mod preallocate;
mod replay;
mod rotation;

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::contest::{Ground, Outcome};
use crate::host::Host;
use crate::options::Options;
use crate::peer::Field;
use crate::probe::Probe;
use crate::report::{Report, SCHEMA, Section};

pub(crate) use common::{Policy, fill};
pub(crate) use kv::Errand as KvErrand;

/// All of them, in the order in which they are run.
pub(crate) const ALL: &[&Workload] = &[
    &append_buffered::WORKLOAD,
    &append_durable::WORKLOAD,
    &batch_durable::WORKLOAD,
    &replay::WORKLOAD,
    &parallel::WORKLOAD,
    &point_read::WORKLOAD,
    &lag::WORKLOAD,
    &open::WORKLOAD,
    &rotation::WORKLOAD,
    &compression::WORKLOAD,
    &preallocate::WORKLOAD,
    &footprint::WORKLOAD,
    &kv::PUT,
    &kv::DURABLE,
    &kv::GET,
    &kv::SCAN,
    &kv::OPEN,
    &kv::PAUSE,
];

/// Something that is measured.
pub struct Workload {
    /// As the command line and the report name it.
    pub name: &'static str,
    run: fn(&Ground<'_>) -> anyhow::Result<(String, Outcome)>,
}

impl Workload {
    /// Whether `name` asks for it.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        let in_group = |rest: &str| GROUPS.contains(&name) && rest.starts_with('-');
        self.name == name || self.name.strip_prefix(name).is_some_and(in_group)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workload").field(&self.name).finish()
    }
}

/// Several that are asked for by one name, which theirs begin with.
const GROUPS: &[&str] = &["kv"];

/// What can be asked for: their names, and those of the groups.
pub(crate) fn names() -> Vec<&'static str> {
    let all = ALL.iter().map(|workload| workload.name);
    all.chain(GROUPS.iter().copied()).collect()
}

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
