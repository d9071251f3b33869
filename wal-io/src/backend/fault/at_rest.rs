//! Damage to data at rest: what disks, cables and operators do to files that nobody is writing. Absent:
//! crashes, which damage only what was not synced.
//!
//! Each of these first writes out whatever is cached, as a clean unmount would, and is done at once and
//! durably. None is an operation: none is counted, recorded or struck by a planned fault.

use std::io;
use std::sync::Arc;

use super::FaultStorage;
use super::crash::garbage;
use super::directory::Node;
use super::image::Image;
use super::inode::{Damage, Inode};
use super::world::State;

/// A sector of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// The number of the sector in it, from 0.
    pub sector: u64,
}

/// What [`FaultStorage::fill_sector`] puts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fill {
    /// Bytes 0x00.
    Zeros,
    /// Bytes 0xFF.
    Ones,
    /// Bytes that nobody wrote; the number says which.
    Garbage(u64),
}

/// Damage at rest. Each call gives `NotFound` if a file it names does not exist, and `InvalidInput` if a
/// sector or bit is not inside its file.
impl FaultStorage {
    /// Inverts `count` bits in a row, from bit number `first` of the file (bit 0 is the lowest of byte 0).
    ///
    /// # Errors
    ///
    /// See above.
    pub fn flip_bits(&self, name: &str, first: u64, count: u32) -> io::Result<()> {
        self.damage_file(name, |inode, sector_len| {
            let end = first
                .checked_add(u64::from(count))
                .ok_or(io::ErrorKind::InvalidInput)?;
            let (from, to) = (first / 8, end.div_ceil(8));
            let mut bytes = read(inode, from, to, sector_len)?;
            for bit in first - from * 8..end - from * 8 {
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            write(inode, &bytes, from, sector_len);
            Ok(())
        })
    }

    /// Writes bytes over those at `offset`, and past the end if they are more.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.damage_file(name, |inode, sector_len| {
            write(inode, bytes, offset, sector_len);
            Ok(())
        })
    }

    /// Fills a sector (the part of it that the file has).
    ///
    /// # Errors
    ///
    /// See above.
    pub fn fill_sector(&self, at: Site<'_>, fill: Fill) -> io::Result<()> {
        self.damage_file(at.file, |inode, sector_len| {
            let (from, to) = extent(inode, at.sector, sector_len)?;
            let bytes = match fill {
                Fill::Zeros => vec![0; sector_len as usize],
                Fill::Ones => vec![0xFF; sector_len as usize],
                Fill::Garbage(salt) => garbage(at.sector, salt, sector_len as usize)
                    .bytes()
                    .to_vec(),
            };
            write(inode, &bytes[..(to - from) as usize], from, sector_len);
            Ok(())
        })
    }

    /// Puts the content of one sector into another, which keeps its length.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn copy_sector(&self, from: Site<'_>, to: Site<'_>) -> io::Result<()> {
        let mut content = self.damage_file(from.file, |inode, sector_len| {
            let (start, end) = extent(inode, from.sector, sector_len)?;
            read(inode, start, end, sector_len)
        })?;
        self.damage_file(to.file, |inode, sector_len| {
            let (start, end) = extent(inode, to.sector, sector_len)?;
            content.resize((end - start) as usize, 0);
            write(inode, &content, start, sector_len);
            Ok(())
        })
    }

    /// Puts back what a sector held in an older image: the disk lost a write that it had confirmed.
    ///
    /// # Errors
    ///
    /// See above; `NotFound` also if the image has no such file. What the image's file did not reach is
    /// zeros.
    pub fn revert_sector(&self, at: Site<'_>, older: &Image) -> io::Result<()> {
        let old = older.get(at.file).ok_or(io::ErrorKind::NotFound)?;
        self.damage_file(at.file, |inode, sector_len| {
            let (start, end) = extent(inode, at.sector, sector_len)?;
            let from = (start as usize).min(old.len());
            let mut content = old[from..(end as usize).min(old.len())].to_vec();
            content.resize((end - start) as usize, 0);
            write(inode, &content, start, sector_len);
            Ok(())
        })
    }

    /// The last write of the sector `meant` went to `landed` instead: `landed` holds its bytes, `meant`
    /// what it held in an older image.
    ///
    /// # Errors
    ///
    /// See above, and [`revert_sector`](Self::revert_sector).
    pub fn misdirect_sector(
        &self,
        meant: Site<'_>,
        landed: Site<'_>,
        older: &Image,
    ) -> io::Result<()> {
        self.copy_sector(meant, landed)?;
        self.revert_sector(meant, older)
    }

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    ///
    /// See above; `InvalidInput` if it is shorter already.
    pub fn truncate_file(&self, name: &str, len: u64) -> io::Result<()> {
        self.damage_file(name, |inode, sector_len| {
            if len > inode.len {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            inode.set_len(len, sector_len, &mut 0);
            Ok(())
        })
    }

    /// Adds bytes at the end of the file.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn extend_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.damage_file(name, |inode, sector_len| {
            write(inode, bytes, inode.len, sector_len);
            Ok(())
        })
    }

    /// Makes reads of a sector fail with `EIO`, until it is written again or for one time.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn damage_sector(&self, at: Site<'_>, damage: Damage) -> io::Result<()> {
        self.damage_file(at.file, |inode, sector_len| {
            extent(inode, at.sector, sector_len)?;
            inode.damaged.insert(at.sector, damage);
            Ok(())
        })
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        self.damage_names(|state, directory| {
            file_in(state, directory, name)?;
            let seq = state.next_seq();
            state.directories[directory].unlink(Arc::from(name), seq);
            Ok(())
        })
    }

    /// Puts a copy of the file `from` under the name `to`, replacing what was there.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn duplicate_file(&self, from: &str, to: &str) -> io::Result<()> {
        self.damage_names(|state, directory| {
            let file = file_in(state, directory, from)?;
            let copy = Arc::clone(&state.slot(file).inode);
            put_file(state, directory, to, copy);
            Ok(())
        })
    }

    /// Exchanges the contents of two files.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn swap_files(&self, one: &str, other: &str) -> io::Result<()> {
        self.damage_names(|state, directory| {
            let first = Arc::clone(&state.slot(file_in(state, directory, one)?).inode);
            let second = Arc::clone(&state.slot(file_in(state, directory, other)?).inode);
            put_file(state, directory, one, second);
            put_file(state, directory, other, first);
            Ok(())
        })
    }

    /// Puts back the file as it was in an older image, whether it exists now or not.
    ///
    /// # Errors
    ///
    /// `NotFound` if the image has no such file.
    pub fn restore_file(&self, name: &str, older: &Image) -> io::Result<()> {
        let old = older.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.damage_names(|state, directory| {
            let inode = Inode::from_bytes(old, state.sector_len);
            put_file(state, directory, name, Arc::new(inode));
            Ok(())
        })
    }

    /// Runs `action` on a file that is wholly on disk, and leaves it so.
    fn damage_file<T>(
        &self,
        name: &str,
        action: impl FnOnce(&mut Inode, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.world.lock();
        let directory = state.resolve(&self.path).ok_or(io::ErrorKind::NotFound)?;
        let file = file_in(&state, directory, name)?;
        let sector_len = state.sector_len;
        state.slot_mut(file).altered = true;
        let (inode, _) = state.inode_mut(file);
        inode.settle(sector_len);
        let result = action(inode, sector_len);
        inode.settle(sector_len);
        result
    }

    /// Runs `action` on the names of the directory, all durable afterwards.
    fn damage_names(
        &self,
        action: impl FnOnce(&mut State, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.world.lock();
        let directory = state.resolve(&self.path).ok_or(io::ErrorKind::NotFound)?;
        let result = action(&mut state, directory);
        state.directories[directory].sync();
        state.garbage = true;
        state.collect_garbage();
        result
    }
}

fn file_in(state: &State, directory: usize, name: &str) -> io::Result<usize> {
    match state.directories[directory].get(name) {
        Some(Node::File(file)) => Ok(file),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn put_file(state: &mut State, directory: usize, name: &str, mut inode: Arc<Inode>) {
    let sector_len = state.sector_len;
    if !inode.is_clean() {
        Arc::make_mut(&mut inode).settle(sector_len);
    }
    let name: Arc<str> = Arc::from(name);
    let file = state.add_file(Arc::clone(&name), inode);
    let seq = state.next_seq();
    state.directories[directory].link(name, Node::File(file), seq);
}

/// Where a sector lies in the file, as offsets.
fn extent(inode: &Inode, sector: u64, sector_len: u64) -> io::Result<(u64, u64)> {
    let from = sector
        .checked_mul(sector_len)
        .ok_or(io::ErrorKind::InvalidInput)?;
    if from >= inode.len {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((from, (from + sector_len).min(inode.len)))
}

fn read(inode: &Inode, from: u64, to: u64, sector_len: u64) -> io::Result<Vec<u8>> {
    if to > inode.len {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = vec![0; (to - from) as usize];
    inode.read(&mut bytes, from, sector_len);
    Ok(bytes)
}

fn write(inode: &mut Inode, bytes: &[u8], offset: u64, sector_len: u64) {
    // The numbers of changes only matter until the file is settled.
    inode.write(bytes, offset, sector_len, &mut 0);
}

impl Inode {
    /// All that is dirty is written, all that is cached is dropped.
    fn settle(&mut self, sector_len: u64) {
        self.sync(sector_len);
        self.ghosts.clear();
    }
}
