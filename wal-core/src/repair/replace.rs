//! Writes a damaged or missing segment anew, under its own id: whole, with the records that can be read in their places and gaps
//! for the others. Its rename replaces the damaged file, and is the commit.
//!
//! Deliberately absent: which segments these are (see `slots.rs`).

use std::io;

use wal_format::{Alignment, Control, SegmentHeader, UnixMillis};
use wal_io::Storage;

use super::end::Feed;
use super::inspect::Rest;
use super::slots::Slot;
use crate::Result;
use crate::recovery::{Copied, Copy, Filling, GroupEnd, Needs, Part, Reserve, Wreck};
use crate::segment::SegmentFacts;
use crate::segment::{LiveSegment, Sealing, write_footer};
use crate::sync::Arc;

/// A segment that is to be written anew.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) slot: Slot,
    /// Except for the lengths.
    pub(super) header: SegmentHeader,
    pub(super) content: Rest,
    /// When its last record had been appended, or later.
    until: UnixMillis,
}

impl Replacement {
    /// Reads what is left of the segment. `now` is the time, where nothing else is known of the segment's.
    pub(super) fn read(
        storage: &Arc<dyn Storage>,
        wreck: &Wreck,
        slot: Slot,
        header: SegmentHeader,
        now: UnixMillis,
    ) -> Result<Self> {
        let content = Rest::read_parts(
            storage,
            parts(wreck, &slot),
            (slot.after(), slot.last),
            None,
        )?;
        let old = slot.part.map(|at| &wreck.parts[at]);
        let sealed = old.and_then(|part| sealed_at(&**storage, part));
        let next = wreck.parts[slot.next].link.as_ref().map(|link| link.time);
        let none = UnixMillis::new(0);
        let until = sealed.or(next).filter(|time| *time != none).unwrap_or(now);
        Ok(Self {
            slot,
            header,
            content,
            until,
        })
    }

    fn needs(&self) -> Needs {
        let alignment = self.header.alignment;
        let pieces = self.content.pieces.first();
        let needs = pieces.map_or(Needs::default(), |piece| piece.needs(alignment));
        Needs {
            data: needs.data + self.link_len(alignment),
            ..needs
        }
    }

    /// Bytes by which its link may be longer than that of a segment without copies.
    fn link_len(&self, alignment: Alignment) -> u64 {
        let stretches = self.slot.link.histories.stretches().len();
        alignment.round_up((stretches * wal_format::STRETCH_LEN) as u64)
    }

    /// Bytes that it needs at most.
    pub(super) fn len(&self) -> u64 {
        self.needs().size(false, self.header).allocated
    }

    /// Writes and syncs it under its temporary name. Where its data ends.
    pub(super) fn prepare(&self, storage: &Arc<dyn Storage>, wreck: &Wreck) -> Result<GroupEnd> {
        let control = wreck.control.clone().unwrap_or_default();
        let copy = Copy {
            storage: &**storage,
            location: &wreck.location,
            what: "the replacement of a damaged segment",
            link: self.slot.link.clone(),
            control: &control,
            sources: &[],
            last: self.slot.last,
            spares: &wreck.listing.spares,
            reserve: Reserve::USED_UP,
            only_reserve: false,
        };
        let mut feed = Feed::new(storage, parts(wreck, &self.slot), self.slot.after());
        let content = |filling: &mut Filling<'_>| {
            feed.fill(
                filling,
                self.slot.after(),
                &copy.io("writing"),
                self.slot.last,
            )
        };
        let copied = copy.prepare(self.header, false, self.needs(), content)?;
        let end = GroupEnd {
            lsn: self.slot.last,
            offset: copied.end_offset.get(),
            digest: copied.end_digest,
        };
        self.seal(copied, control.clone(), wreck)
            .map_err(copy.io("sealing"))?;
        Ok(end)
    }

    /// Gives it its name, and with it the damaged file's place. The directory is the caller's to sync.
    pub(super) fn commit(&self, storage: &dyn Storage) -> io::Result<()> {
        let id = self.slot.id;
        let (from, to) = (wal_format::temporary_name(id), wal_format::segment_name(id));
        // One rename commits: the name is never free.
        storage.replace(&from, &to)
    }

    /// Gives it up before it has its name.
    pub(super) fn discard(&self, storage: &dyn Storage) {
        let _ = storage.remove(&wal_format::temporary_name(self.slot.id));
    }

    /// The footer, which names the next segment.
    fn seal(&self, copied: Copied, control: Control, wreck: &Wreck) -> io::Result<()> {
        let log_first = wreck.log_first.min(self.slot.last.next());
        let sealing = Sealing {
            segment: Arc::new(LiveSegment::new(copied.header, copied.file)),
            end_lsn: self.slot.last,
            end_offset: copied.end_offset,
            end_digest: copied.end_digest,
            records: copied.records,
            index: copied.index,
            control,
            until: self.until,
            successor: wreck.parts[self.slot.next].file,
        };
        // A replacement is durable before it takes the damaged file's name.
        write_footer(&sealing, log_first)?;
        // It cuts the file, too.
        sealing.segment.file.sync_data()
    }
}

/// What it is made of. If nothing says where the segment begins, or its file is missing, the file before it may have records of
/// it.
fn parts(wreck: &Wreck, slot: &Slot) -> Vec<Part> {
    let before = |at: usize| at.saturating_sub(1);
    let from_to = match slot.part {
        Some(at) if wreck.parts[at].link.is_some() => at..at + 1,
        Some(at) => before(at)..at + 1,
        None => before(slot.next)..slot.next,
    };
    let mut parts = wreck.parts[from_to].to_vec();
    for part in &mut parts {
        let last = part.last.unwrap_or(slot.last);
        part.last = Some(last.min(slot.last));
    }
    parts
}

/// When a segment was complete, if its footer still says it.
fn sealed_at(storage: &dyn Storage, part: &Part) -> Option<UnixMillis> {
    let file = storage.open(&part.name(), wal_io::OpenMode::Read).ok()?;
    let footer = SegmentFacts::footer_of(part.header, &file).ok()??;
    footer.more.map(|more| more.time_greatest)
}
