//! Looking at the wall clock, and correcting the store's time when it has been elsewhere for long enough.
//!
//! A correction is a record of the log: what a later open makes of expiries depends on it. It enters the log under the lock of
//! writers, and from its place on every record has its expiry by the new time; a write that was prepared before is prepared again.
//! Deliberately absent: when the wall clock is believed ([`AnchoredClock`](wal_core::clock::AnchoredClock)), and what a
//! correction means for the keys (`crate::history`).

use wal_core::{Lsn, RecordRef};

use super::Core;
use crate::history::Mark;
use crate::index::Writer;
use crate::sync::Ordering;

/// Why a mark has not entered the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmarked {
    /// The log has no room for it now: wait for some.
    NoRoom,
    /// The log takes no more records, and says so to every write.
    Refused,
}

impl Core {
    /// Compares the store's time with the wall clock, and corrects it if it has to be. Waits for the log, so not where a caller
    /// must not wait.
    pub(super) fn follow_clock(&self) {
        loop {
            let mut writer = self.index.writer();
            let time = self.index.time();
            let Some(offset) = time.observe() else {
                return;
            };
            let entered = time.correct(offset, |correction| {
                let mark = Mark::Correction(correction);
                let lsn = self.enter_mark(&mut writer, mark)?;
                // So does reading it.
                writer.marked = correction.after;
                Ok(lsn)
            });
            drop(writer);
            match entered {
                Ok(lsn) => {
                    // An error is the log's, and every write says so.
                    if self.wal.wait_durable(lsn).is_ok() {
                        self.counters.corrections.fetch_add(1, Ordering::Relaxed);
                    }
                    return;
                }
                Err(Unmarked::NoRoom) if self.wait_for_room_of_a_mark() => {}
                Err(Unmarked::NoRoom | Unmarked::Refused) => return,
            }
        }
    }

    /// Enters a record without a key into the log.
    pub(super) fn enter_mark(&self, _writer: &mut Writer, mark: Mark) -> Result<Lsn, Unmarked> {
        let payload = mark.encode();
        let prepared = self.wal.prepare(RecordRef::data(&payload));
        let prepared = prepared.map_err(|_| Unmarked::Refused)?;
        let appended = match self.wal.try_append(&prepared) {
            Ok(Some(appended)) => appended,
            Ok(None) => return Err(Unmarked::NoRoom),
            Err(_) => return Err(Unmarked::Refused),
        };
        let lsn = appended.last_lsn;
        self.index.pass(lsn.get(), || self.durable());
        let log_bytes = self.logged(appended.first, prepared.encoded_len());
        self.background.logged(log_bytes);
        Ok(lsn)
    }

    /// False if there will be none.
    pub(crate) fn wait_for_room_of_a_mark(&self) -> bool {
        let longest = Mark::LONGEST.encode();
        let prepared = self.wal.prepare(RecordRef::data(&longest));
        prepared
            .and_then(|mark| self.wal.wait_for_room(&mark))
            .is_ok()
    }
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use std::time::Duration;

    use wal_core::UnixMillis;
    use wal_core::clock::{Clock as _, ManualClock};
    use wal_io::MemoryStorage;

    use crate::Batch;
    use crate::blocking::KvStore;
    use crate::builder::{Builder, Shared};
    use crate::index::Change;
    use crate::store::{Attempt, Core};
    use crate::sync::Arc;

    const HOUR: Duration = Duration::from_secs(3600);

    fn open(storage: &MemoryStorage, clock: &ManualClock) -> Shared {
        Builder::<KvStore>::new("store")
            .storage(Arc::new(storage.clone()))
            .clock(Arc::new(clock.clone()))
            .driven_by_caller()
            .build()
            .expect("a store")
    }

    fn put(key: &[u8], expires_at: UnixMillis) -> Change<'_> {
        Change::Put {
            key,
            value: b"value",
            expires_at: Some(expires_at),
        }
    }

    fn enters(core: &Core, change: Change<'_>) -> bool {
        let ready = core.prepare(&change).expect("prepared");
        core.wal.wait_for_room(&ready.prepared).expect("room");
        let attempt = core.attempt(&ready, &[change], None).expect("tried");
        matches!(attempt, Attempt::Entered(_))
    }

    fn expiry(core: &Core, key: &[u8]) -> Option<u64> {
        Some(core.pair(key)?.expires_at()?.get())
    }

    #[test]
    fn a_write_that_was_prepared_before_a_correction_is_prepared_again() {
        let (storage, clock) = (MemoryStorage::new(), ManualClock::default());
        let shared = open(&storage, &clock);
        let core = &*shared.core;
        assert!(enters(core, put(b"watched", core.after(HOUR))));
        core.drive();
        let change = put(b"key", core.after(HOUR));
        let ready = core.prepare(&change).expect("prepared");
        let plain = Change::Delete { key: b"other" };
        let without = core.prepare(&plain).expect("prepared");
        let mut records = core.records(Batch::new().put_with_ttl("batch", "value", HOUR));
        let batch = core.prepare_batch(&records).expect("prepared");
        // The wall clock is a day ahead, and is believed.
        clock.move_wall(86_400_000);
        core.drive();
        clock.advance(Duration::from_secs(10));
        core.drive();
        assert_eq!(core.stats().clock_corrections, 1);
        let attempt = core.attempt(&ready, &[change], None).expect("tried");
        assert!(matches!(attempt, Attempt::ExpiryChanged), "{attempt:?}");
        let attempt = core.attempt(&without, &[plain], None).expect("tried");
        assert!(matches!(attempt, Attempt::Entered(_)), "it has no expiry");
        assert!(enters(core, change));
        let changes = records.changes();
        let attempt = core.attempt(&batch, &changes, None).expect("tried");
        assert!(matches!(attempt, Attempt::ExpiryChanged), "{attempt:?}");
        drop((batch, changes));
        core.correct(&mut records);
        let batch = core.prepare_batch(&records).expect("prepared");
        let changes = records.changes();
        let attempt = core.attempt(&batch, &changes, None).expect("tried");
        assert!(matches!(attempt, Attempt::Entered(_)), "{attempt:?}");
        // Each lives for an hour from when it was asked for.
        let at = clock.unix().get() + 3_590_000;
        assert_eq!(
            (expiry(core, b"key"), expiry(core, b"batch")),
            (Some(at), Some(at))
        );
        core.wal.close().expect("closed");
        drop((batch, changes));
        drop(shared);
        let shared = open(&storage, &clock);
        let core = &*shared.core;
        assert_eq!(
            (expiry(core, b"key"), expiry(core, b"batch")),
            (Some(at), Some(at))
        );
        assert_eq!(core.get(b"key").as_deref(), Some(&b"value"[..]));
    }
}
