//! Changes from outside to a directory in use: it is moved, replaced or deleted, or the name of an open file is deleted. Damage
//! to bytes is in `at_rest`.
//!
//! Each of these is done at once and durably. None is an operation: none is counted, recorded or struck by a planned fault.

use std::io;
use std::sync::{Arc, OnceLock};

use super::FaultStorage;
use super::directory::Node;
use super::world::State;

impl FaultStorage {
    /// Moves the directory to another name beside its own. Gives the storage there.
    ///
    /// This storage keeps using the directory that it has found, if it has found it. Its [`place`](crate::Storage::place) then
    /// is [`Gone`](crate::Place::Gone).
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no directory at the path, `AlreadyExists` if the new name is in use.
    pub fn move_directory(&self, to: &str) -> io::Result<Self> {
        let mut state = self.world.lock();
        let (outer, name, directory) = self.entry(&state)?;
        if state.directories[outer].get(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let seq = state.next_seq();
        let moved = Node::Directory(directory);
        state.directories[outer].rename(name, Arc::from(to), moved, seq);
        state.directories[outer].sync();
        drop(state);
        Ok(self.beside(to))
    }

    /// A new storage at the same path, which has found no directory yet, as in a program that starts now.
    #[must_use]
    pub fn at_the_same_path(&self) -> Self {
        Self {
            world: Arc::clone(&self.world),
            path: Arc::clone(&self.path),
            held: Arc::new(OnceLock::new()),
            above: None,
        }
    }

    /// The directory of another name beside this one, whether it exists or not.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let above = self.path.iter().take(self.path.len().saturating_sub(1));
        Self {
            world: Arc::clone(&self.world),
            path: above.cloned().chain([Arc::from(name)]).collect(),
            held: Arc::default(),
            above: None,
        }
    }

    /// Deletes the directory and all that is in it, as `rm -rf` does. Open files stay usable.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no directory at the path.
    pub fn remove_directory(&self) -> io::Result<()> {
        let mut state = self.world.lock();
        let (outer, name, directory) = self.entry(&state)?;
        state.remove_tree(directory);
        let seq = state.next_seq();
        state.directories[outer].unlink(name, seq);
        state.directories[outer].sync();
        state.garbage = true;
        Ok(())
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file or no directory, `AlreadyExists` if the new name is in use.
    pub fn link_file(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.world.lock();
        let (_, _, directory) = self.entry(&state)?;
        let names = &state.directories[directory];
        let file = match (names.get(from), names.get(to)) {
            (_, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), None) => file,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let seq = state.next_seq();
        state.directories[directory].link(Arc::from(to), Node::File(file), seq);
        state.directories[directory].sync();
        Ok(())
    }

    /// The directory above the one at the path, its name there, and the directory itself.
    fn entry(&self, state: &State) -> io::Result<(usize, Arc<str>, usize)> {
        let (name, above) = self.path.split_last().ok_or(io::ErrorKind::NotFound)?;
        let outer = state.resolve(above).ok_or(io::ErrorKind::NotFound)?;
        let directory = state.resolve(&self.path).ok_or(io::ErrorKind::NotFound)?;
        Ok((outer, Arc::clone(name), directory))
    }
}

impl State {
    fn remove_tree(&mut self, directory: usize) {
        let inner: Vec<usize> = self.directories[directory]
            .names()
            .values()
            .filter_map(|node| match node {
                Node::Directory(inner) => Some(*inner),
                Node::File(_) => None,
            })
            .collect();
        for inner in inner {
            self.remove_tree(inner);
        }
        self.directories[directory].remove_all();
    }
}
