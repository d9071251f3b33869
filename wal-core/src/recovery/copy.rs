//! Copies records into a segment of its own: for recovery, truncation and repair.
//!
//! The new file is written under a temporary name: header, link, the records masked for their new place, a stamp that proves
//! them. It is synced, gets its final name, the directory is synced, and only then may anything of it be shown. The segments that the
//! records come from stay as they are.
//!
//! Deliberately absent: what to copy, and what becomes of the old segments.

use std::io;

use wal_format::{
    Alignment, Control, GroupKind, GroupWriter, LinkBody, Lsn, Offset, Origin, SegmentHeader,
    SegmentId, UnixMillis, Version,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::filling::{Filling, PIECE};
use super::needs::Needs;
use super::reserve::{
    Reserve, clear, least, remove_or_reuse, rename_temporarily, sync_or_remove, take_reserve,
};
use super::tail::GroupEnd;
use crate::error::is_no_space;
use crate::segment::create_segment_file;
use crate::segment::{GroupStep, RecordStep, SegmentCursor, SegmentIndex};
use crate::sync::Arc;
use crate::{Error, Result};

/// A new segment with its copied records, synced and under its final name.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) first_lsn: Lsn,
    pub(crate) end_offset: Offset,
    pub(crate) end_digest: u32,
    pub(crate) records: u64,
    pub(crate) index: SegmentIndex,
    pub(crate) link: LinkBody,
    /// Bytes of the table that it begins with, and where that ends.
    pub(crate) table: u64,
    pub(crate) start: u64,
    /// The file was of the reserve.
    pub(crate) was_reserve: bool,
    /// Truncations of the oldest records that a segment in the reserve has taken over from another one there.
    pub(crate) truncations: u32,
}

/// What was verified reads otherwise when it is copied. A write that failed may look whole until the system forgets the page.
#[derive(Debug, thiserror::Error)]
#[error("a segment changed after it was verified")]
pub(crate) struct Changed;

impl Changed {
    /// Whether this is why the copy failed: then a new look finds what is left.
    pub(crate) fn is(error: &Error) -> bool {
        let Error::Io { source, .. } = error else {
            return false;
        };
        source
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// Where records are copied from: a part of a segment.
#[derive(Debug)]
pub(crate) struct CopyFrom {
    pub(crate) header: SegmentHeader,
    /// The end of the last group that stays where it is; `None`: from the segment's first group on.
    pub(crate) after: Option<GroupEnd>,
    /// Where the segment's first group after link and table starts, or before.
    pub(crate) start: u64,
    /// Where the segment's data ends.
    pub(crate) end: u64,
    /// Nothing at or after this offset is copied.
    pub(crate) copied_to: u64,
}

impl CopyFrom {
    /// Bytes that are copied.
    fn len(&self) -> u64 {
        let start = self.after.map_or(self.start, |after| after.offset);
        self.copied_to.saturating_sub(start)
    }
}

/// What is copied.
#[derive(Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) storage: &'a dyn Storage,
    /// For messages: the log's directory, and what the copy is of.
    pub(crate) location: &'a str,
    pub(crate) what: &'static str,
    /// The new segment's link. What it says of the predecessor is what stays.
    pub(crate) link: LinkBody,
    /// The control state that the new segment begins with.
    pub(crate) control: &'a Control,
    /// Oldest first, each going on where the one before it ends.
    pub(crate) sources: &'a [CopyFrom],
    /// The last LSN that is copied, wherever it lies in its group or batch.
    pub(crate) last: Lsn,
    /// Spares of an earlier life that may be used where the disk is full.
    pub(crate) spares: &'a [SegmentId],
    pub(crate) reserve: Reserve,
    /// It must be in the reserve.
    pub(crate) only_reserve: bool,
}

impl Copy<'_> {
    /// Costs nothing where there is no error: it is asked for at every record.
    pub(crate) fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> Error + use<'_> {
        move |error| {
            let location = self.location.to_owned();
            if is_no_space(&error) {
                let what = self.what.into();
                return Error::NoSpace { location, what };
            }
            let doing = format!("{doing} while copying {}", self.what);
            Error::io(location, doing, error)
        }
    }

    /// Copies to a new segment with the id of `new`, whose lengths are made to fit. `preallocate`: whether all of its capacity is
    /// allocated at once.
    ///
    /// If it fails before the rename, nothing has changed. `committed` is called when the rename was tried and may have been
    /// done.
    pub(crate) fn run(
        &self,
        new: SegmentHeader,
        preallocate: bool,
        committed: impl FnOnce(),
    ) -> Result<Copied> {
        let limits = self.sources.iter().map(|source| source.header.record_limit);
        let needs = Needs {
            data: self.data(new.alignment) + self.more_link(&new),
            record_limit: limits.fold(0, u64::max),
        };
        let content = |filling: &mut Filling<'_>| {
            let mut sources = self.sources.iter();
            sources.try_for_each(|source| self.copy_segment(source, filling))
        };
        self.run_with(new, preallocate, needs, content, committed)
    }

    /// The same with other content than [`sources`](Self::sources): `content` fills the segment up to [`last`](Self::last).
    pub(crate) fn run_with(
        &self,
        new: SegmentHeader,
        preallocate: bool,
        needs: Needs,
        content: impl FnOnce(&mut Filling<'_>) -> Result<()>,
        committed: impl FnOnce(),
    ) -> Result<Copied> {
        let copied = self.prepare(new, preallocate, needs, content)?;
        self.name(new.segment_id, committed)?;
        Ok(copied)
    }

    fn temporary(id: SegmentId) -> String {
        // Invariant 6: under its final name the copy is complete.
        wal_format::temporary_name(id)
    }

    /// Writes and syncs the copy under its temporary name. Changes nothing of the log, whether it fails or not.
    pub(crate) fn prepare(
        &self,
        new: SegmentHeader,
        preallocate: bool,
        needs: Needs,
        content: impl FnOnce(&mut Filling<'_>) -> Result<()>,
    ) -> Result<Copied> {
        let name = Self::temporary(new.segment_id);
        let made = self.make(needs.size(preallocate, new), needs, &name)?;
        let copied = self.fill(&made, content);
        if copied.is_err() {
            self.discard(&name);
        }
        copied
    }

    /// Best effort: the next open removes what stays.
    fn discard(&self, name: &str) {
        let _ = remove_or_reuse(self.storage, name, self.reserve, || self.storage.sync_dir());
    }

    /// Gives the prepared copy its final name, durably. `committed` is called when the rename was tried and may have been done.
    pub(crate) fn name(&self, id: SegmentId, committed: impl FnOnce()) -> Result<()> {
        let name = Self::temporary(id);
        let final_name = wal_format::segment_name(id);
        let renamed = self.storage.rename(&name, &final_name);
        if let Err(error) = renamed.as_ref()
            && is_no_space(error)
            && !self.may_exist(&final_name)
        {
            // On some file systems a new name takes space. Without space, the old name stays.
            self.discard(&name);
            return Err(Error::NoSpace {
                location: self.location.to_owned(),
                what: format!("the name of {}", self.what).into(),
            });
        }
        committed();
        if let Err(error) = renamed {
            // As after a sync of the directory that failed: the new name must not be built upon.
            if self.is_second_name(&final_name) {
                let _ = self.storage.remove(&final_name);
            }
            return Err(self.io("renaming")(error));
        }
        // What is shown must not lose its name in the next crash.
        if let Err(error) = self.storage.sync_dir() {
            // A name that is visible and not durable must not be taken for the log by the next open. One that is durable all the
            // same must not come back behind it: the temporary name tells it to sync the directory first.
            let _ = self.storage.rename(&final_name, &name);
            return Err(self.io("syncing the directory")(error));
        }
        Ok(())
    }

    /// Whether a file has another name too: that of a rename in two steps that did not come to its end.
    fn is_second_name(&self, name: &str) -> bool {
        let links = self.storage.open(name, OpenMode::Read);
        let links = links.and_then(|file| file.links());
        matches!(links, Ok(Some(links)) if links > 1)
    }

    /// Where a rename is a link and an unlink, one that failed may have come as far as the new name.
    fn may_exist(&self, name: &str) -> bool {
        let found = self.storage.open(name, OpenMode::Read);
        !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Makes the file: a new one, or on a full disk an old preallocated segment or the reserve.
    fn make(&self, new: SegmentHeader, needs: Needs, name: &str) -> Result<Made> {
        let made = |header, file, was_reserve| Made {
            header,
            file,
            was_reserve,
        };
        if self.only_reserve {
            return self.make_in_reserve(new, needs, name);
        }
        let error = match create_segment_file(self.storage, name, &new) {
            Ok(file) => return Ok(made(new, file, false)),
            Err(error) => error,
        };
        if !is_no_space(&error) {
            return Err(self.io("making a segment")(error));
        }
        // Less will do.
        let mut least = new;
        least.allocated = needs.least(&new);
        for spare in self.spares {
            let spare = wal_format::spare_name(*spare);
            let taken = self.take_spare(&spare, name, least.allocated);
            let most = new.capacity;
            if let Ok((header, file)) = taken.and_then(|file| self.refit(file, name, least, most)) {
                return Ok(made(header, file, false));
            }
        }
        let error = match create_segment_file(self.storage, name, &least) {
            Ok(file) => return Ok(made(least, file, false)),
            Err(error) => error,
        };
        if !is_no_space(&error) {
            return Err(self.io("making a segment")(error));
        }
        self.make_in_reserve(new, needs, name)
    }

    /// Makes the file of one of the reserve, as long as it is.
    fn make_in_reserve(&self, new: SegmentHeader, needs: Needs, name: &str) -> Result<Made> {
        let mut header = new;
        let mut most = new.capacity;
        if self.reserve.is_kept() {
            most = self.reserve.len;
            header.capacity = header.log_capacity.max(most);
            while header.layout().max_record_limit() < header.record_limit {
                header.capacity = header.capacity.saturating_mul(2);
            }
            header.origin = Origin::Reserve;
        }
        let least = match header.origin {
            Origin::Reserve => least(&header, self.data(header.alignment)),
            _ => needs.least(&header),
        };
        header.allocated = least;
        let taken = take_reserve(self.storage, name, least, self.reserve.is_kept());
        if let Ok((header, file)) = taken.and_then(|file| self.refit(file, name, header, most)) {
            return Ok(Made {
                header,
                file,
                was_reserve: true,
            });
        }
        Err(Error::NoSpace {
            location: self.location.to_owned(),
            what: format!("{} ({least} bytes)", self.what).into(),
        })
    }

    fn take_spare(&self, spare: &str, name: &str, len: u64) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.storage.open(spare, OpenMode::ReadWrite)?;
        // A crash inside a rename leaves a segment that still has its preallocated name too. That name is only unlinked.
        let shared = file.links()?.is_some_and(|links| links > 1);
        if shared {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if file.len()? < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        rename_temporarily(self.storage, spare, name)?;
        Ok(file)
    }

    /// Turns the file that is now called `name` into a segment with this header. The file keeps its length, if it does not have more
    /// than `most` bytes.
    fn refit(
        &self,
        file: Arc<dyn StorageFile>,
        name: &str,
        mut header: SegmentHeader,
        most: u64,
    ) -> io::Result<(SegmentHeader, Arc<dyn StorageFile>)> {
        let mut fit = || {
            let len = file.len()?;
            header.allocated = len.min(most);
            if len > most {
                file.set_len(most)?;
            }
            if header.origin == Origin::Reserve {
                clear(&*file, header.allocated)?;
            }
            file.write_all_at(&header.encode(), 0)?;
            sync_or_remove(self.storage, name, &*file)
        };
        if let Err(error) = fit() {
            drop(file);
            // Otherwise it would be in the way of the next attempt.
            self.discard(name);
            return Err(error);
        }
        Ok((header, file))
    }

    /// Bytes by which the link is longer than that of a segment without copies.
    fn more_link(&self, new: &SegmentHeader) -> u64 {
        let more = self.link.histories.stretches().len().saturating_sub(1);
        if new.version < Version::V2 {
            return 0;
        }
        let alignment = new.alignment;
        alignment.round_up((more * wal_format::STRETCH_LEN) as u64)
    }

    /// Bytes that the sources' groups take, wherever they start.
    fn data(&self, alignment: Alignment) -> u64 {
        let mut data = 0;
        for source in self.sources {
            let len = source.len();
            // A group may grow by its padding, and has at least a header and a record.
            let groups =
                len / (wal_format::GROUP_HEADER_LEN + wal_format::MIN_RECORD_LEN) as u64 + 1;
            let padding = if alignment.get() > source.header.alignment.get() {
                groups * alignment.get()
            } else {
                0
            };
            data += alignment.round_up(len) + padding;
        }
        data
    }

    fn fill(
        &self,
        made: &Made,
        content: impl FnOnce(&mut Filling<'_>) -> Result<()>,
    ) -> Result<Copied> {
        let (header, file) = (made.header, &made.file);
        let before = self.link.end_lsn;
        let mut groups = GroupWriter::new(header.frame(), PIECE);
        let start = Offset::new(wal_format::HEADER_LEN);
        groups.reset(header.frame(), start, 0, before.next());
        groups.link(&self.link, before);
        if header.version >= Version::V2 {
            groups.control(self.control, before);
        }
        let begun = groups.end().get();
        let mut filling = Filling {
            header,
            groups,
            file,
            index: SegmentIndex::new(&header),
            time: UnixMillis::new(0),
            records: 0,
            truncations: 0,
        };
        content(&mut filling)?;
        // What was copied is proven by the copy.
        filling.groups.stamp(self.last);
        filling.write().map_err(self.io("writing"))?;
        // The copy is durable before it gets its name.
        self.sync(&header, &**file).map_err(self.io("syncing"))?;
        Ok(Copied {
            header,
            file: Arc::clone(file),
            first_lsn: before.next(),
            end_offset: filling.groups.end(),
            end_digest: filling.groups.previous(),
            records: filling.records,
            index: filling.index,
            link: self.link.clone(),
            table: self.control.table_len() as u64,
            start: begun,
            was_reserve: made.was_reserve,
            truncations: filling.truncations,
        })
    }

    fn sync(&self, header: &SegmentHeader, file: &dyn StorageFile) -> io::Result<()> {
        // A replacement is durable before it takes the damaged file's name.
        sync_or_remove(self.storage, &Self::temporary(header.segment_id), file)
    }

    fn copy_segment(&self, source: &CopyFrom, filling: &mut Filling<'_>) -> Result<()> {
        let watermark = self.link.end_lsn;
        let salt = source.header.salt();
        let name = wal_format::segment_name(source.header.segment_id);
        let file = self
            .storage
            .open(&name, OpenMode::Read)
            .map_err(self.io("opening"))?;
        let mut cursor = SegmentCursor::new(file, source.header, source.end);
        if let Some(after) = source.after {
            cursor.jump(after.lsn.next(), Offset::new(after.offset));
        }
        let changed = || self.io("reading")(io::Error::other(Changed));
        loop {
            let group = match cursor.next_group().map_err(self.io("reading"))? {
                GroupStep::Group(group) => group,
                GroupStep::End => return Ok(()),
                GroupStep::Invalid(_) => return Err(changed()),
            };
            if group.first_lsn > self.last {
                return Ok(());
            }
            if group.kind == GroupKind::Gap {
                let to = group.end_lsn().min(self.last);
                filling.gap(to, watermark).map_err(self.io("writing"))?;
            }
            if group.kind == GroupKind::Control && filling.counts(&source.header) {
                let facts = cursor.facts(&group).map_err(self.io("reading"))?;
                let facts = facts.map_err(|_| changed())?;
                filling.truncation(facts.log_first(), watermark);
            }
            if group.kind != GroupKind::Records {
                continue;
            }
            filling.date(group.time, group.set_back);
            loop {
                match cursor.next_record().map_err(self.io("reading"))? {
                    RecordStep::Record { lsn, .. } if lsn > self.last => {
                        cursor.skip_group();
                        break;
                    }
                    RecordStep::Record { lsn, offset, head } => {
                        let bytes = cursor.record_bytes(offset, &head);
                        let mask = salt.record_mask(lsn, Offset::new(offset));
                        filling.push(bytes, &head, mask, lsn == self.last);
                    }
                    RecordStep::GroupEnd => break,
                    RecordStep::Invalid(_) => return Err(changed()),
                }
            }
            filling.end_group(watermark).map_err(self.io("writing"))?;
        }
    }
}

/// The new segment's empty file.
struct Made {
    header: SegmentHeader,
    file: Arc<dyn StorageFile>,
    was_reserve: bool,
}
