//! Makes a damaged log usable again: segments before the end are written anew in their places, the readable rest of the end is
//! copied to new segments, lost records become gaps that the log knows of, and every damaged byte is kept.
//!
//! ```text
//! inspect.rs      reads only: how far each part of the log is whole, what can be read of it
//! slots.rs        pure functions: which segments are written anew, and how they begin
//! decision.rs     a pure function: what is copied from the end of the log, and what is removed
//! replace.rs      the segments that are written anew; each rename commits one
//! end.rs          the new segments at the end; their renames are the commit
//! quarantine.rs   damaged files, whole
//! ```
//!
//! In version 1 of the format no segment can be written anew: all from the first damaged one on is the end.
//!
//! A crash at any point leaves a log of which the same records can be read; repairing again comes to the same records.
//! Deliberately absent: guesses. Nothing that does not verify in its place is taken for a record.

mod decision;
mod end;
mod inspect;
mod quarantine;
mod replace;
mod run;
mod slots;

pub use run::RepairOptions;
pub(crate) use run::repair_on;
