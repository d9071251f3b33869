//! Makes a damaged log usable again: records that can be read after the damage are copied to new segments, the others become a
//! gap that the log knows of, and every damaged byte is kept.
//!
//! ```text
//! inspect.rs      reads only: how far each part of the log is whole, what can be read behind that
//! plan.rs         a pure function: facts in, decision out
//! copy.rs         the new segments; their renames are the commit
//! quarantine.rs   damaged files, whole
//! report.rs       what was found and done
//! ```
//!
//! A crash at any point leaves the damaged log as it was, or the repaired one; repairing again comes to the same records.
//! Deliberately absent: guesses. Nothing that does not verify in its place is taken for a record.

mod copy;
mod inspect;
mod plan;
mod quarantine;
mod report;
mod run;

pub use report::{LostRecords, RepairMode, RepairReport};
pub(crate) use run::repair_on;
pub use run::{repair, repair_storage};
