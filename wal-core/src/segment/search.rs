//! Looking for the next record where the one before it does not say where it ends.
//!
//! Every later place is tried. A checksum of 32 bits passes by chance where many places and many LSNs are tried, so what is
//! found must be confirmed: by the record behind it, or by ending exactly where the records end.
//!
//! Deliberately absent: one whole record between two that are damaged in their lengths. It cannot be told from chance.

use std::io;

use wal_format::{Lsn, MIN_RECORD_LEN, Offset, crc32};

use super::salvage::{Run, Salvage, TRIAL};

/// Which LSNs a place is tried for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// One record is lost, or none behind the lost header of a group.
    Near,
    /// As many as have room in between.
    Far,
}

impl Salvage {
    /// The next confirmed record of the run, and its LSN.
    pub(super) fn search(&mut self, run: &Run) -> io::Result<Option<(u64, Lsn)>> {
        let Some(until) = run.until else {
            // Nothing says that there are any.
            return Ok(None);
        };
        let least = MIN_RECORD_LEN as u64;
        for reach in [Span::Near, Span::Far] {
            let mut offset = run.offset + 1;
            while offset + least <= run.end {
                if !self.spend(1) {
                    return Ok(None);
                }
                if let Some(lsn) = self.try_place(offset, run, until, reach)? {
                    return Ok(Some((offset, lsn)));
                }
                offset += 1;
            }
        }
        Ok(None)
    }

    pub(super) fn spend(&mut self, bytes: u64) -> bool {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }

    fn try_place(
        &mut self,
        offset: u64,
        run: &Run,
        until: Lsn,
        reach: Span,
    ) -> io::Result<Option<Lsn>> {
        let expected = self.next.get();
        let room = (offset - run.offset) / MIN_RECORD_LEN as u64;
        let (from, to) = match reach {
            Span::Near if run.headless => (expected, expected.saturating_add(1)),
            Span::Near => (expected.saturating_add(1), expected.saturating_add(1)),
            Span::Far => (
                expected.saturating_add(2),
                expected.saturating_add(room).saturating_add(1),
            ),
        };
        let to = to.min(until.get() - 1);
        if from > to {
            return Ok(None);
        }
        let Some(head) = self.head_at(offset, run.end)? else {
            return Ok(None);
        };
        let len = head.total_len();
        if !self.spend(len + TRIAL * (to - from + 1)) {
            return Ok(None);
        }
        let Some((stored, rest)) = self.bytes_at(offset, len)?.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let mask = u32::from_le_bytes(*stored) ^ crc32(rest);
        for lsn in (from..=to).map(Lsn::new) {
            if self.frame.salt.record_mask(lsn, Offset::new(offset)) == mask
                && self.confirmed((offset + len, lsn.next()), run)?
            {
                return Ok(Some(lsn));
            }
        }
        Ok(None)
    }

    fn confirmed(&mut self, behind: (u64, Lsn), run: &Run) -> io::Result<bool> {
        if run.is_end(behind, self.header.alignment) {
            return Ok(true);
        }
        let (offset, lsn) = behind;
        if self.record_at(offset, run.end, lsn)?.is_some() {
            return Ok(true);
        }
        let next_group = self.behind_header(offset);
        Ok(run.headless && self.record_at(next_group, run.end, lsn)?.is_some())
    }
}
