//! The simulated directory as a [`Storage`].

use std::io;
use std::sync::Arc;

use super::FaultStorage;
use super::chooser::pick;
use super::config::Rename;
use super::directory::Node;
use super::file::{FaultFile, FaultLock};
use super::inode::Inode;
use super::operation::{Call, OperationKind};
use super::plan::{Injected, SystemError};
use super::world::{HOST, Health, State};
use crate::name::check_name;
use crate::{DirEntry, EntryKind, OpenMode, Place, Storage, StorageFile, StorageLock};

impl FaultStorage {
    fn call_here(kind: OperationKind, location: &str) -> Call<'_> {
        Call::named(kind, location)
    }

    /// The directory: the one that was found first, as a descriptor leads to it.
    fn here(&self, state: &State) -> io::Result<usize> {
        if let Some(directory) = self.held.get() {
            return Ok(*directory);
        }
        let outer = self.above.as_ref().and_then(|above| above.get());
        let found = match (outer, self.path.last()) {
            (Some(outer), Some(name)) => state.directory_in(*outer, name),
            _ => state.resolve(&self.path),
        };
        let directory = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(*self.held.get_or_init(|| directory))
    }

    /// Syncs a directory on the way to this one.
    fn sync_above(&self, path: &[Arc<str>]) -> io::Result<()> {
        self.sync_directory(path, |state| {
            state
                .resolve(path)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn sync_directory(
        &self,
        path: &[Arc<str>],
        find: impl FnOnce(&State) -> io::Result<usize>,
    ) -> io::Result<()> {
        let location = location(path);
        let call = Self::call_here(OperationKind::SyncDirectory, &location);
        self.world.perform(call, |state, injected| {
            let directory = find(state)?;
            match injected {
                Injected::Error(SystemError::Interrupted) => Err(SystemError::Interrupted.into()),
                Injected::Error(error) if state.fail_directory_sync(directory) => Err(error.into()),
                Injected::Error(_) => Ok(()),
                _ => {
                    state.directories[directory].sync();
                    state.collect_garbage();
                    Ok(())
                }
            }
        })
    }

    fn make_directory(&self, path: &[Arc<str>]) -> io::Result<()> {
        let location = location(path);
        let call = Self::call_here(OperationKind::MakeDirectory, &location);
        self.world.perform(call, |state, _| {
            let (name, parents) = path.split_last().expect("the host exists from the start");
            let parent = state.resolve(parents).ok_or(io::ErrorKind::NotFound)?;
            match state.directories[parent].get(name) {
                Some(Node::Directory(_)) => return Ok(()),
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => state.check_room_for_file()?,
            }
            state.make_directory(parent, Arc::clone(name));
            Ok(())
        })
    }
}

impl State {
    pub(super) fn make_directory(&mut self, parent: usize, name: Arc<str>) -> usize {
        let seq = self.next_seq();
        self.directories
            .push(super::directory::Directory::default());
        let made = self.directories.len() - 1;
        self.directories[parent].link(name, Node::Directory(made), seq);
        made
    }

    fn directory_in(&self, outer: usize, name: &str) -> Option<usize> {
        match self.directories[outer].get(name) {
            Some(Node::Directory(inner)) => Some(inner),
            _ => None,
        }
    }

    fn create_file(&mut self, directory: usize, name: &str) -> io::Result<usize> {
        if self.directories[directory].is_removed() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.health == Health::ReadOnly {
            return Err(SystemError::ReadOnly.into());
        }
        self.check_room_for_file()?;
        let name: Arc<str> = Arc::from(name);
        let inode = self.add_file(Arc::clone(&name), Arc::new(Inode::default()));
        let seq = self.next_seq();
        self.directories[directory].link(name, Node::File(inode), seq);
        Ok(inode)
    }

    /// A file that was to be made and could not be opened may be there all the same: a step after its creation has failed.
    fn leave_unopened(&mut self, directory: usize, name: &str, error: SystemError) {
        let before_it_was_made = [SystemError::Interrupted, SystemError::TooManyOpenFiles];
        if !before_it_was_made.contains(&error)
            && self.directories[directory].get(name).is_none()
            && pick(&mut *self.chooser, 2) == 1
        {
            // Where there is no room for it, it is not there.
            let _ = self.create_file(directory, name);
        }
    }

    fn file_here(&self, directory: usize, name: &str) -> io::Result<usize> {
        match self.directories[directory].get(name) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Storage for FaultStorage {
    fn create(&self) -> io::Result<()> {
        let existing = {
            let state = self.world.lock();
            (0..=self.path.len())
                .rev()
                .find(|depth| state.resolve(&self.path[..*depth]).is_some())
        };
        let existing = existing.unwrap_or(HOST);
        if existing > 0 {
            self.sync_above(&self.path[..existing - 1])?;
        }
        for depth in existing..self.path.len() {
            self.make_directory(&self.path[..=depth])?;
            self.sync_above(&self.path[..depth])?;
        }
        let state = self.world.lock();
        if state.health != Health::PowerOff {
            self.here(&state)?;
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let location = self.location();
        self.world.perform(
            Self::call_here(OperationKind::List, &location),
            |state, _| {
                state.check_open_files()?;
                let Ok(directory) = self.here(state) else {
                    let above = self.path.split_last();
                    let here = above.and_then(|(name, parents)| {
                        state.directories[state.resolve(parents)?].get(name)
                    });
                    return Err(match here {
                        Some(_) => io::ErrorKind::NotADirectory.into(),
                        None => io::ErrorKind::NotFound.into(),
                    });
                };
                if state.directories[directory].is_removed() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let entries = state.directories[directory].names().iter();
                let entry = |(name, node): (&Arc<str>, &Node)| DirEntry {
                    name: name.to_string(),
                    kind: match node {
                        Node::File(_) => EntryKind::File,
                        Node::Directory(_) => EntryKind::Directory,
                    },
                };
                Ok(entries.map(entry).collect())
            },
        )
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        let kind = match mode {
            OpenMode::CreateNew => OperationKind::CreateFile,
            OpenMode::Read | OpenMode::ReadWrite => OperationKind::Open,
        };
        self.world
            .perform(Call::named(kind, name), |state, injected| {
                let directory = self.here(state)?;
                if let Injected::Error(error) = injected {
                    state.leave_unopened(directory, name, error);
                    return Err(error.into());
                }
                state.check_open_files()?;
                let inode = match mode {
                    OpenMode::CreateNew => {
                        if state.directories[directory].get(name).is_some() {
                            return Err(io::ErrorKind::AlreadyExists.into());
                        }
                        state.create_file(directory, name)?
                    }
                    OpenMode::Read | OpenMode::ReadWrite => state.file_here(directory, name)?,
                };
                if mode == OpenMode::ReadWrite && state.health == Health::ReadOnly {
                    return Err(SystemError::ReadOnly.into());
                }
                let file = FaultFile::open(Arc::clone(&self.world), state, inode, mode);
                Ok(Arc::new(file) as Arc<dyn StorageFile>)
            })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let in_one_step = self.config().rename == Rename::Atomic;
        let call = Call {
            to: Some(to),
            ..Call::named(OperationKind::Rename, from)
        };
        self.world.perform(call, |state, _| {
            let directory = self.here(state)?;
            let inode = state.file_here(directory, from)?;
            if state.directories[directory].get(to).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let seq = state.next_seq();
            let to: Arc<str> = Arc::from(to);
            state.slot_mut(inode).name = Arc::clone(&to);
            let directory = &mut state.directories[directory];
            if in_one_step {
                directory.rename(Arc::from(from), to, Node::File(inode), seq);
            } else {
                directory.link(to, Node::File(inode), seq);
            }
            state.garbage = true;
            Ok(())
        })?;
        if in_one_step {
            return Ok(());
        }
        self.sync_dir()?;
        self.remove(from)
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        if from == to {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let call = Call {
            to: Some(to),
            ..Call::named(OperationKind::Rename, from)
        };
        self.world.perform(call, |state, _| {
            let directory = self.here(state)?;
            let inode = state.file_here(directory, from)?;
            if let Some(Node::Directory(_)) = state.directories[directory].get(to) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let seq = state.next_seq();
            let to: Arc<str> = Arc::from(to);
            state.slot_mut(inode).name = Arc::clone(&to);
            state.directories[directory].rename(Arc::from(from), to, Node::File(inode), seq);
            state.garbage = true;
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.world
            .perform(Call::named(OperationKind::Remove, name), |state, _| {
                let directory = self.here(state)?;
                state.file_here(directory, name)?;
                let seq = state.next_seq();
                state.directories[directory].unlink(Arc::from(name), seq);
                state.garbage = true;
                Ok(())
            })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sync_directory(&self.path, |state| self.here(state))
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        check_name(name)?;
        self.world
            .perform(Call::named(OperationKind::Lock, name), |state, _| {
                let directory = self.here(state)?;
                state.check_open_files()?;
                let inode = match state.directories[directory].get(name) {
                    None => state.create_file(directory, name)?,
                    Some(_) if state.health == Health::ReadOnly => {
                        return Err(SystemError::ReadOnly.into());
                    }
                    Some(_) => state.file_here(directory, name)?,
                };
                if state.slot(inode).locked || state.directories[directory].locked {
                    return Ok(None);
                }
                let lock = FaultLock::take(Arc::clone(&self.world), state, inode, directory);
                Ok(Some(Box::new(lock) as Box<dyn StorageLock>))
            })
    }

    /// Not an operation: it is not counted, and no fault strikes it.
    fn free_space(&self) -> io::Result<Option<u64>> {
        Ok(self.world.lock().free_space())
    }

    /// Not an operation: it is not counted, and no fault strikes it.
    fn place(&self) -> Place {
        let state = self.world.lock();
        match (self.held.get(), state.resolve(&self.path)) {
            _ if state.health == Health::PowerOff => Place::Here,
            (None, _) => Place::Here,
            (Some(_), None) => Place::Gone,
            (Some(held), Some(found)) if *held == found => Place::Here,
            (Some(_), Some(_)) => Place::Replaced,
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        check_name(name)?;
        let path = self.path.iter().cloned().chain([Arc::from(name)]).collect();
        Ok(Arc::new(Self {
            world: Arc::clone(&self.world),
            path,
            held: Arc::default(),
            above: Some(Arc::clone(&self.held)),
        }))
    }

    fn location(&self) -> String {
        location(&self.path)
    }
}

fn location(path: &[Arc<str>]) -> String {
    let mut location = String::from("fault:/");
    for (depth, name) in path.iter().enumerate() {
        if depth > 0 {
            location.push('/');
        }
        location.push_str(name);
    }
    location
}
