//! The most space that a log may take on disk after an open: the bound in docs/durability.md.

use std::sync::Arc;

use wal_core::SegmentId;
use wal_core::blocking::Wal;
use wal_io::FaultStorage;
use wal_io::fault::Image;

use crate::oracle::{Violation, fail_if};
use crate::program::Format;
use crate::runner::Runner;

/// Files are cut at a multiple of this.
const BLOCK: u64 = 4096;
/// Opens between two checks. A check reads the whole log.
const EVERY: u64 = 4;
/// Segments that hold nothing of the log: the newest file, one that a footer names, and two of a life that lost its power while it
/// began a second one.
const MOST_ABOVE: usize = 4;

impl Runner {
    /// Nothing is left over but what must stay, and every segment that is no longer written ends where its data does.
    pub(crate) fn check_space(&self, wal: &Wal) -> Result<(), Violation> {
        let hindered = self.error_struck() || self.storage.has_lost_power() || self.limits.any();
        if hindered || self.oracle.is_distrusted() || !self.outcome.opens.is_multiple_of(EVERY) {
            return Ok(());
        }
        let image = self.storage.image();
        let segments = wal
            .list_segments()
            .map_err(|error| Violation(format!("listing segments: {error}")))?;
        let of_log = |name: &str| segments.iter().any(|id| name == segment_name(*id));
        let mut above = 0;
        for (name, bytes) in image.files() {
            let (_, extension) = name.split_once('.').unwrap_or((name, ""));
            match extension {
                "wal" => above += usize::from(!of_log(name)),
                "tmp" | "spare" => {
                    return Err(Violation(format!(
                        "{name} is left over, {} bytes",
                        bytes.len()
                    )));
                }
                _ => {}
            }
        }
        fail_if!(
            above > MOST_ABOVE,
            "{above} segments hold nothing of the log"
        );
        let log = wal_core::Offline::on(Arc::new(self.storage.clone()));
        let found = match log.verify(wal_core::VerifyOptions::default()) {
            Ok(found) => found,
            // It has met an error of its own.
            Err(_) if self.error_struck() || self.storage.has_lost_power() => return Ok(()),
            Err(error) => return Err(Violation(format!("verifying: {error}"))),
        };
        // The newest one of the log may be the newest file.
        let Some((_, older)) = segments.split_last() else {
            return Ok(());
        };
        let older = |id: SegmentId| older.contains(&id);
        let found = found.segments.iter();
        for segment in found.filter(|found| older(found.segment_id)) {
            let name = segment_name(segment.segment_id);
            let len = image.get(&name).map_or(0, <[u8]>::len) as u64;
            let most = (segment.bytes + self.footer_reserve(len)).next_multiple_of(BLOCK);
            fail_if!(
                len > most,
                "{name} holds {} bytes of data and is {len} bytes long",
                segment.bytes
            );
        }
        Ok(())
    }

    /// Room for a footer and the control groups before it: see docs/format.md, "Limits". Twice that for the latter: a crash may
    /// have taken some that the segment's end counts. In version 2 the footer has the control state, and an index before it.
    fn footer_reserve(&self, len: u64) -> u64 {
        let alignment = self.setup.padding.unwrap_or_default().get();
        let capacity = len.max(self.setup.config.max_segment_size);
        let footer = match self.setup.format {
            Format::One => 144 + 16 * capacity.div_ceil(65536),
            Format::Two | Format::Upgraded => 176 + capacity / 8,
        };
        let index = match self.setup.format {
            Format::One => 0,
            Format::Two | Format::Upgraded => 64 + (capacity / 4096 * 16).next_multiple_of(4096),
        };
        footer.next_multiple_of(alignment)
            + u64::next_multiple_of(index, alignment)
            + 2 * 512_u64.next_multiple_of(alignment)
    }
}

pub(crate) fn segment_name(id: SegmentId) -> String {
    format!("{:020}.wal", id.get())
}

/// The files of the log proper.
pub(crate) fn segments_of(storage: &FaultStorage) -> Image {
    let mut image = Image::new();
    let all = storage.image();
    let is_segment = |(name, _): &(&str, &[u8])| name.strip_suffix(".wal").is_some();
    for (name, bytes) in all.files().filter(is_segment) {
        image.insert(name, bytes);
    }
    image
}
