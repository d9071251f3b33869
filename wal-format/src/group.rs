//! The group: the unit of one write. A header that may be believed before the payload is read,
//! then the records of many callers, or facts about the log.
//!
//! Deliberately absent: files (the writer fills a buffer, the decoders read windows), and the chain
//! of segments: what a link says about the predecessor is compared with the predecessor elsewhere.

mod decode;
mod encode;
mod facts;
mod footer;
mod frame;
mod header;
mod index;
mod link;

pub use decode::{
    RecordsCursor, begins_group, decode_control, decode_cut, decode_gap, decode_index,
    decode_other, decode_stamp, scan_headers,
};
pub use encode::GroupWriter;
pub use facts::GroupFacts;
pub use footer::{Footer, FooterFacts, FooterMore, FooterTrailer, IndexEntry};
pub use frame::Frame;
pub use header::{GroupHeader, GroupKind};
pub use index::{
    IndexBuilder, Page, PageFacts, PageStart, Place, decode_page, find_in_page, last_at,
};
pub use link::{LinkBody, LinkCause};
