//! Opening: a log that was closed, and logs whose writer was killed. Each open is a process of its own, so that its memory can
//! be told from the benchmark's.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::common::{Policy, counted, log_dir, size_name};
use crate::contest::{Contest, Ground, Outcome};
use crate::errand::{Errand, Writing};
use crate::size::{GIB, KIB, MIB, Size};
use crate::turn::{Measure, Turn};

const RECORD: u64 = KIB;
/// Length of a default segment.
const SEGMENT: u64 = 128 * MIB;

/// How the log came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Killed(Policy),
}

/// How a log ended, how long it is, and how long a segment.
fn cases(size: Size) -> Vec<(End, u64, u64)> {
    use End::{Closed, Killed};
    use Policy::{Batch, Os};
    match size {
        Size::Quick => vec![
            (Closed, 256 * KIB, SEGMENT),
            (Closed, 2 * MIB, MIB),
            (Killed(Os), 64 * KIB, SEGMENT),
            (Killed(Batch), 64 * KIB, SEGMENT),
        ],
        Size::Short => vec![
            (Closed, MIB, SEGMENT),
            (Closed, 256 * MIB, 16 * MIB),
            (Killed(Os), MIB, SEGMENT),
            (Killed(Os), 64 * MIB, SEGMENT),
            (Killed(Batch), 64 * MIB, SEGMENT),
        ],
        Size::Full => vec![
            (Closed, MIB, SEGMENT),
            (Closed, 64 * MIB, SEGMENT),
            (Closed, GIB, 4 * MIB),
            (Closed, 4 * GIB, SEGMENT),
            (Killed(Os), MIB, SEGMENT),
            (Killed(Os), 64 * MIB, SEGMENT),
            (Killed(Os), 240 * MIB, SEGMENT),
            (Killed(Os), 4 * GIB, SEGMENT),
            (Killed(Batch), 64 * MIB, SEGMENT),
            (Killed(Batch), 4 * GIB, SEGMENT),
        ],
    }
}

pub(super) fn run(ground: &Ground<'_>) -> anyhow::Result<(String, Outcome)> {
    let mut outcome = Outcome::default();
    for (end, bytes, segment) in cases(ground.size) {
        let ended = match end {
            End::Closed => "closed".to_owned(),
            End::Killed(policy) => format!("killed under {}", policy.name()),
        };
        let case = format!(
            "{ended}, {} in segments of {}",
            size_name(bytes),
            size_name(segment)
        );
        (ground.progress)(&format!("writing: {case}"));
        let log = log_dir(ground.dir);
        let writing = |policy| Writing {
            log: log.clone(),
            policy,
            segment,
            record: RECORD,
            bytes,
        };
        let mut contest = Contest::new(Measure::Milliseconds);
        match end {
            End::Closed => {
                Errand::Write(writing(Policy::Os)).run()?;
                contest.log(&case, "blocking", |_| open(&log, bytes));
            }
            End::Killed(policy) => {
                Errand::WriteAndStay(writing(policy)).run_and_kill()?;
                contest.log(&case, "blocking", |dir| open(&twin(&log, dir)?, bytes));
            }
        }
        outcome.add(contest.run(ground)?);
        std::fs::remove_dir_all(&log)?;
    }
    let about = "until the first append could begin; from the page cache, what a kill left behind written back before; \
                 MiB/s is that of the unproven records, which are verified, copied and synced";
    Ok((about.to_owned(), outcome))
}

/// Opens and closes a log with the given number of payload bytes.
fn open(log: &Path, bytes: u64) -> anyhow::Result<Turn> {
    let found = Errand::Open(log.to_owned()).run()?;
    let (records, expected) = (found.records, bytes / RECORD);
    ensure!(
        records == expected,
        "{records} records were found, {expected} were appended"
    );
    let note = format!(
        "{}, {} records unproven",
        counted(found.segments as u64, "segment"),
        found.unproven
    );
    Ok(Turn {
        note: Some(note),
        ..found.turn(found.unproven * RECORD)
    })
}

/// The log again, in `dir`: recovery writes no byte of an old segment, so that the files can be shared.
fn twin(log: &Path, dir: &Path) -> std::io::Result<PathBuf> {
    let twin = log_dir(dir);
    std::fs::create_dir(&twin)?;
    for entry in std::fs::read_dir(log)? {
        let entry = entry?;
        std::fs::hard_link(entry.path(), twin.join(entry.file_name()))?;
    }
    Ok(twin)
}
