//! Opening: a log that was closed, and logs whose handle was dropped without a close.
//!
//! A drop hands over and syncs, but leaves no clean mark, so that the next open finds what it would find after a kill.

use std::path::Path;

use wal_core::{FsyncPolicy, blocking::Wal};

use super::{BATCH, check_last, config, fill, log_dir, policy_name, size_name};
use crate::contest::{Contender, Contest, Ground, Turn};
use crate::options::Scale;
use crate::report::{Measure, Row};
use crate::watch::Stopwatch;

pub(super) fn run(ground: &Ground<'_>, scale: &Scale) -> anyhow::Result<(String, Vec<Row>)> {
    (ground.progress)("writing the log that is closed");
    let closed = log_dir(&ground.dir);
    let wal = Wal::open(&closed, config(FsyncPolicy::Os))?;
    let count = fill(&wal, scale.record, scale.replayed)?;
    wal.close()?;
    let contest = Contest {
        case: format!("closed, {}", size_name(scale.replayed)),
        measure: Measure::Milliseconds,
        contenders: vec![Contender::measured("blocking", |_| open(&closed, count))],
    };
    let mut rows = contest.run(ground)?;
    for policy in [FsyncPolicy::Os, BATCH] {
        let contest = Contest {
            case: format!(
                "dropped, {}, {}",
                size_name(scale.dropped),
                policy_name(policy)
            ),
            measure: Measure::Milliseconds,
            contenders: vec![Contender::measured("blocking", |dir| {
                open_dropped(dir, scale, policy)
            })],
        };
        rows.extend(contest.run(ground)?);
    }
    let about = "until the first append could begin; from the page cache".to_owned();
    Ok((about, rows))
}

/// Opens a log that holds `count` records, and closes it.
fn open(log: &Path, count: u64) -> anyhow::Result<Turn> {
    let watch = Stopwatch::start();
    let wal = Wal::open(log, config(FsyncPolicy::Os))?;
    let mut turn = Turn::new(1, 0, watch.elapsed());
    check_last(wal.last_lsn(), count)?;
    let report = wal.recovery_report();
    turn.note = Some(format!(
        "{} segments, {} records of {count} unproven and copied",
        report.segments, report.unproven
    ));
    wal.close()?;
    Ok(turn)
}

fn open_dropped(dir: &Path, scale: &Scale, policy: FsyncPolicy) -> anyhow::Result<Turn> {
    let log = log_dir(dir);
    let wal = Wal::open(&log, config(policy))?;
    let count = fill(&wal, scale.record, scale.dropped)?;
    drop(wal);
    open(&log, count)
}
