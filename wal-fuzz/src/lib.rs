//! The bodies of the fuzz targets: functions of bytes that panic where something does not hold.
//!
//! They are a crate of the main workspace, on the stable toolchain, so that they are checked with everything else and
//! every find is replayed by `tests/regressions.rs`. The folder `fuzz/`, a workspace of its own for cargo-fuzz, only
//! calls them.
//!
//! ```text
//! record.rs      one record: what decodes encodes to the same bytes
//! group.rs       headers, links, cuts, footers, and groups as the writer makes them
//! segment.rs     any bytes as a segment file
//! directory.rs   any files as a log
//! structured.rs  a log that the log made, damaged by a list of mutations
//! command.rs     what the command `wal` parses
//! ```
//!
//! Deliberately absent: memory and time limits. A counting allocator would be unsafe code; libFuzzer has both.

#![forbid(unsafe_code)]

mod base;
mod command;
mod directory;
mod group;
mod judge;
mod mend;
mod mutation;
mod record;
mod segment;
mod structured;

pub use command::command;
pub use directory::directory;
pub use group::group;
pub use record::record;
pub use segment::segment;
pub use structured::directory_structured;

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a file of the same name in `fuzz/fuzz_targets`.
pub const TARGETS: &[Target] = &[
    ("record", record),
    ("group", group),
    ("segment", segment),
    ("directory", directory),
    ("directory_structured", directory_structured),
    ("command", command),
];

/// What an input of the target means, for whoever looks into a find; its length, where it is plain bytes.
#[must_use]
pub fn describe(target: &str, data: &[u8]) -> String {
    match target {
        "directory" => directory::describe(data),
        "directory_structured" => structured::describe(data),
        _ => format!("{} bytes", data.len()),
    }
}

/// A few inputs to start from, made by the code that they are for.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "record" => record::seeds(),
        "group" => group::seeds(),
        "segment" => segment::seeds(),
        "directory" => directory::seeds(),
        "directory_structured" => structured::seeds(),
        "command" => command::seeds(),
        _ => Vec::new(),
    }
}
