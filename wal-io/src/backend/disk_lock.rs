//! The lock of a directory on disk: taken, and looked at by others without standing in anyone's way.

use std::fs::{File, TryLockError};
use std::io;
use std::thread;
use std::time::Duration;

use crate::{Process, StorageLock, sabotage};

/// How often a lock is tried that others merely look at. A look takes microseconds.
const TRIES: u32 = 500;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// Locks belong to open files, which a child shares from `fork` until `exec`. So they are given up by name: closing would
/// leave them with the child. But never by the child: that would take them from its parent.
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

    /// Locks `file` too; `false` if someone else has.
    pub(super) fn take(&mut self, file: File) -> io::Result<bool> {
        for _ in 0..TRIES {
            if try_lock(&file, File::try_lock)? {
                self.held.push(file);
                return Ok(true);
            }
            // Someone who only looks ([`is_locked`]) is no holder, and gone in a moment.
            if sabotage::is("look-taken-for-a-holder") || is_locked(&file)? {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        let ours = self.process.is_current() || sabotage::is("lock-given-up-by-a-child");
        if !ours || sabotage::is("lock-not-given-up-by-name") {
            return;
        }
        // The directory first: who finds the file free finds both free.
        for file in self.held.iter().rev() {
            // It ends with the process at the latest.
            let _ = file.unlock();
        }
    }
}

impl StorageLock for DiskLock {}

/// Whether someone holds the lock of `file`. A shared lock, held for a moment, tells: any number of others can look too, and
/// [`DiskLock::take`] waits for it to go.
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
