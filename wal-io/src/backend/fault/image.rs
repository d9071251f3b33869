//! All bytes of a directory as plain data: to compare, to keep, to look at on a real disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::FaultStorage;
use super::chooser::Script;
use super::config::FaultConfig;
use super::directory::Node;
use super::inode::Inode;
use super::world::{HOST, State};

/// The contents of a directory and those below it. Names have `/` between a directory and what is in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Image {
    files: BTreeMap<String, Vec<u8>>,
    directories: BTreeSet<String>,
}

/// Names and lengths; the bytes would be too many.
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directories = self.directories.iter().map(|name| (format!("{name}/"), 0));
        let files = self
            .files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.len()));
        f.debug_map().entries(directories.chain(files)).finish()
    }
}

impl Image {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The files, by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Adds or replaces a file, and the directories above it.
    pub fn insert(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let above = name.match_indices('/').map(|(at, _)| name[..at].to_owned());
        self.directories.extend(above);
        self.files.insert(name.to_owned(), bytes.into());
    }

    /// Removes a file; gives its bytes.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files.remove(name)
    }

    /// Writes the image into the directory `path`, which is created if needed. Not durable.
    ///
    /// # Errors
    ///
    /// What the file system gave.
    pub fn write_to(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        fs::create_dir_all(path)?;
        for name in &self.directories {
            fs::create_dir_all(path.join(name))?;
        }
        for (name, bytes) in &self.files {
            fs::write(path.join(name), bytes)?;
        }
        Ok(())
    }

    /// Reads the directory `path`: its regular files and directories.
    ///
    /// # Errors
    ///
    /// What the file system gave.
    pub fn read_from(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut image = Self::new();
        image.read_directory(path.as_ref(), "")?;
        Ok(image)
    }

    fn read_directory(&mut self, path: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.read_directory(&entry.path(), &format!("{name}/"))?;
                self.directories.insert(name);
            } else if kind.is_file() {
                self.files.insert(name, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
}

impl FaultStorage {
    /// The directory as programs see it now. Not an operation: it is not counted and works without power.
    /// Empty if the directory does not exist.
    #[must_use]
    pub fn image(&self) -> Image {
        let state = self.world.lock();
        let mut image = Image::new();
        if let Some(directory) = state.resolve(&self.path) {
            collect(&state, directory, "", &mut image);
        }
        image
    }

    /// What the disk really holds now, behind the cache: what would be left if the power failed and nothing that was not synced
    /// had been written back. Where a sync has failed or lied, this and [`image`](Self::image) differ for good. Not an
    /// operation: it is not counted, and the machine goes on.
    #[must_use]
    pub fn on_disk(&self) -> Image {
        let state = self.world.lock();
        let left = state.after_crash(&mut Script::default());
        drop(state);
        Self::boot(left, Arc::clone(&self.path)).image()
    }

    /// A machine on which the directory exists and holds the image, all of it durable.
    #[must_use]
    pub fn from_image(config: FaultConfig, image: &Image) -> Self {
        let storage = Self::with_config(config);
        {
            let mut state = storage.world.lock();
            let root = state.make_directory(HOST, Arc::clone(&storage.path[0]));
            let mut made = BTreeMap::from([("", root)]);
            for name in &image.directories {
                let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
                let directory = state.make_directory(made[above], Arc::from(last));
                made.insert(name, directory);
            }
            for (name, bytes) in &image.files {
                let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
                let inode = Inode::from_bytes(bytes, state.sector_len);
                let file = state.add_file(Arc::from(last), Arc::new(inode));
                let seq = state.next_seq();
                state.directories[made[above]].link(Arc::from(last), Node::File(file), seq);
            }
            for directory in &mut state.directories {
                directory.sync();
            }
        }
        storage
    }
}

fn collect(state: &State, directory: usize, prefix: &str, image: &mut Image) {
    for (name, node) in state.directories[directory].names() {
        let name = format!("{prefix}{name}");
        match node {
            Node::File(file) => {
                let inode = state.inode(*file);
                let mut bytes = vec![0; inode.len as usize];
                inode.read(&mut bytes, 0, state.sector_len);
                image.files.insert(name, bytes);
            }
            Node::Directory(inner) => {
                collect(state, *inner, &format!("{name}/"), image);
                image.directories.insert(name);
            }
        }
    }
}
