//! Segments that are allocated whole, and ones that are allocated a mebibyte at a time.

use std::path::Path;

use wal_core::{RecordRef, WalConfig};

use crate::common::{Policy, begun, check_last, discard, size_name};
use crate::contest::Outcome;
use crate::contest::{Contest, Ground};
use crate::load::{Until, on_threads};
use crate::payload::Payloads;
use crate::size::{KIB, MIB};
use crate::turn::{Measure, Turn};

const RECORD: u64 = KIB;

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let payloads = Payloads::default();
    let mut outcome = Outcome::default();
    for policy in [Policy::Os, Policy::Always] {
        let bytes = ground.size.pick(64 * KIB, 64 * MIB, 96 * MIB);
        let until = match policy {
            Policy::Os | Policy::Batch => Until::calls(bytes / RECORD),
            Policy::Always => Until::of(ground.size, RECORD, 1),
        };
        let turn = |dir: &Path, preallocate| {
            let config = WalConfig {
                preallocate,
                ..policy.config()
            };
            append(dir, config, &payloads, until)
        };
        let mut contest = Contest::new(Measure::RecordsPerSecond);
        let on = contest.log(policy.name(), "on", |dir| turn(dir, true));
        let off = contest.log(policy.name(), "off", |dir| turn(dir, false));
        contest.against(off, on, "on");
        outcome.add(contest.run(ground)?);
    }
    let about = format!("one blocking writer, records of {}", size_name(RECORD));
    Ok((about, outcome))
}

fn append(
    dir: &Path,
    config: WalConfig,
    payloads: &Payloads,
    until: Until,
) -> anyhow::Result<Turn> {
    let wal = begun(dir, config)?;
    let before = wal.stats().syncs;
    let done = on_threads(1, until, |_, n| {
        wal.append(RecordRef::data(payloads.get(n, RECORD)))?;
        Ok(())
    })?;
    let syncs = wal.stats().syncs - before;
    check_last(wal.last_lsn(), done.calls + 1)?;
    discard(wal, dir)?;
    Ok(done.turn(RECORD, Some(syncs)))
}
