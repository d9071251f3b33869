//! The rows of the store's table: the promises of its README, in the README's order, then what is only counted.

use crate::harness::{Row, Unit};

const fn row(key: &'static str, unit: Unit, promise: &'static str) -> Row {
    Row { key, promise, unit }
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "disk",
        Unit::Bytes,
        "bytes on disk stay below `stats().disk_bound`",
    ),
    row(
        "disk-found",
        Unit::Bytes,
        "the same, as the process before has left it",
    ),
    row(
        "log",
        Unit::Bytes,
        "the log has at most three due lengths, and one write",
    ),
    row("files", Unit::Count, "files in the directory"),
    row(
        "memory-limit",
        Unit::Bytes,
        "`memory_bytes` stays below `memory_limit`",
    ),
    row(
        "memory-views",
        Unit::Bytes,
        "`view_bytes` stays below `view_memory_limit`",
    ),
    row(
        "memory-rss",
        Unit::Bytes,
        "the process grows by what `memory_bytes` says",
    ),
    row(
        "memory-settled",
        Unit::Bytes,
        "what was deleted or replaced leaves nothing in memory",
    ),
    row(
        "memory-open",
        Unit::Bytes,
        "opening takes memory for live data, not for history",
    ),
    row(
        "kept",
        Unit::Count,
        "only versions that some view shows are kept",
    ),
    row(
        "kept-settled",
        Unit::Time,
        "without views no old version stays",
    ),
    row(
        "sweep",
        Unit::Time,
        "expired keys are reclaimed once a second",
    ),
    row(
        "due",
        Unit::Time,
        "a snapshot that is due is written without another write",
    ),
    row(
        "view-close",
        Unit::Time,
        "closing a view takes time for what only it kept",
    ),
    row("read-stall", Unit::Time, "a read waits for no write"),
    row(
        "write-stall",
        Unit::Time,
        "a write waits at most for a snapshot",
    ),
    row("descriptors", Unit::Count, "open files of log and store"),
    row("threads", Unit::Count, "threads of log and store"),
    row(
        "lost-always",
        Unit::Count,
        "`Always`: writes that a kill takes back",
    ),
    row(
        "lost-batch",
        Unit::Time,
        "`Batch(w)`: age of what a kill takes back, beside w",
    ),
    row("lost-os", Unit::Time, "`Os`: age of what a kill takes back"),
    row(
        "lost-os-bytes",
        Unit::Bytes,
        "`Os`: bytes that a kill takes back",
    ),
    row(
        "open",
        Unit::Time,
        "opening takes time for the live data and the log",
    ),
    row(
        "open-per-mib",
        Unit::Time,
        "time to open for a MiB of data and log",
    ),
    row(
        "refused-overdue",
        Unit::Count,
        "`SnapshotOverdue` where snapshots can be written",
    ),
    row(
        "refused-space",
        Unit::Count,
        "`NoSpace` where there is space",
    ),
    row(
        "snapshot-failures",
        Unit::Count,
        "failed snapshots where they can be written",
    ),
    row(
        "refused-memory",
        Unit::Count,
        "writes refused with `OverMemoryLimit`",
    ),
    row(
        "refused-views",
        Unit::Count,
        "writes refused with `OverViewMemoryLimit`",
    ),
    row(
        "refused-short",
        Unit::Count,
        "calls that failed for lack of space or descriptors",
    ),
    row(
        "open-refused",
        Unit::Count,
        "opens that failed for lack of space or descriptors",
    ),
    row(
        "slowed",
        Unit::Time,
        "time that the writers of a process slept near the bound of the log",
    ),
    row(
        "clock-jumps",
        Unit::Count,
        "jumps of the wall clock that a process saw",
    ),
    row("snapshots", Unit::Count, "snapshots taken"),
    row(
        "leftovers",
        Unit::Count,
        "unfinished files removed by an open",
    ),
    row(
        "lost",
        Unit::Count,
        "acknowledged writes that a kill took back, as the policy allows",
    ),
    row("writes", Unit::Count, "writes acknowledged"),
    row("reads", Unit::Count, "reads checked"),
    row("checked", Unit::Count, "keys checked after opening"),
];
