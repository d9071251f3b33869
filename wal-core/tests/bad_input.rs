//! Bad input, on a real directory: each a typed error that says where, what, and what to do; nothing written, nothing lost.
//!
//! ```text
//! directories.rs   directories that are no log, or may not be used
//! segments.rs      segments of another version or log, cut short, without header, missing
//! settings.rs      settings out of range, records and batches that are too large
//! place.rs         a log to spoil, and what all refusals have in common
//! ```
//!
//! Deliberately absent: damage inside a segment (`promises/damage.rs`), and what the `wal` command makes of these errors.

#![forbid(unsafe_code)]

mod bad_input {
    mod directories;
    mod place;
    mod segments;
    mod settings;
}
