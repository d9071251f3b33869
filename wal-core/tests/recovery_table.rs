//! What is found on disk, and what is made of it: a table of small cases, each a directory and a verdict.
//!
//! The directories come from real logs that were killed, cut and damaged, or are written here group by group
//! (`recovery_table/files.rs`). Each verdict is checked for a read-only open, for a writer, and for what the writer leaves
//! behind when it is killed at once. Deliberately absent: what random crashes leave (the crash suite).

#![forbid(unsafe_code)]

mod common;

mod recovery_table {
    mod closed;
    mod crafted;
    mod files;
    mod leftovers;
    mod unclean;
    mod verdict;
}
