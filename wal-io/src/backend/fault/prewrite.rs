//! Zeros written ahead of the data: what it does to a file, and whether the caller kept its promises. Absent: who may
//! write, and counting (see `file` and `world`).
//!
//! To the simulated machine it is a write like any other: not durable before a sync, and lost by one that fails. A real one
//! goes past the cache, so it loses less.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::config::Prewrite;
use super::plan::{Injected, Moment, PowerLost, SystemError};
use super::world::{Health, State, World};

/// A range that is being prewritten, for as long as this lives.
#[derive(Debug)]
pub(super) struct Running {
    world: Arc<World>,
    inode: usize,
    range: Range<u64>,
}

impl Running {
    /// Tells the machine of the range, and lets other threads have a go: a write of theirs to it is noticed.
    /// `None` where nothing can be prewritten.
    pub(super) fn begin(
        world: &Arc<World>,
        inode: usize,
        range: Range<u64>,
    ) -> io::Result<Option<Self>> {
        let mut state = world.lock();
        if state.health == Health::PowerOff {
            return Err(PowerLost::error());
        }
        if state.config.prewrite == Prewrite::Unsupported {
            return Ok(None);
        }
        state.slot_mut(inode).prewriting.push(range.clone());
        drop(state);
        std::thread::yield_now();
        Ok(Some(Self {
            world: Arc::clone(world),
            inode,
            range,
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        let running = &mut state.slot_mut(self.inode).prewriting;
        if let Some(at) = running.iter().position(|range| *range == self.range) {
            running.swap_remove(at);
        }
    }
}

impl State {
    /// Writes zeros to a range of bytes, its ends multiples of the sector size.
    ///
    /// # Panics
    ///
    /// If the range is not all reserved and zeros.
    pub(super) fn prewrite(
        &mut self,
        inode: usize,
        range: Range<u64>,
        injected: Injected,
    ) -> io::Result<()> {
        if self.slot(inode).altered {
            // It was damaged behind the back of the caller, whose promises are worth nothing now.
            if range.end > self.inode(inode).len {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        } else {
            self.check_promises(inode, &range);
        }
        let whole = range.end - range.start;
        let len = match injected {
            Injected::Error(SystemError::Interrupted) => 0,
            Injected::Error(_) | Injected::PowerCut(Moment::During) => {
                self.choose_part(whole, range.start)
            }
            _ => whole,
        };
        let sector_len = self.sector_len;
        let (file, seq) = self.inode_mut(inode);
        file.write(&vec![0; len as usize], range.start, sector_len, seq);
        match injected {
            Injected::Error(error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn check_promises(&self, inode: usize, range: &Range<u64>) {
        let slot = self.slot(inode);
        let (name, file) = (&slot.name, &slot.inode);
        let sectors = range.start / self.sector_len..range.end.div_ceil(self.sector_len);
        assert!(
            range.end <= file.len && file.allocated.missing(sectors.start, sectors.end) == 0,
            "{name:?}: bytes {range:?} are prewritten, but not all of them are reserved (the file has {} bytes)",
            file.len
        );
        for sector in sectors {
            let bytes = file.cached(sector).map_or(&[][..], |held| held.bytes());
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                let offset = sector * self.sector_len + at as u64;
                assert!(
                    !range.contains(&offset),
                    "{name:?}: bytes {range:?} are prewritten, but offset {offset} is not zero"
                );
            }
        }
    }

    /// That bytes which are written or cut off now are not being prewritten.
    ///
    /// # Panics
    ///
    /// If they are.
    pub(super) fn check_not_prewriting(&self, inode: usize, bytes: Range<u64>) {
        let slot = self.slot(inode);
        for running in &slot.prewriting {
            assert!(
                bytes.end <= running.start || running.end <= bytes.start || bytes.is_empty(),
                "{:?}: bytes {bytes:?} are written or cut off while {running:?} are prewritten",
                slot.name
            );
        }
    }
}
