//! An open file and a held lock of the simulated machine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::chooser::pick;
use super::directory::Node;
use super::inode::{Damage, MAX_LEN};
use super::operation::{Call, OperationKind};
use super::plan::{Injected, Moment, PowerLost, SystemError};
use super::prewrite::Running;
use super::world::{Health, State, World};
use crate::file::prewrite_end;
use crate::{OpenMode, StorageFile, StorageLock};

/// An open handle.
#[derive(Debug)]
pub(super) struct FaultFile {
    world: Arc<World>,
    inode: usize,
    mode: OpenMode,
    /// How many failed write-backs this handle has been told of. Only changed under the world's lock.
    errors_seen: AtomicU32,
}

impl FaultFile {
    /// Opens `inode`; the caller has checked that it may.
    pub(super) fn open(world: Arc<World>, state: &mut State, inode: usize, mode: OpenMode) -> Self {
        state.open_files += 1;
        let slot = state.slot_mut(inode);
        // Who opens it now finds what it holds.
        slot.altered &= slot.handles > 0;
        slot.handles += 1;
        // An error that nobody has been told of is told to a new handle too.
        let unreported = slot.inode.errors > 0 && !slot.inode.error_reported;
        let errors_seen = AtomicU32::new(slot.inode.errors - u32::from(unreported));
        Self {
            world,
            inode,
            mode,
            errors_seen,
        }
    }

    fn call(&self, kind: OperationKind, offset: u64, len: u64) -> Call<'static> {
        Call::on_file(kind, self.inode, offset, len)
    }

    /// That the handle may write, and where the write ends.
    fn check_write(&self, offset: u64, len: u64) -> io::Result<u64> {
        if self.mode == OpenMode::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let end = offset.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        if end > MAX_LEN {
            return Err(SystemError::FileTooLarge.into());
        }
        Ok(end)
    }
}

impl StorageFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        self.world
            .perform(self.call(OperationKind::Length, 0, 0), |state, _| {
                Ok(state.inode(self.inode).len)
            })
    }

    /// Not an operation: it is not counted, and no fault strikes it.
    fn links(&self) -> io::Result<Option<u64>> {
        let state = self.world.lock();
        if state.health == Health::PowerOff {
            return Err(PowerLost::error());
        }
        let named = state.directories.iter().map(|directory| {
            let names = directory.names().values();
            names
                .filter(|node| **node == Node::File(self.inode))
                .count() as u64
        });
        Ok(Some(named.sum()))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let call = self.call(OperationKind::Read, offset, buf.len() as u64);
        self.world.transfer(call, |state, injected| {
            let mut wanted = buf.len();
            if let Injected::Short(bytes) = injected {
                wanted = wanted.min(bytes as usize);
            }
            wanted = state.readable(self.inode, offset, wanted)?;
            let sector_len = state.sector_len;
            Ok(state
                .inode(self.inode)
                .read(&mut buf[..wanted], offset, sector_len))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let call = self.call(OperationKind::Write, offset, buf.len() as u64);
        self.world.transfer(call, |state, injected| {
            let end = self.check_write(offset, buf.len() as u64)?;
            state.check_not_prewriting(self.inode, offset..end);
            let mut len = match injected {
                Injected::Short(bytes) => bytes.min(buf.len() as u64),
                Injected::Error(SystemError::Interrupted) => 0,
                Injected::Error(_) | Injected::PowerCut(Moment::During) => {
                    state.choose_part(buf.len() as u64, offset)
                }
                _ => buf.len() as u64,
            };
            len = state.room_for_write(self.inode, offset, len)?;
            let sector_len = state.sector_len;
            let (inode, seq) = state.inode_mut(self.inode);
            inode.write(&buf[..len as usize], offset, sector_len, seq);
            match injected {
                Injected::Error(error) => Err(error.into()),
                _ => Ok(len as usize),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.world.perform(
            self.call(OperationKind::SyncData, 0, 0),
            |state, injected| {
                match injected {
                    Injected::Error(SystemError::Interrupted) => {
                        return Err(SystemError::Interrupted.into());
                    }
                    Injected::Error(error) => {
                        let Some(told) = state.fail_file_sync(self.inode) else {
                            return Ok(());
                        };
                        self.errors_seen.store(told, Ordering::Relaxed);
                        return Err(error.into());
                    }
                    _ => state.sync_file(self.inode),
                }
                let errors = state.inode(self.inode).errors;
                if self.errors_seen.swap(errors, Ordering::Relaxed) != errors {
                    state.inode_mut(self.inode).0.error_reported = true;
                    return Err(SystemError::Io.into());
                }
                Ok(())
            },
        )
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.world.perform(
            self.call(OperationKind::Allocate, offset, len),
            |state, _| {
                let end = self.check_write(offset, len)?;
                if len == 0 {
                    return Ok(());
                }
                state.check_room(self.inode, offset, len)?;
                let sector_len = state.sector_len;
                let (inode, seq) = state.inode_mut(self.inode);
                inode
                    .allocated
                    .add(offset / sector_len, end.div_ceil(sector_len));
                inode.grow(end, false, seq);
                Ok(())
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.world
            .perform(self.call(OperationKind::SetLength, 0, len), |state, _| {
                self.check_write(0, len)?;
                state.check_not_prewriting(self.inode, len..u64::MAX);
                let sector_len = state.sector_len;
                let (inode, seq) = state.inode_mut(self.inode);
                if len != inode.len {
                    inode.set_len(len, sector_len, seq);
                }
                Ok(())
            })
    }

    fn prewrite(&self, offset: u64, len: u64) -> io::Result<bool> {
        let range = offset..prewrite_end(offset, len)?;
        let Some(_running) = Running::begin(&self.world, self.inode, range.clone())? else {
            return Ok(false);
        };
        let call = self.call(OperationKind::Prewrite, offset, len);
        self.world.perform(call, |state, injected| {
            self.check_write(offset, len)?;
            state.prewrite(self.inode, range, injected)?;
            Ok(true)
        })
    }

    fn evict(&self, offset: u64, len: u64) -> io::Result<()> {
        self.world
            .perform(self.call(OperationKind::Evict, offset, len), |state, _| {
                let sector_len = state.sector_len;
                let end = if len == 0 {
                    u64::MAX
                } else {
                    offset.saturating_add(len)
                };
                if !state.inode(self.inode).ghosts.is_empty() {
                    let (inode, _) = state.inode_mut(self.inode);
                    inode.evict(offset / sector_len, end.div_ceil(sector_len));
                }
                Ok(())
            })
    }
}

impl Drop for FaultFile {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.open_files -= 1;
        state.slot_mut(self.inode).handles -= 1;
    }
}

impl State {
    /// How much of a write reaches the cache before it fails: some whole sectors.
    pub(super) fn choose_part(&mut self, len: u64, offset: u64) -> u64 {
        let first = offset / self.sector_len;
        let sectors = (offset + len).div_ceil(self.sector_len) - first;
        match pick(&mut *self.chooser, sectors as usize) as u64 {
            0 => 0,
            written => ((first + written) * self.sector_len - offset).min(len),
        }
    }

    /// How much of a read comes before a damaged sector; the error if it begins in one.
    fn readable(&mut self, inode: usize, offset: u64, len: usize) -> io::Result<usize> {
        let sector_len = self.sector_len;
        let file = self.inode(inode);
        let end = file.len.min(offset.saturating_add(len as u64));
        if file.damaged.is_empty() || end <= offset {
            return Ok(len);
        }
        let range = offset / sector_len..end.div_ceil(sector_len);
        let Some((&sector, &damage)) = file.damaged.range(range).next() else {
            return Ok(len);
        };
        if sector * sector_len > offset {
            return Ok((sector * sector_len - offset) as usize);
        }
        if damage == Damage::Once {
            self.inode_mut(inode).0.damaged.remove(&sector);
        }
        Err(SystemError::Io.into())
    }
}

/// A held lock, on a file and on its directory. It does nothing to a machine that has crashed since: that one has none.
#[derive(Debug)]
pub(super) struct FaultLock {
    world: Arc<World>,
    inode: usize,
    directory: usize,
}

impl FaultLock {
    /// Takes the lock; the caller has checked that it is free.
    pub(super) fn take(
        world: Arc<World>,
        state: &mut State,
        inode: usize,
        directory: usize,
    ) -> Self {
        state.slot_mut(inode).locked = true;
        state.directories[directory].locked = true;
        state.open_files += 1;
        Self {
            world,
            inode,
            directory,
        }
    }
}

impl Drop for FaultLock {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.open_files -= 1;
        state.slot_mut(self.inode).locked = false;
        state.directories[self.directory].locked = false;
    }
}

impl StorageLock for FaultLock {}
