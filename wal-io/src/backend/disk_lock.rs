//! The lock of a directory on disk, and a check by other processes that does not disturb a locker.

use std::fs::{File, TryLockError};
use std::io;
use std::thread;
use std::time::Duration;

use crate::{Process, StorageLock};

/// Number of attempts to take a lock while other processes check it. A check takes microseconds.
const TRIES: u32 = 500;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// Locks belong to open files, which a child shares from `fork` until `exec`. So they are released by an explicit call: closing
/// would leave them with the child. The child never releases them, because that would take them from its parent.
#[derive(Debug)]
pub(super) struct DiskLock {
    held: Vec<File>,
    process: Process,
}

impl DiskLock {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::with_capacity(2),
            process: Process::current(),
        }
    }

    /// Locks `file` too. False if another holder has it.
    pub(super) fn take(&mut self, file: File) -> io::Result<bool> {
        for _ in 0..TRIES {
            if try_lock(&file, File::try_lock)? {
                self.held.push(file);
                return Ok(true);
            }
            // A checker ([`is_locked`]) is not a holder, and is gone in a moment.
            if is_locked(&file)? {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // Unlock the directory first: a locker that finds the file free then finds both free.
        for file in self.held.iter().rev() {
            // It ends with the process at the latest.
            let _ = file.unlock();
        }
    }
}

impl StorageLock for DiskLock {}

/// Whether a process holds the lock of `file`, found by taking a shared lock for a moment. Any number of others can check too,
/// and [`DiskLock::take`] waits for it to be released.
pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    let free = try_lock(file, File::try_lock_shared)?;
    if free {
        file.unlock()?;
    }
    Ok(!free)
}

fn try_lock(file: &File, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> io::Result<bool> {
    match lock(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
