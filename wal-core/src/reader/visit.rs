//! Many records at a time, each borrowed from the reader's window: nothing is counted, copied or allocated for one that is
//! stored as it is.

use wal_format::{Lsn, Offset, RecordRef};

use super::{RawReader, Step};
use crate::{Position, Result};

impl RawReader {
    /// Calls `each` with the records up to `last`, in order; ends earlier at the end of the log for now, and where `go_on`,
    /// which is asked once for each window or group, says no.
    pub(crate) fn visit(
        &mut self,
        last: Lsn,
        go_on: impl Fn() -> bool,
        mut each: impl FnMut(RecordRef<'_>, Position),
    ) -> Result<()> {
        loop {
            self.visit_in_memory(last, &mut each);
            if self.next > last || !go_on() {
                return Ok(());
            }
            match self.step()? {
                Step::Record(record, position) => each((&record).into(), position),
                Step::Unflushed | Step::End => return Ok(()),
            }
        }
    }

    /// The LSN of the next record.
    pub(crate) fn next(&self) -> Lsn {
        self.next
    }

    /// As [`step_in_memory`](Self::step_in_memory), as long as there is such a record.
    fn visit_in_memory(&mut self, last: Lsn, each: &mut impl FnMut(RecordRef<'_>, Position)) {
        let Some(place) = &mut self.place else { return };
        if self.ended || self.durable_only || !self.skip.is_idle() {
            return;
        }
        while self.next <= last && !self.source.is_disturbed(self.era, self.next) {
            let Some((lsn, offset, head)) = place.cursor.record_in_memory() else {
                return;
            };
            if lsn < self.next {
                continue;
            }
            self.next = lsn.next();
            let position = Position {
                lsn,
                segment_id: place.id,
                offset: Offset::new(offset),
            };
            each(place.cursor.borrow_record(offset, &head), position);
        }
    }
}
