//! The group: the unit of one write. A header that may be believed before the payload is read,
//! then the records of many callers, or facts about the log.
//!
//! Deliberately absent: files. The writer fills a buffer, the decoders read windows.

mod decode;
mod encode;
mod facts;
mod frame;
mod header;

pub(crate) use decode::check_body;
pub use decode::{
    RecordsCursor, begins_group, decode_control, decode_cut, decode_gap, decode_index,
    decode_other, decode_stamp, scan_headers,
};
pub use encode::GroupWriter;
pub use facts::GroupFacts;
pub use frame::Frame;
pub use header::{GroupHeader, GroupKind};
