//! Errors of the log in the words of the command: what to do next is a command, not a call.

use std::fs;
use std::path::Path;

use wal_core::{Corruption, Error};

use crate::file_size;

/// `LSN 7`, or `LSNs 7 to 9`.
pub(crate) fn lsns(from: u64, to: u64) -> String {
    if from == to {
        format!("LSN {from}")
    } else {
        format!("LSNs {from} to {to}")
    }
}

/// What an error says on standard error.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::NoSpace { location, what } if file_size::was_reached() => format!(
            "{location}: no space left for {what}: a file may not grow beyond the limit of this process; nothing was changed: raise the limit (`ulimit -f`), or use a smaller --segment-size"
        ),
        Error::NoSpace { location, what } => {
            let truncate = command("truncate", location);
            format!(
                "{location}: no space left for {what}; nothing was changed: free space, or drop old records with `{truncate} --before LSN`"
            )
        }
        Error::Locked { location, pid } => {
            let holder =
                pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            format!(
                "{location}: locked by {holder}, which has the log open for writing; end it first (`wal cat`, `wal stat` and `wal verify` work beside it)"
            )
        }
        Error::Poisoned(poisoned) => {
            let stat = command("stat", &poisoned.location);
            format!(
                "{}: {} failed: {}; records up to LSN {} are on stable storage, later ones may or may not be: see to the disk, then look with `{stat}`",
                poisoned.location, poisoned.during, poisoned.cause, poisoned.durable_lsn
            )
        }
        Error::Corruption(corruption) => corrupt(corruption),
        Error::MissingSegment {
            location,
            segment_id,
            needed_by,
        } => format!(
            "{location}: segment {segment_id} is missing ({needed_by}); put the file back from a copy, or run `{}`",
            command("repair", location)
        ),
        Error::Gap {
            from,
            to,
            cause: Some(cause),
        } => {
            let lsns = lsns(from.get(), to.get());
            format!("{lsns} cannot be read: {}", describe(cause))
        }
        Error::NotALog { location, reason } => not_a_log(location, reason),
        // By the names that the caller has typed.
        Error::InvalidConfig {
            field,
            value,
            allowed,
        } => {
            let option = match *field {
                "max_segment_size" => "--segment-size",
                "fsync_policy" => "--fsync",
                "record_limit" => "--record-limit",
                "format_version" => "--format-version",
                other => other,
            };
            format!("{option} is {value}, allowed is {allowed}")
        }
        other => other.to_string(),
    }
}

fn corrupt(corruption: &Corruption) -> String {
    let Corruption {
        location,
        segment_id,
        offset,
        first_lsn,
        last_lsn,
        what,
        witness,
        ..
    } = corruption;
    let last = last_lsn.map_or_else(String::new, |last| format!(" to LSN {last}"));
    format!(
        "{location}: segment {segment_id}, offset {offset}: corruption: {what}; from LSN {first_lsn}{last} (it was durable: {witness}); nothing was changed: restore the segment from a copy, or run `{}`",
        command("repair", location)
    )
}

fn not_a_log(location: &str, reason: &str) -> String {
    let dir = Path::new(location);
    let append = command("append", location);
    if !dir.exists() {
        return format!("{location}: not a log: it does not exist; `{append}` creates a log");
    }
    let names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    if dir.is_dir() && names.is_empty() {
        return format!("{location}: not a log: it is empty; `{append}` creates a log");
    }
    let marker = names.iter().find(|name| *name == "kv-store");
    let stores = marker.or_else(|| names.iter().find(|name| name.starts_with("kv-")));
    if let Some(name) = stores {
        return format!(
            "{location}: not a plain log but a wal-kv store (it holds {name:?}): leave its files where they are, and use the program that owns the store"
        );
    }
    format!("{location}: not a log: {reason}")
}

/// `wal NAME DIR`, as it can be typed.
fn command(name: &str, dir: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if dir.chars().all(plain) {
        return format!("wal {name} {dir}");
    }
    format!("wal {name} '{}'", dir.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is_printed() {
        assert_eq!(command("stat", "/a/b-1.log"), "wal stat /a/b-1.log");
        assert_eq!(command("stat", "/my log"), "wal stat '/my log'");
        assert_eq!(command("stat", "it's"), r"wal stat 'it'\''s'");
    }
}
