//! Limits of the machine: space on disk, open files. Space is counted in whole sectors.

use std::io;

use super::directory::Node;
use super::plan::SystemError;
use super::world::State;

impl State {
    /// Bytes taken by files that have a name or are open.
    pub(super) fn used_space(&self) -> u64 {
        let mut named = vec![false; self.slots.len()];
        for node in self
            .directories
            .iter()
            .flat_map(|directory| directory.names().values())
        {
            if let Node::File(inode) = node {
                named[*inode] = true;
            }
        }
        let slots = self.slots.iter().zip(named);
        let counted = slots.filter_map(|(slot, named)| {
            slot.as_ref()
                .filter(|slot| named || slot.handles > 0 || slot.locked)
        });
        counted
            .map(|slot| slot.inode.allocated.count() * self.sector_len)
            .sum()
    }

    /// Bytes still free, if there is a limit.
    pub(super) fn free_space(&self) -> Option<u64> {
        let capacity = self.limits.capacity?;
        Some(capacity.saturating_sub(self.used_space()))
    }

    /// Sectors still free.
    fn free_sectors(&self) -> u64 {
        self.limits.capacity.map_or(u64::MAX, |capacity| {
            capacity.saturating_sub(self.used_space()) / self.sector_len
        })
    }

    /// Whether a new file finds any room.
    pub(super) fn check_room_for_file(&self) -> io::Result<()> {
        if self.limits.capacity.is_some() && self.free_sectors() == 0 {
            return Err(SystemError::NoSpace.into());
        }
        Ok(())
    }

    /// How many of `len` bytes at `offset` find room; the error if none does.
    pub(super) fn room_for_write(&self, inode: usize, offset: u64, len: u64) -> io::Result<u64> {
        if self.limits.capacity.is_none() || len == 0 {
            return Ok(len);
        }
        let allocated = &self.inode(inode).allocated;
        let (first, last) = (
            offset / self.sector_len,
            (offset + len).div_ceil(self.sector_len),
        );
        let free = self.free_sectors();
        if allocated.missing(first, last) <= free {
            return Ok(len);
        }
        let mut taken = 0;
        let fits = (first..last).take_while(|sector| {
            taken += allocated.missing(*sector, sector + 1);
            taken <= free
        });
        match fits.last() {
            Some(sector) => Ok(((sector + 1) * self.sector_len - offset).min(len)),
            None => Err(SystemError::NoSpace.into()),
        }
    }

    /// Whether the whole range finds room.
    pub(super) fn check_room(&self, inode: usize, offset: u64, len: u64) -> io::Result<()> {
        if self.room_for_write(inode, offset, len)? < len {
            return Err(SystemError::NoSpace.into());
        }
        Ok(())
    }

    pub(super) fn check_open_files(&self) -> io::Result<()> {
        if self
            .limits
            .open_files
            .is_some_and(|limit| self.open_files >= limit)
        {
            return Err(SystemError::TooManyOpenFiles.into());
        }
        Ok(())
    }
}
