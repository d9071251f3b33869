//! What syncs do: to disk when they work, to the cache when they fail; and work in the background.

use std::sync::Arc;

use super::chooser::pick;
use super::config::{NameSync, SyncFailure};
use super::directory::{Directory, Node};
use super::world::{Health, State};

impl State {
    /// A sync of a file that works.
    pub(super) fn sync_file(&mut self, file: usize) {
        let sector_len = self.sector_len;
        if !self.inode(file).dirty.is_empty() || !self.inode(file).lengths.is_empty() {
            self.inode_mut(file).0.sync(sector_len);
        }
        if self.config.names == NameSync::WithFile {
            let node = Node::File(file);
            self.directories
                .iter_mut()
                .filter(|directory| directory.has_pending(node))
                .for_each(Directory::sync);
        }
    }

    /// A sync of a file that fails. Gives how many failures the caller has been told of with this one;
    /// `None` if it is not told of this one.
    pub(super) fn fail_file_sync(&mut self, file: usize) -> Option<u32> {
        let failure = self.config.sync_failure;
        if failure == SyncFailure::Lying {
            return None;
        }
        self.fail_write_back(file);
        let again = failure == SyncFailure::Btrfs && pick(&mut *self.chooser, 2) == 1;
        let told = failure != SyncFailure::Ext4Journal;
        let (inode, _) = self.inode_mut(file);
        inode.errors += 1;
        inode.error_reported = told;
        // Who has been told of one less is told again by the next sync.
        told.then(|| inode.errors - u32::from(again))
    }

    /// Some of the dirty sectors reach the disk; the cache takes the others for clean. Lengths stay dirty:
    /// they are metadata and go with the next commit.
    pub(super) fn fail_write_back(&mut self, file: usize) {
        let failure = self.config.sync_failure;
        let slot = self.slots[file]
            .as_mut()
            .expect("a file that is in use exists");
        let inode = Arc::make_mut(&mut slot.inode);
        for (sector, versions) in std::mem::take(&mut inode.dirty) {
            let content = versions.newest.content;
            let trapped = inode.trapped.contains(&sector);
            // A cut is metadata; only data that a write left in a page can fail to be written.
            if content.is_none() || !trapped && pick(&mut *self.chooser, 2) == 1 {
                inode.durable.set(sector, content);
                continue;
            }
            if failure == SyncFailure::Ext4 && inode.durable.get(sector).is_none() {
                inode.trapped.insert(sector);
            }
            if failure != SyncFailure::BtrfsRevert {
                inode.ghosts.insert(sector, content);
            }
        }
    }

    /// A sync of a directory that fails. Says whether the caller is told.
    pub(super) fn fail_directory_sync(&mut self, directory: usize) -> bool {
        match self.config.sync_failure {
            SyncFailure::Lying => return false,
            SyncFailure::Xfs => self.health = Health::ShutDown,
            SyncFailure::Btrfs | SyncFailure::BtrfsRevert => self.health = Health::ReadOnly,
            SyncFailure::Ext4 | SyncFailure::Ext4Journal => {}
        }
        let pending = self.directories[directory].pending();
        let written = pick(&mut *self.chooser, pending + 1);
        self.directories[directory].forget_after(written);
        true
    }

    /// One step of what kernels do unasked, if the chooser says so: write something back, or drop a
    /// clean page.
    pub(super) fn work_in_background(&mut self) {
        match pick(&mut *self.chooser, 4) {
            2 => self.write_something_back(),
            3 => self.evict_something(),
            _ => {}
        }
    }

    /// Makes one version of one sector durable, or one length.
    fn write_something_back(&mut self) {
        let dirty = |state: &Self, file: &usize| {
            state.slots[*file]
                .as_ref()
                .is_some_and(|slot| !slot.inode.dirty.is_empty() || !slot.inode.lengths.is_empty())
        };
        let files: Vec<usize> = (0..self.slots.len())
            .filter(|file| dirty(self, file))
            .collect();
        if files.is_empty() {
            return;
        }
        let file = files[pick(&mut *self.chooser, files.len())];
        let slot = self.slots[file].as_mut().expect("a dirty file exists");
        let inode = Arc::make_mut(&mut slot.inode);
        let at = pick(&mut *self.chooser, inode.dirty.len() + inode.lengths.len());
        let Some((&sector, versions)) = inode.dirty.iter_mut().nth(at) else {
            let length = at - inode.dirty.len();
            inode.write_length_back(length);
            return;
        };
        let version = pick(&mut *self.chooser, versions.count());
        if inode.trapped.contains(&sector) {
            return;
        }
        if version == versions.older.len() {
            let content = versions.newest.content.clone();
            inode.durable.set(sector, content);
            inode.dirty.remove(&sector);
        } else {
            let written = versions.older.drain(..=version).next_back();
            inode
                .durable
                .set(sector, written.and_then(|version| version.content));
        }
    }

    /// Drops one ghost from the cache.
    fn evict_something(&mut self) {
        let haunted = |slot: &Option<super::world::Slot>| {
            slot.as_ref()
                .is_some_and(|slot| !slot.inode.ghosts.is_empty())
        };
        let files: Vec<usize> = (0..self.slots.len())
            .filter(|file| haunted(&self.slots[*file]))
            .collect();
        if files.is_empty() {
            return;
        }
        let file = files[pick(&mut *self.chooser, files.len())];
        let ghosts = self.inode(file).ghosts.len();
        let at = pick(&mut *self.chooser, ghosts);
        let (inode, _) = self.inode_mut(file);
        let sector = *inode.ghosts.keys().nth(at).expect("the ghost was counted");
        inode.ghosts.remove(&sector);
    }
}
