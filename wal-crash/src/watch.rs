//! A reader in another process. It stays open while the writer runs and restarts, and must be told of every truncation.
//!
//! Its records are kept, and compared with the model whenever it reports the end. Readers of the writing handle are in `calls`.

use wal_core::blocking::Wal;
use wal_core::{Error, Lsn};

use crate::oracle::fail_if;
use crate::runner::{Next, Runner, Stop, Watcher, broken};

impl Runner {
    /// Something happens that the log may not be able to tell from a truncation of what was read.
    pub(crate) fn raise_doubt(&mut self) {
        if let Some(watcher) = &mut self.watching.0 {
            watcher.doubtful = true;
        }
    }

    /// Reads to the end, or until it is told that records it has read were removed.
    pub(crate) fn watch(&mut self, wal: &Wal) -> Result<Next, Stop> {
        let mut watcher = if let Some(watcher) = self.watching.0.take() {
            watcher
        } else {
            let first = self.oracle.first();
            match self
                .read_only()
                .and_then(|wal| wal.read_from(Lsn::new(first)))
            {
                Ok(reader) => Watcher {
                    reader,
                    first,
                    given: Vec::new(),
                    doubtful: false,
                },
                // Nothing was handed over yet; or the cut was not.
                Err(Error::NotALog { .. } | Error::NotAppended { .. }) => return Ok(Next::Go),
                Err(error) if self.excused(&error) => return self.failed(wal, &error),
                Err(error) if self.is_loud(&error) => return Err(Stop::Loud),
                Err(error) => return broken(format!("a reader of another handle: {error}")),
            }
        };
        loop {
            match watcher.reader.next_record() {
                Ok(Some((record, position))) => {
                    let (lsn, next) = (position.lsn.get(), watcher.next());
                    fail_if!(
                        lsn != next,
                        "another handle reads LSN {lsn}, {next} is next"
                    );
                    // Until it is told, it may be shown what was removed.
                    if !self.oracle.was_dropped(lsn, &record.value) {
                        self.oracle.check_record(lsn, &record.value)?;
                    }
                    watcher.given.push(record.value.to_vec());
                }
                Ok(None) => return self.watched(watcher),
                Err(Error::Truncated { kept, .. }) => return self.told(&watcher, kept),
                Err(error) if self.excused(&error) => {
                    if matches!(error, Error::Io { .. }) {
                        // It may be asked again.
                        self.watching.0 = Some(watcher);
                    }
                    return self.failed(wal, &error);
                }
                Err(error) if self.is_loud(&error) => return Err(Stop::Loud),
                Err(error) => {
                    let next = watcher.next();
                    return broken(format!("another handle reads LSN {next}: {error}"));
                }
            }
        }
    }

    /// The reader says that there is no more: then what it has read is the log.
    fn watched(&mut self, mut watcher: Watcher) -> Result<Next, Stop> {
        for (lsn, value) in watcher.lsns() {
            if self.oracle.check_record(lsn, value).is_err() {
                if self.haunted || self.error_struck() {
                    // It came from the cache after a failed sync. Version 1 cannot tell the reader (docs/durability.md).
                    return Ok(Next::Go);
                }
                return broken(format!(
                    "another handle has read LSN {lsn}, which was removed, and is not told"
                ));
            }
        }
        let (shown, must) = (watcher.next() - 1, self.oracle.flushed());
        fail_if!(
            shown < must && !self.storage.has_lost_power() && !self.error_struck(),
            "another handle is shown {shown} of {must}"
        );
        watcher.doubtful = false;
        self.watching.0 = Some(watcher);
        Ok(Next::Go)
    }

    /// The reader is told of a truncation: what it is to keep is the log, and there was one.
    fn told(&mut self, watcher: &Watcher, kept: Option<Lsn>) -> Result<Next, Stop> {
        let kept = kept.map_or(0, Lsn::get);
        let mut removed = false;
        for (lsn, value) in watcher.lsns() {
            let is_there = self.oracle.check_record(lsn, value).is_ok();
            fail_if!(
                lsn <= kept && !is_there,
                "another handle is to keep LSN {lsn} of {kept}, which was removed"
            );
            removed |= !is_there;
        }
        if !removed && !watcher.doubtful && watcher.next() >= self.oracle.first() {
            return broken("another handle is told of a truncation that was none");
        }
        Ok(Next::Go)
    }
}
