//! Space after the end of segments that are no longer written.
//!
//! A process that ends without a close leaves its last segment with all its allocated space, and a power loss may undo the cut
//! after a footer. Once a later durable segment says where the data of such a file ends, the rest of the file is unused and is
//! cut off.
//!
//! Never cut: the newest file. In version 1 a newest file that is shorter than its header says is damaged.

use std::io;

use wal_format::{
    GROUP_HEADER_LEN, GroupHeader, GroupKind, HEADER_LEN, LINK_LEN, Offset, SegmentHeader,
    SegmentId,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use crate::segment::SegmentFacts;
use crate::sync::Arc;

/// Files are cut at a multiple of this, so that no block with data is written again.
const BLOCK: u64 = 4096;

/// A file that is longer than its segment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Surplus {
    pub(crate) id: SegmentId,
    /// The length that the file keeps, in bytes.
    pub(crate) keep: u64,
}

impl Surplus {
    /// The unused end of a segment's file of `len` bytes, if its data ends at `end` for good. `open` opens the file; it is
    /// called only for files that are much longer than their data.
    pub(crate) fn find(
        header: &SegmentHeader,
        len: u64,
        end: u64,
        open: impl FnOnce() -> io::Result<Arc<dyn StorageFile>>,
    ) -> io::Result<Option<Self>> {
        let groups = header.alignment.round_up(HEADER_LEN + LINK_LEN as u64);
        // A link may say anything. Nothing is cut where no group can end.
        if !(groups..=len).contains(&end) || !end.is_multiple_of(header.alignment.get()) {
            return Ok(None);
        }
        let reserve = header.layout().footer_reserve();
        let least = end.saturating_add(reserve).next_multiple_of(BLOCK);
        if len <= least {
            return Ok(None);
        }
        let file = open()?;
        // A footer at the file's end names the successor and is the segment's index. It stays, and with it the file's length. Not one that
        // is older than the segment's end: it stands over records that a truncation has dropped.
        let footer = SegmentFacts::footer_of(*header, &file)?;
        if footer.is_some_and(|footer| footer.ends_at(Offset::new(end))) {
            return Ok(None);
        }
        // So does one whose cut a power loss has undone.
        let footer = footer_end(&*file, header, end)?;
        // Never give back anything before the end of the data.
        let keep = footer.unwrap_or(end.next_multiple_of(BLOCK));
        let id = header.segment_id;
        Ok((keep < len).then_some(Self { id, keep }))
    }

    /// Cuts the file. The cut need not be durable: a later open repeats it if necessary.
    pub(crate) fn give_back(&self, storage: &dyn Storage) -> io::Result<()> {
        let name = wal_format::segment_name(self.id);
        let file = storage.open(&name, OpenMode::ReadWrite)?;
        // Never make the file longer.
        if file.len()? > self.keep {
            file.set_len(self.keep)?;
        }
        Ok(())
    }
}

/// The end of the footer at `end`, if there is one.
fn footer_end(file: &dyn StorageFile, header: &SegmentHeader, end: u64) -> io::Result<Option<u64>> {
    let mut at = end;
    loop {
        let mut bytes = [0; GROUP_HEADER_LEN];
        let filled = file.read_full_at(&mut bytes, at)?;
        let group = GroupHeader::decode(&bytes[..filled], header.frame(), Offset::new(at));
        match group {
            Ok((group, _)) if group.kind == GroupKind::Footer => {
                return Ok(Some(group.end_offset()));
            }
            // It stands between the data and the footer.
            Ok((group, _)) if group.kind == GroupKind::Index => {
                at = header.alignment.round_up(group.end_offset());
            }
            _ => return Ok(None),
        }
    }
}
