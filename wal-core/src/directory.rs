//! The directory of a log: who has locked it, whether it is still where it was opened, and what its errors look like.
//!
//! A directory may be moved, replaced or deleted while the log is open. A fork of the opener has handles that it must not use.

use std::io;
use std::time::Duration;

use wal_format::{LOCK_NAME, LOCK_PID_NAME, Lsn};
use wal_io::{OpenMode, Place, Process, Storage, StorageFileExt, StorageLock};

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::error::{Displacement, Error, is_no_space};
use crate::sync::{self, Arc};
use crate::{Poisoned, Result};

/// How often a locked directory is tried again while waiting.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// What the engine stands on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) lock_wait: Duration,
}

/// Takes the writer's lock.
pub(crate) fn take_lock(ground: &Ground) -> Result<Box<dyn StorageLock>> {
    let storage = &*ground.storage;
    let begun = ground.clock.monotonic();
    loop {
        let lock = storage.try_lock(LOCK_NAME).map_err(|error| {
            let what = "locking the directory (may this user write there?)";
            no_space_or_io(storage, what, error)
        })?;
        if let Some(lock) = lock {
            return Ok(lock);
        }
        if ground.clock.monotonic().saturating_sub(begun) >= ground.lock_wait {
            return Err(Error::Locked {
                location: storage.location(),
                pid: read_pid(storage),
            });
        }
        sync::sleep(LOCK_RETRY);
    }
}

pub(crate) fn no_space_or_io(storage: &dyn Storage, what: &'static str, error: io::Error) -> Error {
    if is_no_space(&error) {
        return Error::NoSpace {
            location: storage.location(),
            what: what.into(),
        };
    }
    Error::io(storage.location(), what, error)
}

/// The process that wrote its id last.
pub(crate) fn read_pid(storage: &dyn Storage) -> Option<u32> {
    let file = storage.open(LOCK_PID_NAME, OpenMode::Read).ok()?;
    let mut bytes = [0; 16];
    let len = file.read_full_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..len]).ok()?.trim().parse().ok()
}

/// Written right after locking, before anything slow. Only the message of another opener uses it: best effort, never synced.
pub(crate) fn write_pid(storage: &dyn Storage) {
    let file = storage
        .open(LOCK_PID_NAME, OpenMode::ReadWrite)
        .or_else(|_| storage.open(LOCK_PID_NAME, OpenMode::CreateNew));
    if let Ok(file) = file {
        let pid = format!("{}\n", std::process::id());
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all_at(pid.as_bytes(), 0));
    }
}

/// What happened to the directory, if anything did.
pub(crate) fn displacement(storage: &dyn Storage) -> Option<Displacement> {
    match storage.place() {
        Place::Here => None,
        Place::Gone => Some(Displacement::DirectoryGone),
        Place::Replaced => Some(Displacement::DirectoryReplaced),
    }
}

/// The error of a log that is displaced before it is open.
pub(crate) fn displaced(storage: &dyn Storage, what: Displacement) -> Error {
    let poisoned = Poisoned {
        location: storage.location(),
        durable_lsn: Lsn::ZERO,
        lsn: None,
        during: "opening the log".into(),
        cause: Arc::new(io::Error::other(what)),
    };
    poisoned.error()
}

/// Refuses in a fork of the process that opened the log. Called before any lock is taken: another thread may have held it when
/// the process was forked, and that thread does not exist in the fork.
#[inline]
pub(crate) fn check_process(process: &Process, storage: &dyn Storage) -> Result<()> {
    if process.is_current() {
        return Ok(());
    }
    Err(other_process(process, storage))
}

#[cold]
fn other_process(process: &Process, storage: &dyn Storage) -> Error {
    Error::OtherProcess {
        location: storage.location(),
        opener: process.id(),
    }
}
