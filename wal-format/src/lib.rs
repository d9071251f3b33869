#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Without the engine, much of the encoder has no caller.
#![cfg_attr(
    not(feature = "engine"),
    allow(clippy::unused_self, dead_code, unreachable_pub, unused_imports)
)]

mod checksum;
mod compress;
mod compression;
mod control;
mod error;
mod group;
mod histories;
mod ids;
mod limits;
mod record;
mod segment;
mod varint;
mod version;
mod wire;

pub use compression::Compression;
pub use control::{Consumer, Control, ControlBody, ControlChange};
pub use error::{DecompressError, EncodeError, GroupError, HeaderError, RecordError};
pub use group::{
    Footer, FooterMore, GroupFacts, GroupHeader, GroupKind, IndexEntry, LinkBody, LinkCause, Page,
    PageFacts, PageStart, Place,
};
pub use histories::{Histories, History, Stretch};
pub use ids::{Epoch, LogId, Lsn, Offset, SegmentId};
pub use limits::{
    Alignment, DEFAULT_RECORD_LIMIT, GROUP_HEADER_LEN, HEADER_LEN, MAX_SEGMENT, MIN_SEGMENT,
};
pub use record::{
    Expiry, InBatch, IntoBytes, Record, RecordHead, RecordKind, RecordRef, UnixMillis,
};
pub use segment::{
    BorrowedRecord, FileName, GroupBody, GroupView, Groups, InvalidAt, Origin, Records,
    RecordsView, SegmentError, SegmentHeader, SegmentView,
};
pub use version::Version;

// What writes files, and reads those of an open log in parts. No promise of stability.
#[cfg(feature = "engine")]
pub use checksum::{Digest, Salt, crc32};
#[cfg(feature = "engine")]
pub use compress::{compress, decompress};
#[cfg(feature = "engine")]
pub use control::{MOST_NAME, changes_len};
#[cfg(feature = "engine")]
pub use group::{
    FooterFacts, FooterTrailer, Frame, GroupWriter, IndexBuilder, RecordsCursor, begins_group,
    decode_control, decode_cut, decode_gap, decode_index, decode_other, decode_page, decode_stamp,
    find_in_page, last_at, scan_headers,
};
#[cfg(feature = "engine")]
pub use limits::{
    CONTROL_RESERVE, CUT_BODY_LEN, FIRST_CHANGE_LEN, FOOTER_FIXED_LEN, FOOTER_FIXED_LEN_2,
    FOOTER_TRAILER_LEN, INDEX_ENTRY_LEN, INDEX_INTERVAL, LINK_BODY_LEN, LINK_LEN, LONGEST_LINK,
    Layout, MAX_RECORD_HEAD, MIN_RECORD_LEN, MIN_SEGMENT_FOR_TESTS, MOST_CONTROL, MOST_STRETCHES,
    PAGE_LEN, PAGE_PLACES, STRETCH_LEN, index_step,
};
#[cfg(feature = "engine")]
pub use record::{
    EncodedRecord, borrow_record, check_value, end_batch, read_record, read_record_in,
    remask_record, slice_record, verify_record,
};
#[cfg(feature = "engine")]
pub use segment::{
    LOCK_NAME, LOCK_PID_NAME, QUARANTINE_NAME, RESERVE_2_NAME, RESERVE_NAME, first_name,
    segment_name, spare_name, temporary_name,
};
