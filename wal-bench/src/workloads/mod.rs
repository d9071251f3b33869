//! The workloads, one file each, and the run through them.

mod append_buffered;
mod append_durable;
mod batch_durable;
mod open;
mod replay;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use wal_core::{FsyncPolicy, Lsn, WalConfig};

use crate::contest::Ground;
use crate::options::{Options, Scale, Workload};
use crate::payload::Payloads;
use crate::peer::Field;
use crate::probe::Probe;
use crate::report::{Report, Row, Section};

/// Runs what `options` ask for, with the log, the limits and the peers of `field`. `progress` is told what is being run.
///
/// # Errors
/// What the system, the log, a limit or a peer gave; a contender that did not do what it should.
pub fn run_with(
    options: &Options,
    _field: &Field,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Report> {
    let base = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let tmp = tempfile::Builder::new()
        .prefix("wal-bench-")
        .tempdir_in(&base)
        .with_context(|| format!("making a directory in {}", base.display()))?;
    let scale = options.scale();
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    progress("probing the disk");
    let disk_before = Probe::of(tmp.path(), &scale)?;
    let mut sections = Vec::new();
    for workload in options.workloads() {
        let dir = tmp.path().join(workload.name());
        std::fs::create_dir(&dir)?;
        let progress = |what: &str| progress(&format!("{}: {what}", workload.name()));
        let ground = Ground {
            dir: dir.clone(),
            turns: options.turns(),
            progress: &progress,
        };
        let (about, rows) = one(workload, &ground, &scale)?;
        sections.push(Section {
            workload: workload.name(),
            about,
            rows,
        });
        std::fs::remove_dir_all(&dir)?;
    }
    progress("probing the disk");
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        begun,
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: std::thread::available_parallelism()?.get(),
        turns: options.turns(),
        disk_before,
        disk_after: Probe::of(tmp.path(), &scale)?,
        scale,
        sections,
    })
}

fn one(
    workload: Workload,
    ground: &Ground<'_>,
    scale: &Scale,
) -> anyhow::Result<(String, Vec<Row>)> {
    match workload {
        Workload::AppendBuffered => append_buffered::run(ground, scale),
        Workload::AppendDurable => append_durable::run(ground, scale),
        Workload::BatchDurable => batch_durable::run(ground, scale),
        Workload::Replay => replay::run(ground, scale),
        Workload::Open => open::run(ground, scale),
    }
}

/// The default settings with this policy.
fn config(fsync_policy: FsyncPolicy) -> WalConfig {
    WalConfig {
        fsync_policy,
        ..WalConfig::default()
    }
}

/// The window of `Batch` that all workloads use.
const BATCH: FsyncPolicy = FsyncPolicy::Batch(Duration::from_millis(5));

/// As the rows name it.
fn policy_name(policy: FsyncPolicy) -> String {
    match policy {
        FsyncPolicy::Batch(window) => format!("Batch({window:?})"),
        FsyncPolicy::Always | FsyncPolicy::Os => format!("{policy:?}"),
    }
}

/// Bytes as the rows name them.
fn size_name(bytes: u64) -> String {
    match bytes {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

/// Appends `bytes` bytes of payload in records of `record`, without waiting for a sync; returns their number.
fn fill(wal: &wal_core::blocking::Wal, record: u64, bytes: u64) -> anyhow::Result<u64> {
    let (payloads, count) = (Payloads::default(), bytes / record);
    for n in 0..count {
        wal.append(wal_core::RecordRef::data(payloads.get(n, record)))?;
    }
    wal.flush()?;
    Ok(count)
}

/// A contender that lost or doubled a record has no figure.
fn check_last(found: Lsn, expected: u64) -> anyhow::Result<()> {
    ensure!(
        found.get() == expected,
        "the log holds {found} records, {expected} were appended"
    );
    Ok(())
}

/// Where a turn has its log.
fn log_dir(dir: &Path) -> std::path::PathBuf {
    dir.join("log")
}
