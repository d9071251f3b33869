//! Carries a plan out: the only code of recovery that changes files.
//!
//! The unproven tail is copied to a new file under a temporary name, its records masked for their new place, followed by a
//! stamp that proves them; the file is synced, gets its final name, the directory is synced, and only then is anything of it
//! shown. The old segments stay as they are. Doing all of it again after a crash comes to the same records.

use std::io;

use wal_format::{GroupKind, GroupWriter, IndexEntry, Lsn, Offset, Salt, SegmentHeader, SegmentId};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::plan::{CopyTail, Plan};
use super::scan::Scan;
use crate::error::is_no_space;
use crate::log::{create_segment_file, link_body};
use crate::segment::{GroupStep, RecordStep, SegmentCursor};
use crate::sync::Arc;
use crate::{Error, Result, sabotage};

/// Bytes collected before they are written.
const PIECE: usize = 1 << 20;

/// The new segment that took the unproven tail.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) first_lsn: Lsn,
    pub(crate) end_offset: Offset,
    pub(crate) end_digest: u32,
    pub(crate) records: u64,
    pub(crate) index: Vec<IndexEntry>,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) recovered: Option<Recovered>,
    pub(crate) next_segment: SegmentId,
}

/// Carries `plan` out. `header` makes the header of a new segment; `preallocate` says how much of it is allocated at once.
pub(crate) fn apply(
    storage: &dyn Storage,
    scan: &Scan,
    plan: &Plan,
    preallocate: bool,
    header: &dyn Fn(SegmentId) -> io::Result<SegmentHeader>,
) -> Result<Applied> {
    // Invariant 7: an old segment is evidence.
    let newest = scan.chain.last();
    if let Some(link) = newest.filter(|_| sabotage::is("torn-tail-cut-in-place")) {
        let name = wal_format::segment_name(link.facts.id());
        let file = storage.open(&name, OpenMode::ReadWrite);
        let _ = file.and_then(|file| file.set_len(link.end.offset));
    }
    // What the copy replaces goes when the copy is durable.
    if sabotage::is("removed-before-the-copy") {
        remove(storage, &plan.remove);
    }
    let Some(copy) = plan.copy else {
        if plan.remove_segments && !sabotage::is("removed-before-the-names-are-durable") {
            // What takes their place may have been renamed by a process that died before it synced the directory.
            storage.sync_dir().map_err(|error| {
                Error::io(scan.location.clone(), "syncing the directory", error)
            })?;
        }
        remove(storage, &plan.remove);
        return Ok(Applied {
            recovered: None,
            next_segment: plan.next_segment,
        });
    };
    let id = plan.next_segment;
    let recovered = Copying {
        storage,
        scan,
        plan,
        id,
    }
    .run(copy, preallocate, header)?;
    remove(storage, &plan.remove);
    Ok(Applied {
        recovered: Some(recovered),
        next_segment: id.next(),
    })
}

/// Best effort: what stays is a leftover for the next open.
fn remove(storage: &dyn Storage, names: &[String]) {
    for name in names {
        let _ = storage.remove(name);
    }
}

struct Copying<'a> {
    storage: &'a dyn Storage,
    scan: &'a Scan,
    plan: &'a Plan,
    id: SegmentId,
}

impl Copying<'_> {
    fn io(&self, what: &str) -> impl Fn(io::Error) -> Error + use<'_> {
        let what = format!("{what} while copying the unproven tail");
        move |error| {
            if is_no_space(&error) {
                let location = self.scan.location.clone();
                return Error::NoSpace {
                    location,
                    what: "a copy of the records that no sync is known to have covered",
                };
            }
            Error::io(self.scan.location.clone(), what.clone(), error)
        }
    }

    fn run(
        &self,
        copy: CopyTail,
        preallocate: bool,
        header: &dyn Fn(SegmentId) -> io::Result<SegmentHeader>,
    ) -> Result<Recovered> {
        let mut name = wal_format::temporary_name(self.id);
        // Invariant 6: under its final name the copy is complete.
        if sabotage::is("copy-under-its-final-name") {
            name = wal_format::segment_name(self.id);
        }
        // A copy that a crash has cut short takes space that this one may need.
        for id in &self.scan.listing.temporaries {
            let _ = self.storage.remove(&wal_format::temporary_name(*id));
        }
        let (new, file) = self.make(copy, preallocate, header, &name)?;
        let made = self.fill(new, &file, copy);
        let recovered = match made {
            Ok(recovered) => recovered,
            Err(error) => {
                let _ = self.storage.remove(&name);
                return Err(error);
            }
        };
        let final_name = wal_format::segment_name(self.id);
        self.storage
            .rename(&name, &final_name)
            .map_err(self.io("renaming"))?;
        // What is shown must not lose its name in the next crash.
        if let Err(error) = sabotage::unless("copy-name-sync-skipped", || self.storage.sync_dir()) {
            // A name that is visible and not durable must not be taken for the log by the next open.
            let _ = self.storage.remove(&final_name);
            return Err(self.io("syncing the directory")(error));
        }
        Ok(recovered)
    }

    /// The file: new, or an old spare where the disk is full.
    fn make(
        &self,
        copy: CopyTail,
        preallocate: bool,
        header: &dyn Fn(SegmentId) -> io::Result<SegmentHeader>,
        name: &str,
    ) -> Result<(SegmentHeader, Arc<dyn StorageFile>)> {
        let new = self.size(
            copy,
            preallocate,
            header(self.id).map_err(self.io("drawing an epoch"))?,
        );
        let error = match create_segment_file(self.storage, name, &new) {
            Ok(file) => return Ok((new, file)),
            Err(error) => error,
        };
        if !is_no_space(&error) {
            return Err(self.io("making a segment")(error));
        }
        // Less will do.
        let mut least = new;
        least.allocated = self.least(copy, &new);
        for spare in &self.scan.listing.spares {
            if let Ok(file) = self.reuse(&wal_format::spare_name(*spare), name, &least) {
                return Ok((least, file));
            }
        }
        let file =
            create_segment_file(self.storage, name, &least).map_err(self.io("making a segment"))?;
        Ok((least, file))
    }

    fn reuse(
        &self,
        spare: &str,
        name: &str,
        header: &SegmentHeader,
    ) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.storage.open(spare, OpenMode::ReadWrite)?;
        if file.len()? < header.allocated {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.storage.rename(spare, name)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        Ok(file)
    }

    /// Large enough for the tail, and for its records' limit.
    fn size(&self, copy: CopyTail, preallocate: bool, mut header: SegmentHeader) -> SegmentHeader {
        let sources = &self.scan.chain[copy.from..];
        let record_limit = sources
            .iter()
            .map(|link| link.facts.header.record_limit)
            .max()
            .unwrap_or(0);
        header.record_limit = header.record_limit.max(record_limit);
        header.capacity = header.capacity.max(self.least(copy, &header));
        while wal_format::max_record_limit(header.capacity, header.alignment) < header.record_limit
        {
            header.capacity = header.capacity.saturating_mul(2);
        }
        header.allocated = self.least(copy, &header);
        header.capacity = header.capacity.max(header.allocated);
        if preallocate {
            header.allocated = header.capacity;
        }
        header
    }

    /// Bytes that the tail, the link, a stamp and the footer need, wherever its groups start.
    fn least(&self, copy: CopyTail, header: &SegmentHeader) -> u64 {
        let alignment = header.alignment;
        let mut data = 0;
        for (at, link) in self.scan.chain.iter().enumerate().skip(copy.from) {
            let start = if at == copy.from {
                copy.after.offset
            } else {
                wal_format::HEADER_LEN
            };
            let len = link.end.offset.saturating_sub(start);
            // A group may grow by its padding, and has at least a header and a record.
            let groups =
                len / (wal_format::GROUP_HEADER_LEN + wal_format::MIN_RECORD_LEN) as u64 + 1;
            let padding = if alignment.get() > link.facts.header.alignment.get() {
                groups * alignment.get()
            } else {
                0
            };
            data += alignment.round_up(len) + padding;
        }
        let most = header.capacity.max(data * 2);
        wal_format::data_start(alignment)
            + data
            + alignment.get()
            + wal_format::footer_reserve(most, alignment)
    }

    fn fill(
        &self,
        header: SegmentHeader,
        file: &Arc<dyn StorageFile>,
        copy: CopyTail,
    ) -> Result<Recovered> {
        let watermark = copy.after.lsn;
        let mut groups = GroupWriter::new(header.salt(), header.epoch, header.alignment, PIECE);
        let start = Offset::new(wal_format::HEADER_LEN);
        groups.reset(
            header.salt(),
            header.epoch,
            header.alignment,
            start,
            0,
            copy.after.lsn.next(),
        );
        let link = link_body(self.plan.predecessor, copy.after.lsn, self.plan.log_first);
        groups.link(&link, watermark);
        let mut filling = Filling {
            header,
            groups,
            file,
            index: Vec::new(),
            records: 0,
        };
        for (at, link) in self.scan.chain.iter().enumerate().skip(copy.from) {
            let mut cursor = SegmentCursor::new(
                link.facts.open().map_err(self.io("opening"))?,
                link.facts.header,
                link.end.offset,
            );
            if at == copy.from {
                cursor.jump(copy.after.lsn.next(), Offset::new(copy.after.offset));
            }
            self.copy_segment(
                &mut cursor,
                link.facts.header.salt(),
                watermark,
                &mut filling,
            )?;
        }
        // The copy is proven from now on.
        if !sabotage::is("copy-without-a-stamp") {
            filling.groups.stamp(self.plan.last);
        }
        filling.write().map_err(self.io("writing"))?;
        // Nothing is shown before it is durable.
        sabotage::unless("copy-sync-skipped", || file.sync_data()).map_err(self.io("syncing"))?;
        Ok(Recovered {
            header,
            file: Arc::clone(file),
            first_lsn: copy.after.lsn.next(),
            end_offset: filling.groups.end(),
            end_digest: filling.groups.previous(),
            records: filling.records,
            index: filling.index,
        })
    }

    fn copy_segment(
        &self,
        cursor: &mut SegmentCursor,
        salt: Salt,
        watermark: Lsn,
        filling: &mut Filling<'_>,
    ) -> Result<()> {
        let changed =
            || self.io("reading")(io::Error::other("a segment changed after it was verified"));
        loop {
            let group = match cursor.next_group().map_err(self.io("reading"))? {
                GroupStep::Group(group) => group,
                GroupStep::End => return Ok(()),
                GroupStep::Invalid(_) => return Err(changed()),
            };
            if group.kind != GroupKind::Records {
                continue;
            }
            loop {
                match cursor.next_record().map_err(self.io("reading"))? {
                    RecordStep::Record { lsn, offset, head } => {
                        let bytes = cursor.record_bytes(offset, &head);
                        filling.push(&bytes, salt.record_mask(lsn, Offset::new(offset)));
                    }
                    RecordStep::GroupEnd => break,
                    RecordStep::Invalid(_) => return Err(changed()),
                }
            }
            filling.groups.close_group(watermark);
            if filling.groups.len() >= PIECE {
                filling.write().map_err(self.io("writing"))?;
            }
        }
    }
}

/// The new file while it is being filled.
struct Filling<'a> {
    header: SegmentHeader,
    groups: GroupWriter,
    file: &'a Arc<dyn StorageFile>,
    index: Vec<IndexEntry>,
    records: u64,
}

impl Filling<'_> {
    fn push(&mut self, record: &[u8], mask: u32) {
        let opens = self.groups.open_group_start().is_none();
        self.groups.push_stored(record, mask);
        self.records += 1;
        if let Some((first_lsn, offset)) = self.groups.open_group_start().filter(|_| opens)
            && IndexEntry::is_due(self.index.last(), offset)
        {
            self.index.push(IndexEntry { first_lsn, offset });
        }
    }

    /// Writes what is collected, and goes on behind it.
    fn write(&mut self) -> io::Result<()> {
        self.file
            .write_all_at(self.groups.bytes(), self.groups.start().get())?;
        let (end, previous, next) = (
            self.groups.end(),
            self.groups.previous(),
            self.groups.next_lsn(),
        );
        let header = self.header;
        self.groups.reset(
            header.salt(),
            header.epoch,
            header.alignment,
            end,
            previous,
            next,
        );
        Ok(())
    }
}
