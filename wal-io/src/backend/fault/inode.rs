//! A file: what is durable, what the cache shows, and every version in between. Absent: names, handles,
//! and when things fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ranges::Ranges;
use super::sectors::{Content, Sector, SectorMap, cut};

/// Longest file in bytes.
pub(super) const MAX_LEN: u64 = 1 << 36;

/// A content of one sector that is not durable; `seq` is its place among all changes of the machine.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) seq: u64,
    pub(super) content: Content,
}

/// Every version of one sector since it was last durable. Most have one; it costs no allocation.
#[derive(Debug, Clone)]
pub(super) struct Versions {
    pub(super) older: Vec<Version>,
    pub(super) newest: Version,
}

impl Versions {
    /// In the order of writing.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Version> {
        self.older.iter().chain([&self.newest])
    }

    pub(super) fn count(&self) -> usize {
        self.older.len() + 1
    }
}

/// A length that is not durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub(super) seq: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether a write made it, rather than `set_len` or `allocate`.
    pub(super) by_write: bool,
}

/// Reads of a damaged sector fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The first read fails, later ones work.
    Once,
    /// Every read fails until the sector is written again.
    Lasting,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What is on disk. May hold sectors behind `durable_len`, written before the length was.
    pub(super) durable: SectorMap,
    pub(super) durable_len: u64,
    /// The length that programs see. What they see behind it is zeros.
    pub(super) len: u64,
    pub(super) dirty: BTreeMap<u64, Versions>,
    pub(super) lengths: Vec<Length>,
    /// Clean in the cache, but not what is on disk: left by a failed sync.
    pub(super) ghosts: BTreeMap<u64, Content>,
    /// Sectors that later syncs claim to write and do not; see `SyncFailure::Ext4`.
    pub(super) trapped: BTreeSet<u64>,
    pub(super) allocated: Ranges,
    pub(super) damaged: BTreeMap<u64, Damage>,
    /// Failed write-backs so far, and whether the last of them was told to anybody.
    pub(super) errors: u32,
    pub(super) error_reported: bool,
}

impl Inode {
    /// Of a file whose bytes are on disk.
    pub(super) fn from_bytes(bytes: &[u8], sector_len: u64) -> Self {
        let mut inode = Self {
            len: bytes.len() as u64,
            durable_len: bytes.len() as u64,
            ..Self::default()
        };
        inode.allocated.add(0, inode.len.div_ceil(sector_len));
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len().next_multiple_of(sector_len as usize), 0);
        let buffer: Arc<[u8]> = buffer.into();
        for (sector, start) in (0..buffer.len()).step_by(sector_len as usize).enumerate() {
            let content = Sector::new(&buffer, start, sector_len as usize);
            if content.bytes().iter().any(|byte| *byte != 0) {
                inode.durable.set(sector as u64, Some(content));
            }
        }
        inode
    }

    /// What programs see in a sector.
    pub(super) fn cached(&self, sector: u64) -> Option<&Sector> {
        if let Some(versions) = self.dirty.get(&sector) {
            return versions.newest.content.as_ref();
        }
        if let Some(ghost) = self.ghosts.get(&sector) {
            return ghost.as_ref();
        }
        self.durable.get(sector)
    }

    /// Copies what programs see from `offset` on into `buf`; gives how much there was.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64, sector_len: u64) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < n {
            let at = offset + done as u64;
            let (sector, start) = (at / sector_len, (at % sector_len) as usize);
            let piece = (n - done).min(sector_len as usize - start);
            let target = &mut buf[done..done + piece];
            match self.cached(sector) {
                Some(content) => target.copy_from_slice(&content.bytes()[start..start + piece]),
                None => target.fill(0),
            }
            done += piece;
        }
        n
    }

    /// Writes into the cache. Each sector gets a version; the length comes first, so that a prefix of
    /// the changes has the sectors it has.
    pub(super) fn write(&mut self, buf: &[u8], offset: u64, sector_len: u64, seq: &mut u64) {
        if buf.is_empty() {
            return;
        }
        let end = offset + buf.len() as u64;
        let (first, last) = (offset / sector_len, end.div_ceil(sector_len));
        let mut buffer: Arc<[u8]> =
            std::iter::repeat_n(0, ((last - first) * sector_len) as usize).collect();
        let bytes = Arc::get_mut(&mut buffer).expect("a new buffer is not shared");
        for edge in [first, last - 1] {
            if let Some(content) = self.cached(edge) {
                let start = ((edge - first) * sector_len) as usize;
                bytes[start..start + sector_len as usize].copy_from_slice(content.bytes());
            }
        }
        let start = (offset - first * sector_len) as usize;
        bytes[start..start + buf.len()].copy_from_slice(buf);
        self.grow(end, true, seq);
        self.allocated.add(first, last);
        for sector in first..last {
            let start = ((sector - first) * sector_len) as usize;
            let content = Some(Sector::new(&buffer, start, sector_len as usize));
            self.put(sector, content, seq);
            self.damaged.remove(&sector);
        }
    }

    /// Adds a version of a sector.
    fn put(&mut self, sector: u64, content: Content, seq: &mut u64) {
        *seq += 1;
        let version = Version { seq: *seq, content };
        match self.dirty.entry(sector) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Versions {
                    older: Vec::new(),
                    newest: version,
                });
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let versions = entry.get_mut();
                let older = std::mem::replace(&mut versions.newest, version);
                versions.older.push(older);
            }
        }
        if !self.ghosts.is_empty() {
            self.ghosts.remove(&sector);
        }
    }

    pub(super) fn grow(&mut self, to: u64, by_write: bool, seq: &mut u64) {
        if to > self.len {
            *seq += 1;
            self.lengths.push(Length {
                seq: *seq,
                from: self.len,
                to,
                by_write,
            });
            self.len = to;
        }
    }

    pub(super) fn set_len(&mut self, to: u64, sector_len: u64, seq: &mut u64) {
        if to >= self.len {
            self.grow(to, false, seq);
            return;
        }
        *seq += 1;
        self.lengths.push(Length {
            seq: *seq,
            from: self.len,
            to,
            by_write: false,
        });
        self.len = to;
        let edge = (to % sector_len) as usize;
        let first_gone = to.div_ceil(sector_len);
        if edge != 0 && self.cached(first_gone - 1).is_some() {
            let content = cut(self.cached(first_gone - 1), edge);
            self.put(first_gone - 1, content, seq);
        }
        // What is cut off reads as zeros should the file grow again.
        let mut gone: BTreeSet<u64> = self.durable.from(first_gone).collect();
        gone.extend(self.dirty.range(first_gone..).map(|(sector, _)| *sector));
        gone.extend(self.ghosts.range(first_gone..).map(|(sector, _)| *sector));
        for sector in gone {
            self.put(sector, None, seq);
        }
        self.trapped.split_off(&first_gone);
        self.damaged.split_off(&first_gone);
        self.allocated.truncate(first_gone);
    }

    /// A sync that works: all that the cache knows to be dirty is durable.
    pub(super) fn sync(&mut self, sector_len: u64) {
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            if self.trapped.contains(&sector) {
                self.ghosts.insert(sector, versions.newest.content);
            } else {
                self.durable.set(sector, versions.newest.content);
            }
        }
        if !self.lengths.is_empty() {
            self.lengths.clear();
            self.durable.truncate(self.len.div_ceil(sector_len));
            self.durable_len = self.len;
        }
    }

    /// One length reaches the disk, and those before it no longer can. What a cut leaves behind the
    /// length stays: its sectors have versions of zeros to come.
    pub(super) fn write_length_back(&mut self, at: usize) {
        self.durable_len = self.lengths[at].to;
        self.lengths.drain(..=at);
    }

    /// Whether a crash would find anything else than what is durable now.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.lengths.is_empty() && self.ghosts.is_empty()
    }

    /// Drops clean pages of a range of sectors: ghosts vanish, reads show the disk.
    pub(super) fn evict(&mut self, first: u64, end: u64) {
        if !self.ghosts.is_empty() {
            self.ghosts
                .retain(|sector, _| !(first..end).contains(sector));
        }
    }
}
