//! Files that hold space for more segments, while the log is open and while it is closed.
//!
//! `truncate_after` needs a new segment, and so does opening after an unclean stop. On a full disk that segment is made from
//! such a file by a rename, which takes no space. The file is made again when there is room.
//!
//! In version 1 of the format there is one such file, and it is used up. From version 2 on there are two. A segment that lives in
//! one of them is copied to the other by the next session and gives its own file back, so that this can be repeated.
//!
//! Their names begin with a dot: the format ignores such names. All of it is best effort: a log without the files works, and on a
//! full disk its callers get an error instead.

use std::io;

use wal_format::{
    Alignment, FileName, GROUP_HEADER_LEN, HEADER_LEN, Layout, LinkBody, MAX_RECORD_HEAD, Origin,
    RESERVE_2_NAME, RESERVE_NAME, STRETCH_LEN, SegmentHeader, Version,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::needs::Needs;
use super::report::ReserveCounts;
use crate::segment::allocate;
use crate::segment::decode_header;
use crate::sync::Arc;

/// Bytes of records that are copied into the reserve after an unclean stop, and at most as many as fit into two segments:
/// unproven records are in two segments at most.
const RECORDS: u64 = 1 << 20;
/// Most sessions whose records a segment in the reserve tells apart, this one's included.
const SESSIONS: u64 = 96;
/// Bytes that are overwritten with zeros at a time.
const PIECE: usize = 64 << 10;

/// Bytes of a consumer with a long name in a table of control state, and most of them.
const CONSUMER: u64 = 92;
const CONSUMERS: u32 = 1000;

const NAMES: [&str; 2] = [RESERVE_NAME, RESERVE_2_NAME];

/// The space that a log keeps for a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserve {
    /// Length of each file in bytes.
    pub(crate) len: u64,
    /// How many files there are.
    pub(crate) files: usize,
}

impl Reserve {
    /// One whose files become ordinary segments.
    pub(crate) const USED_UP: Self = Self { len: 0, files: 1 };

    /// That of a log whose new segments have such a header.
    pub(crate) fn of(header: &SegmentHeader) -> Self {
        let mut data = RECORDS.min(2 * header.capacity);
        if header.version < Version::V2 {
            let record_limit = 0;
            let len = Needs { data, record_limit }.least(header);
            return Self { len, files: 1 };
        }
        let alignment = header.alignment;
        data += Counts::of(header).bytes(alignment);
        let mut header = *header;
        // A longer segment may have a longer table of control state.
        loop {
            let len = least(&header, data);
            if len <= header.capacity {
                return Self { len, files: 2 };
            }
            header.capacity = len;
        }
    }

    /// Whether a segment that lives in it is copied to another one, and gives its file back.
    pub(crate) fn is_kept(self) -> bool {
        self.files > 1
    }

    /// All its files, while none of them is a segment.
    fn names(self) -> &'static [&'static str] {
        &NAMES[..self.files.min(NAMES.len())]
    }
}

/// What a segment in the reserve has room for, besides the records that it was begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Truncations of the oldest records, each with a record.
    pub(crate) truncations: u32,
    /// Other records.
    pub(crate) records: u32,
}

impl Counts {
    const FULL: Self = Self {
        truncations: 16,
        records: 64,
    };
    /// Most bytes of key and uncompressed value of a truncation's record.
    pub(crate) const TRUNCATION_RECORD: u64 = 4 << 10;
    /// The same for another record.
    pub(crate) const RECORD: u64 = 512;

    /// Of a log whose segments have such a header. Short segments are for tests: they hold less.
    pub(crate) fn of(header: &SegmentHeader) -> Self {
        let (alignment, room) = (header.alignment, header.log_capacity);
        if Self::FULL.bytes(alignment) <= room {
            return Self::FULL;
        }
        let parts = u64::from(Self::FULL.truncations);
        let part = Self::FULL.bytes(alignment) / parts;
        let truncations = u32::try_from(room / part).unwrap_or(Self::FULL.truncations);
        Self {
            truncations,
            records: truncations * (Self::FULL.records / Self::FULL.truncations),
        }
    }

    /// The same for a report; `None` for a log whose newest segment has version 1.
    pub(super) fn reported(newest: &SegmentHeader) -> Option<ReserveCounts> {
        let layout = Layout {
            segment_len: newest.log_capacity,
            record_limit: newest.log_record_limit,
            ..newest.layout()
        };
        let consumers = layout.control_limit() / CONSUMER;
        let counts = Self::of(newest);
        (newest.version >= Version::V2).then(|| ReserveCounts {
            truncations: counts.truncations,
            records: counts.records,
            consumers: u32::try_from(consumers).map_or(CONSUMERS, |count| count.min(CONSUMERS)),
        })
    }

    fn bytes(self, alignment: Alignment) -> u64 {
        u64::from(self.truncations) * Self::truncation(alignment)
            + u64::from(self.records) * group(alignment, Self::RECORD)
    }

    /// Bytes of a truncation: a group with its record, and one that sets the log's first LSN.
    pub(crate) fn truncation(alignment: Alignment) -> u64 {
        let change = GROUP_HEADER_LEN + wal_format::FIRST_CHANGE_LEN;
        group(alignment, Self::TRUNCATION_RECORD) + alignment.round_up(change as u64)
    }
}

/// Bytes of a group with a record of `len` bytes of key and value.
fn group(alignment: Alignment, len: u64) -> u64 {
    alignment.round_up((GROUP_HEADER_LEN + MAX_RECORD_HEAD) as u64 + len)
}

/// Bytes that a file of the reserve must have for a segment with this header, whose groups after link and table have `data` bytes:
/// also with the longest link and the longest table.
pub(super) fn least(header: &SegmentHeader, data: u64) -> u64 {
    let (layout, alignment) = (header.layout(), header.alignment);
    let links = alignment.round_up(SESSIONS * STRETCH_LEN as u64);
    let stamp = alignment.round_up(GROUP_HEADER_LEN as u64);
    layout.data_start() + links + data + stamp + layout.least_footer_reserve()
}

/// Offset at which the last group of a segment in the reserve must end, so that its footer fits, and so that a copy of it fits into
/// a file of the same length: also with the longest link and the longest table. Its own table has `table` bytes. 0 if its link
/// cannot tell another session apart.
pub(crate) fn reserve_limit(header: &SegmentHeader, link: &LinkBody, table: u64) -> u64 {
    if link.histories.stretches().len() as u64 > SESSIONS {
        return 0;
    }
    let data = header.allocated.saturating_sub(least(header, 0));
    let start = header.layout().data_start_after(table);
    header.alignment.round_down(start + data)
}

/// Makes sure that there are `files` files of the reserve; true if there are. A new name is durable with the next sync of the directory.
pub(crate) fn ensure_reserve(storage: &dyn Storage, reserve: Reserve, files: usize) -> bool {
    // Allocate the space before the disk is full.
    let (mut found, mut missing) = (0, Vec::new());
    for name in reserve.names() {
        if is_there(storage, name, reserve) {
            found += 1;
        } else {
            missing.push(name);
        }
    }
    for name in missing {
        if found >= files {
            break;
        }
        if !make(storage, name, reserve.len) {
            return false;
        }
        found += 1;
    }
    found >= files
}

/// Whether the file is there and can be used. One that cannot is removed.
fn is_there(storage: &dyn Storage, name: &str, reserve: Reserve) -> bool {
    let Ok(file) = storage.open(name, OpenMode::ReadWrite) else {
        return false;
    };
    if is_another(&*file, reserve.is_kept()) {
        drop(file);
        let _ = storage.remove(name);
        return false;
    }
    let long_enough = file.len().is_ok_and(|found| found >= reserve.len);
    // A crash left it short, or segments are larger now.
    long_enough || fill(storage, name, &*file, reserve.len).is_ok()
}

fn make(storage: &dyn Storage, name: &str, len: u64) -> bool {
    let Ok(file) = storage.open(name, OpenMode::CreateNew) else {
        return false;
    };
    let made = fill(storage, name, &*file, len).is_ok();
    drop(file);
    if !made {
        let _ = storage.remove(name);
    }
    made
}

fn fill(storage: &dyn Storage, name: &str, file: &dyn StorageFile, len: u64) -> io::Result<()> {
    allocate(file, 0, len)?;
    sync_or_remove(storage, name, file)
}

/// Syncs a file that is not part of the log yet. If that fails it is removed, so that it is not tried again: on some file systems a
/// sync that succeeds says nothing of pages that an earlier one has lost.
pub(super) fn sync_or_remove(
    storage: &dyn Storage,
    name: &str,
    file: &dyn StorageFile,
) -> io::Result<()> {
    let synced = file.sync_data();
    if synced.is_err() {
        let _ = storage.remove(name);
    }
    synced
}

/// Renames a file of the reserve to `name`, if one has at least `len` bytes. `kept`: the file may have been a segment.
pub(super) fn take_reserve(
    storage: &dyn Storage,
    name: &str,
    len: u64,
    kept: bool,
) -> io::Result<Arc<dyn StorageFile>> {
    let mut outcome = Err(io::ErrorKind::StorageFull.into());
    for reserve in NAMES {
        outcome = take(storage, reserve, name, len, kept);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn take(
    storage: &dyn Storage,
    reserve: &str,
    name: &str,
    len: u64,
    kept: bool,
) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.open(reserve, OpenMode::ReadWrite)?;
    if file.len()? < len || is_another(&*file, kept) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    if holds_anything(&*file) {
        // It was a segment. Its earlier name must not come back over what is written to it now.
        storage.sync_dir()?;
    }
    rename_temporarily(storage, reserve, name)?;
    Ok(file)
}

/// Overwrites what an earlier segment has left in the file.
pub(super) fn clear(file: &dyn StorageFile, len: u64) -> io::Result<()> {
    let (zeros, mut piece) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < len {
        let most = usize::try_from(len - at).map_or(PIECE, |left| left.min(PIECE));
        let filled = file.read_full_at(&mut piece[..most], at)?;
        // Space that was never written to stays so.
        if piece[..filled].iter().any(|byte| *byte != 0) {
            file.write_all_at(&zeros[..filled], at)?;
        }
        if filled < most {
            break;
        }
        at += most as u64;
    }
    Ok(())
}

/// Gives a file a temporary name. Where that fails the file does not have it: it would be in the way of the next attempt.
pub(super) fn rename_temporarily(storage: &dyn Storage, from: &str, to: &str) -> io::Result<()> {
    let renamed = storage.rename(from, to);
    if renamed
        .as_ref()
        .is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists)
    {
        // A rename in two steps may have come as far as the new name.
        let _ = storage.remove(to);
    }
    renamed
}

/// Removes a file that the log does not need. If it lived in the reserve, or was to, and the reserve is not whole, it becomes a
/// part of it again. `sync` syncs the directory.
pub(crate) fn remove_or_reuse(
    storage: &dyn Storage,
    name: &str,
    reserve: Reserve,
    sync: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    if reserve.is_kept() && reuse(storage, name, reserve, sync).is_some() {
        return Ok(());
    }
    storage.remove(name)
}

/// `None` if the file still has its name.
fn reuse(
    storage: &dyn Storage,
    name: &str,
    reserve: Reserve,
    sync: impl FnOnce() -> io::Result<()>,
) -> Option<()> {
    let parsed = FileName::parse(name);
    if !matches!(parsed, FileName::Segment(_) | FileName::Temporary(_)) {
        return None;
    }
    let missing = |name: &&&str| {
        let found = storage.open(name, OpenMode::Read);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let free = reserve.names().iter().find(missing)?;
    let file = storage.open(name, OpenMode::ReadWrite).ok()?;
    if file.len().ok()? < reserve.len || has_two_names(&*file) {
        return None;
    }
    if let FileName::Segment(id) = parsed {
        let mut head = [0; HEADER_LEN as usize];
        file.read_full_at(&mut head, 0).ok()?;
        let header = decode_header(&head, id).ok()?;
        if header.origin != Origin::Reserve {
            return None;
        }
    }
    storage.rename(name, free).ok()?;
    // Not before its earlier name is gone for good: there, the file would be a damaged segment.
    let _ = sync()
        .and_then(|()| file.set_len(reserve.len))
        .and_then(|()| file.write_all_at(&[0; HEADER_LEN as usize], 0))
        .and_then(|()| fill(storage, free, &*file, reserve.len));
    Some(())
}

/// Whether the file is, or may be, a segment under another name: if a rename is a link and an unlink, a crash can leave both names.
/// `kept`: it may have been one, and is none any more.
fn is_another(file: &dyn StorageFile, kept: bool) -> bool {
    let known = kept && matches!(file.links(), Ok(Some(_)));
    // A file with a header is a segment, whatever its name.
    has_two_names(file) || (!known && holds_anything(file))
}

fn has_two_names(file: &dyn StorageFile) -> bool {
    file.links()
        .is_ok_and(|links| links.is_some_and(|links| links > 1))
}

fn holds_anything(file: &dyn StorageFile) -> bool {
    let mut head = [0; HEADER_LEN as usize];
    let filled = file.read_full_at(&mut head, 0);
    !filled.is_ok_and(|filled| head[..filled].iter().all(|byte| *byte == 0))
}
