#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

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

pub use checksum::{Digest, Salt, crc32};
pub use compress::{compress, decompress};
pub use compression::Compression;
pub use control::{Consumer, Control, ControlBody, ControlChange, MOST_NAME, changes_len};
pub use error::{DecompressError, EncodeError, GroupError, HeaderError, RecordError};
pub use group::{
    Footer, FooterFacts, FooterMore, FooterTrailer, Frame, GroupFacts, GroupHeader, GroupKind,
    GroupWriter, IndexBuilder, IndexEntry, LinkBody, LinkCause, Page, PageFacts, PageStart, Place,
    RecordsCursor, begins_group, decode_control, decode_cut, decode_gap, decode_index,
    decode_other, decode_page, decode_stamp, find_in_page, last_at, scan_headers,
};
pub use histories::{Histories, History, Stretch};
pub use ids::{Epoch, LogId, Lsn, Offset, SegmentId};
pub use limits::{
    Alignment, CONTROL_RESERVE, CUT_BODY_LEN, DEFAULT_RECORD_LIMIT, FIRST_CHANGE_LEN,
    FOOTER_FIXED_LEN, FOOTER_FIXED_LEN_2, FOOTER_TRAILER_LEN, GROUP_HEADER_LEN, HEADER_LEN,
    INDEX_ENTRY_LEN, INDEX_INTERVAL, LINK_BODY_LEN, LINK_LEN, LONGEST_LINK, Layout,
    MAX_RECORD_HEAD, MAX_SEGMENT, MIN_RECORD_LEN, MIN_SEGMENT, MIN_SEGMENT_FOR_TESTS, MOST_CONTROL,
    MOST_STRETCHES, PAGE_LEN, PAGE_PLACES, STRETCH_LEN, index_step,
};
pub use record::{
    EncodedRecord, Expiry, InBatch, IntoBytes, Record, RecordHead, RecordKind, RecordRef,
    UnixMillis, borrow_record, check_value, end_batch, read_record, read_record_in, remask_record,
    slice_record, verify_record,
};
pub use segment::{
    BorrowedRecord, FileName, GroupBody, GroupView, Groups, InvalidAt, LOCK_NAME, LOCK_PID_NAME,
    Origin, QUARANTINE_NAME, RESERVE_2_NAME, RESERVE_NAME, Records, RecordsView, SegmentError,
    SegmentHeader, SegmentView, first_name, segment_name, spare_name, temporary_name,
};
pub use version::Version;
