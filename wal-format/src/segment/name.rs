//! The names of a log's files: one function that makes each, one that reads them.
//!
//! Deliberately absent: directories. A name here is one component of a path.

use crate::ids::{Lsn, SegmentId};

/// Digits of a segment's name: all of a 64-bit number.
const DIGITS: usize = 20;
const SEGMENT: &str = "wal";
const SPARE: &str = "spare";
const TEMPORARY: &str = "tmp";
const FIRST: &str = "first";

/// Name of the file that the writer locks.
pub const LOCK_NAME: &str = "lock";
/// Name of the file with the process id of the lock's holder.
pub const LOCK_PID_NAME: &str = "lock.pid";
/// Name of the file that holds space for one more segment. It is not part of the format, which ignores names that start with a dot.
pub const RESERVE_NAME: &str = ".reserve";
/// Name of a second such file, in logs of version 2.
pub const RESERVE_2_NAME: &str = ".reserve2";
/// Name of the directory for damaged bytes set aside.
pub const QUARANTINE_NAME: &str = "quarantine";

/// Name of a segment's file.
///
/// ```
/// use wal_format::{SegmentId, segment_name};
/// assert_eq!(segment_name(SegmentId::new(42)), "00000000000000000042.wal");
/// ```
#[must_use]
pub fn segment_name(id: SegmentId) -> String {
    name(id, SEGMENT)
}

/// Name of a segment that was made ready and is not yet part of the log.
#[must_use]
pub fn spare_name(id: SegmentId) -> String {
    name(id, SPARE)
}

/// Name of a segment that recovery is writing and that is not yet part of the log.
#[must_use]
pub fn temporary_name(id: SegmentId) -> String {
    name(id, TEMPORARY)
}

/// Name of the file that says, with its name alone, that the log's first LSN is at least `lsn`.
#[must_use]
pub fn first_name(lsn: Lsn) -> String {
    numbered(lsn.get(), FIRST)
}

fn name(id: SegmentId, extension: &str) -> String {
    numbered(id.get(), extension)
}

fn numbered(number: u64, extension: &str) -> String {
    format!("{number:0DIGITS$}.{extension}")
}

/// What a name in a log's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "engine"), non_exhaustive)]
pub enum FileName {
    /// A segment.
    Segment(SegmentId),
    /// A segment made ready, not yet part of the log.
    Spare(SegmentId),
    /// A segment that recovery is writing, not yet part of the log.
    Temporary(SegmentId),
    /// Says with its name alone that the log's first LSN is at least this one.
    First(Lsn),
    /// The file that the writer locks.
    Lock,
    /// The file with the process id of the lock's holder.
    LockPid,
    /// The directory for damaged bytes set aside.
    Quarantine,
    /// A name that says nothing: it starts with a dot, or is `lost+found`.
    Ignored,
    /// Any other name: the directory is not a log.
    Foreign,
}

impl FileName {
    /// Reads a name. Numbers have exactly 20 digits and stand for 1 or more.
    ///
    /// ```
    /// use wal_format::{FileName, SegmentId};
    /// let name = FileName::parse("00000000000000000042.wal");
    /// assert_eq!(name, FileName::Segment(SegmentId::new(42)));
    /// assert_eq!(FileName::parse("42.wal"), FileName::Foreign);
    /// ```
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            LOCK_NAME => Self::Lock,
            LOCK_PID_NAME => Self::LockPid,
            QUARANTINE_NAME => Self::Quarantine,
            "lost+found" => Self::Ignored,
            _ if name.starts_with('.') => Self::Ignored,
            _ => parse_numbered(name).unwrap_or(Self::Foreign),
        }
    }
}

fn parse_numbered(name: &str) -> Option<FileName> {
    let (digits, extension) = name.split_once('.')?;
    if digits.len() != DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    let id = SegmentId::new(number);
    match extension {
        SEGMENT => Some(FileName::Segment(id)),
        SPARE => Some(FileName::Spare(id)),
        TEMPORARY => Some(FileName::Temporary(id)),
        // The highest number is no LSN.
        FIRST if number < u64::MAX => Some(FileName::First(Lsn::new(number))),
        _ => None,
    }
}
