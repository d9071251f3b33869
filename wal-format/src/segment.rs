//! The segment: one file of the log. Its header, its name, and a view of a whole one in memory.
//!
//! Deliberately absent: files and the chain of segments.

mod header;
mod name;
mod view;

pub use header::{Origin, SegmentHeader};
pub use name::{
    FileName, LOCK_NAME, LOCK_PID_NAME, QUARANTINE_NAME, RESERVE_2_NAME, RESERVE_NAME, first_name,
    segment_name, spare_name, temporary_name,
};
pub use view::{
    BorrowedRecord, GroupBody, GroupView, Groups, InvalidAt, Records, RecordsView, SegmentError,
    SegmentView,
};
