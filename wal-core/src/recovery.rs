//! What a directory holds after whatever happened to it, and what to do about it.
//!
//! ```text
//! scan.rs    reads only: the chain of segments, the places where data ends, what proves durability
//! anchor.rs  what is proven, and so where the next segment goes on
//! plan.rs    a pure function: facts in, decision out
//! apply.rs   the only code that changes files: has the unproven tail copied, removes leftovers, gives space back
//! reserve.rs space for more segments, for a full disk; forget.rs drops the oldest ones without any
//! surplus.rs space after the end of segments that are no longer written
//! recorded.rs losses that a repair has recorded, and nodes that wrote the log
//! copy.rs    copies records to a segment of its own (filling.rs); truncation and repair do it too
//! salvage    what is left of a damaged log
//! repaired.rs what a repair found and did
//! ```
//!
//! No byte of an old segment that belongs to the log is ever modified, so a crash inside recovery loses nothing and changes no verdict.

mod anchor;
mod apply;
mod control;
mod copy;
mod filling;
mod forget;
mod list;
mod needs;
mod plan;
mod recorded;
mod repaired;
mod report;
mod reserve;
mod salvage;
mod scan;
mod surplus;
mod tail;
mod witness;

pub(crate) use apply::{Applied, NewSegment, apply};
pub(crate) use copy::{Changed, Copied, Copy, CopyFrom};
pub(crate) use filling::Filling;
pub(crate) use forget::{free_names, remember};
pub(crate) use list::Listing;
pub(crate) use needs::Needs;
pub(crate) use plan::{Plan, check_end, plan};
pub(crate) use recorded::lost_in;
pub use repaired::{LostRecords, RepairMode, RepairReport};
pub(crate) use report::format_versions;
pub use report::{RecoveryReport, ReserveCounts, Tail};
pub(crate) use reserve::{Counts, Reserve, ensure_reserve, remove_or_reuse, reserve_limit};
pub(crate) use salvage::{Part, Taken, Walk, Walked, Wreck, assemble};
pub(crate) use scan::{Scan, scan};
pub(crate) use surplus::Surplus;
pub(crate) use tail::{ChainLink, GroupEnd};
