//! Writing a snapshot aside, and cutting the log behind it.
//!
//! The order is what makes it safe: the snapshot is written under a temporary name and synced; it is read back whole; what it shows
//! is durable in the log too; it gets its name, and the directory is synced; only then are the log's records dropped and the
//! snapshot before it removed. Writers go on all the while: the pairs come from a view. Deliberately absent: the bytes of a
//! snapshot (`crate::snapshot`), and when one is due (`maintain.rs`).

use std::io;

use wal_core::Lsn;
use wal_io::OpenMode;

use super::Core;
use crate::files::{Listing, snapshot_name, temporary_name};
use crate::history::shifted;
use crate::report::SnapshotReport;
use crate::snapshot::{Reader, SnapshotWriter, Unusable, WrittenSnapshot};
use crate::sync::Ordering;
use crate::time::Now;
use crate::view::View;
use crate::{Error, Result};

/// So many pairs are written before somebody looks whether a sweep is due: it takes a millisecond at most.
const SWEEP_AFTER: usize = 1024;

impl Core {
    /// Writes a snapshot of what is visible now, and cuts the log.
    pub(crate) fn snapshot(&self) -> Result<SnapshotReport> {
        let (report, _) = self.take_snapshot(None)?;
        // The log may be due for the next one already, or for none for a long time.
        self.look_soon();
        Ok(report)
    }

    /// The same; false if it is the one before, since nothing was written since, or since there were other than `taken` of them.
    pub(super) fn take_snapshot(&self, taken: Option<u64>) -> Result<(SnapshotReport, bool)> {
        self.check_process()?;
        let mut last = self.last_snapshot.lock();
        let counters = &self.counters;
        let others = taken.is_some_and(|n| n != counters.snapshots.load(Ordering::Relaxed));
        if let Some(last) = last.filter(|_| others) {
            return Ok((last, false));
        }
        let begun = self.clock.monotonic();
        let failed = |lsn, error: &Error| {
            self.bound.set_writing(0);
            counters.snapshot_failures.fetch_add(1, Ordering::Relaxed);
            self.snapshot_failed(lsn, error, begun);
        };
        let (log_bytes, offset, view) = match self.view_and_its_bytes() {
            Ok(viewed) => viewed,
            Err(error) => {
                // Writers at the bound wait for this snapshot too.
                failed(Lsn::new(self.index.visible(|| self.durable())), &error);
                return Err(error);
            }
        };
        if let Some(last) = last.filter(|last| last.lsn == view.lsn()) {
            // The log holds nothing that it does not show.
            counters.log_bytes.fetch_sub(log_bytes, Ordering::Relaxed);
            self.bound.set_writing(0);
            self.bound.wake();
            return Ok((last, false));
        }
        let lsn = view.lsn();
        let report = match self.snapshot_and_cut(view, offset) {
            Ok(report) => report,
            Err(error) => {
                failed(lsn, &error);
                return Err(error);
            }
        };
        *last = Some(report);
        counters.retry_at.store(0, Ordering::Relaxed);
        counters.log_bytes.fetch_sub(log_bytes, Ordering::Relaxed);
        counters.snapshot_lsn.store(lsn.get(), Ordering::Relaxed);
        counters.snapshot_len.store(report.bytes, Ordering::Relaxed);
        self.bound.set_writing(0);
        counters.snapshots.fetch_add(1, Ordering::Relaxed);
        counters
            .snapshot_bytes
            .fetch_add(report.bytes, Ordering::Relaxed);
        self.snapshot_succeeded();
        Ok((report, true))
    }

    /// A view of all that was written, and the bytes of the log for which it stands. They are exact: what is counted twice, or not
    /// at all, would add up from snapshot to snapshot, and the bound would come to mean nothing. So no write is under way meanwhile. The
    /// snapshot goes by the time of that moment: between the bytes and the view is the offset of its wall clock.
    fn view_and_its_bytes(&self) -> Result<(u64, i64, View)> {
        let _writer = self.index.writer();
        if self.waits() {
            // A view shows only what is durable.
            self.wal.sync()?;
        }
        let view = self.open_view(true);
        self.bound.set_writing(self.index.ledger().snapshot_bytes());
        Ok((self.log_bytes(), self.index.time().offset(), view))
    }

    fn snapshot_and_cut(&self, view: View, offset: i64) -> Result<SnapshotReport> {
        let begun = self.clock.monotonic();
        let lsn = view.lsn();
        let name = snapshot_name(lsn);
        let temporary = temporary_name(lsn);
        let written = self.write_aside(&view, offset, &temporary, &name);
        drop(view);
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                // Best effort; the next open removes it too.
                let _ = self.storage.remove(&temporary);
                return Err(error);
            }
        };
        self.retire_before(lsn)?;
        Ok(SnapshotReport {
            lsn,
            pairs: written.pairs,
            raw_bytes: written.raw,
            bytes: written.len,
            time: self.clock.monotonic().saturating_sub(begun),
        })
    }

    fn write_aside(
        &self,
        view: &View,
        offset: i64,
        temporary: &str,
        name: &str,
    ) -> Result<WrittenSnapshot> {
        let io = |error| Error::io(self.storage.location(), "writing a snapshot", error);
        let written = self.write_pairs(view, offset, temporary)?;
        self.read_back(view.lsn(), temporary, written)?;
        // A store never shows after a crash what its log has lost.
        if view.lsn() > Lsn::ZERO {
            self.wal.wait_durable(view.lsn())?;
        }
        let named = self.give_name(view.lsn(), temporary, name).map_err(io)?;
        self.storage.sync_dir().map_err(io)?;
        Ok(named.unwrap_or(written))
    }

    /// Returns what the snapshot has that has the name already, if that one stays.
    fn give_name(
        &self,
        lsn: Lsn,
        temporary: &str,
        name: &str,
    ) -> io::Result<Option<WrittenSnapshot>> {
        match self.storage.rename(temporary, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| None),
        }
        // It is of the same state. The log may be cut already, since what failed came after that: then it is all that there is,
        // and no moment may be without it.
        match self.read_whole(name, lsn) {
            Ok(there) => {
                self.storage.remove(temporary)?;
                return Ok(Some(there));
            }
            Err(Unusable::Io(error)) => return Err(error),
            Err(Unusable::Damaged(_) | Unusable::Version(_)) => {}
        }
        // The open could not use it.
        self.storage.remove(name)?;
        self.storage.rename(temporary, name)?;
        Ok(None)
    }

    /// The expiries and the times in it are by the wall clock with `offset`, as it was at the moment that the view shows: if the time
    /// is corrected meanwhile, the log behind the snapshot says so, and moves them.
    fn write_pairs(&self, view: &View, offset: i64, temporary: &str) -> Result<WrittenSnapshot> {
        let io = |error| Error::io(self.storage.location(), "writing a snapshot", error);
        match self.storage.remove(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Err(_) | Ok(()) => {}
        }
        let file = self
            .storage
            .open(temporary, OpenMode::CreateNew)
            .map_err(io)?;
        let now = self.index.now();
        let time = |now: Now| shifted(now.written, offset);
        let lsn = view.lsn().get();
        let mut writer =
            SnapshotWriter::begin(&*file, lsn, time(now), self.compression).map_err(io)?;
        for (at, pair) in view.iter().enumerate() {
            if at % SWEEP_AFTER == 0 {
                self.sweep_meanwhile();
            }
            let version = pair.version();
            let mut expires_at = version.expires_at();
            // Everything expired by the time in the header is left out, so that no clock brings it back.
            if expires_at.is_some_and(|at| at <= now.of(version.lsn())) {
                continue;
            }
            if version.lsn() >= now.first {
                expires_at = expires_at.map(|at| shifted(at, offset));
            }
            writer.push(version, expires_at).map_err(io)?;
            if self.background.is_stopping() {
                return Err(Error::Log(wal_core::Error::Closed));
            }
        }
        let written = writer.finish(time(self.index.now())).map_err(io)?;
        file.sync_data().map_err(io)?;
        Ok(written)
    }

    /// Reads the snapshot as the next open will, from the device if the system lets go of its pages.
    fn read_back(&self, lsn: Lsn, temporary: &str, written: WrittenSnapshot) -> Result<()> {
        let what = match self.read_whole(temporary, lsn) {
            Ok(read) if (read.pairs, read.len) == (written.pairs, written.len) => return Ok(()),
            Ok(read) => format!("it has {} pairs in {} bytes", read.pairs, read.len),
            Err(Unusable::Damaged(what)) => what,
            Err(Unusable::Version(version)) => format!("it has version {version}"),
            Err(Unusable::Io(error)) => error.to_string(),
        };
        Err(Error::SnapshotNotVerified {
            location: self.storage.location(),
            name: temporary.into(),
            what,
        })
    }

    fn read_whole(&self, name: &str, lsn: Lsn) -> Result<WrittenSnapshot, Unusable> {
        let file = self.storage.open(name, OpenMode::Read)?;
        // A hint: where the system keeps its pages, they are what is read.
        let _ = file.evict(0, 0);
        let reader = Reader::open(file, lsn.get())?;
        let pairs = reader.read(
            1,
            |versions| versions.len() as u64,
            |_| self.sweep_meanwhile(),
        )?;
        Ok(WrittenSnapshot {
            pairs: pairs.into_iter().sum(),
            raw: reader.raw(),
            len: reader.len(),
        })
    }

    /// Drops what the snapshot at `lsn`, which has been read, stands for: the log's records up to it, and other snapshots.
    pub(super) fn retire_before(&self, lsn: Lsn) -> Result<()> {
        self.wal.truncate_before(lsn.next())?;
        self.remove_other_snapshots(lsn)
    }

    fn remove_other_snapshots(&self, lsn: Lsn) -> Result<()> {
        let io = |error| Error::io(self.storage.location(), "removing a snapshot", error);
        let listing = Listing::read(&*self.storage)?;
        let others = listing.snapshots.into_iter().filter(|other| *other != lsn);
        // One that cannot be removed does not keep the others.
        let removed: Vec<_> = others
            .map(|other| self.storage.remove(&snapshot_name(other)))
            .collect();
        if removed.iter().any(io::Result::is_ok) {
            self.storage.sync_dir().map_err(io)?;
        }
        removed.into_iter().collect::<io::Result<()>>().map_err(io)
    }
}
