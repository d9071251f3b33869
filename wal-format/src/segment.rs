//! The segment: one file of the log. Its header, the two groups that only it has (link and
//! footer), its name, and a view of a whole one in memory.
//!
//! Deliberately absent: files and the chain of segments. What a link says about the predecessor
//! is compared with the predecessor elsewhere.

mod footer;
mod header;
mod histories;
mod index;
mod link;
mod name;
mod view;

pub(crate) use footer::encode_footer;
pub use footer::{Footer, FooterFacts, FooterMore, FooterTrailer, IndexEntry};
pub use header::{Origin, SegmentHeader};
pub use histories::{Histories, History, Stretch};
pub use index::{
    IndexBuilder, Page, PageFacts, PageStart, Place, decode_page, find_in_page, last_at,
};
pub use link::{LinkBody, LinkCause};
pub use name::{
    FileName, LOCK_NAME, LOCK_PID_NAME, QUARANTINE_NAME, RESERVE_2_NAME, RESERVE_NAME, first_name,
    segment_name, spare_name, temporary_name,
};
pub use view::{
    BorrowedRecord, GroupBody, GroupView, Groups, InvalidAt, Records, RecordsView, SegmentError,
    SegmentView,
};
