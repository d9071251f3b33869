//! A directory in memory. Absent: faults and crashes (see the fault backend), and limits on space.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory_file::{FileContents, MemoryFile};
use crate::name::check_name;
use crate::{DirEntry, EntryKind, OpenMode, Place, Storage, StorageFile, StorageLock};

/// A directory in memory, for tests and for data that need not outlive the process.
///
/// Clones share the directory, as several openers of one directory on disk would, and locks work
/// between them. Syncs do nothing: there is no crash that this storage survives.
///
/// ```
/// use wal_io::{MemoryStorage, OpenMode, Storage, StorageFileExt};
///
/// # fn main() -> std::io::Result<()> {
/// let dir = MemoryStorage::new();
/// dir.create()?;
/// dir.open("a", OpenMode::CreateNew)?.write_all_at(b"hello", 0)?;
/// assert_eq!(dir.clone().open("a", OpenMode::Read)?.len()?, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
    locked: Locked,
    /// Path from the tree's root: empty, or `/name/name`.
    path: String,
}

/// Every directory that exists, by path. The root has the path "".
type Tree = BTreeMap<String, BTreeMap<String, Node>>;

/// The directories that are locked, by path.
type Locked = Arc<Mutex<BTreeSet<String>>>;

#[derive(Debug)]
enum Node {
    File(Arc<FileContents>),
    Directory,
}

impl MemoryStorage {
    /// A directory of its own. Like any other it does not exist before [`Storage::create`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic while the lock was held cannot have left the tree half-changed: each change is one
    /// insertion or removal. So a poisoned lock is taken all the same.
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `action` on the entries of this directory.
    fn with<T>(
        &self,
        action: impl FnOnce(&mut BTreeMap<String, Node>) -> io::Result<T>,
    ) -> io::Result<T> {
        action(
            self.tree()
                .get_mut(&self.path)
                .ok_or(io::ErrorKind::NotFound)?,
        )
    }
}

impl Storage for MemoryStorage {
    fn create(&self) -> io::Result<()> {
        let mut tree = self.tree();
        tree.entry(String::new()).or_default();
        let mut path = String::new();
        for name in self.path.split('/').skip(1) {
            let parent = tree.get_mut(&path).ok_or(io::ErrorKind::NotFound)?;
            match parent.entry(name.to_owned()).or_insert(Node::Directory) {
                Node::Directory => {}
                Node::File(_) => return Err(io::ErrorKind::NotADirectory.into()),
            }
            path.push('/');
            path.push_str(name);
            tree.entry(path.clone()).or_default();
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let tree = self.tree();
        if let Some(entries) = tree.get(&self.path) {
            let entry = |(name, node): (&String, &Node)| DirEntry {
                name: name.clone(),
                kind: match node {
                    Node::File(_) => EntryKind::File,
                    Node::Directory => EntryKind::Directory,
                },
            };
            return Ok(entries.iter().map(entry).collect());
        }
        let here = self
            .path
            .rsplit_once('/')
            .and_then(|(up, name)| tree.get(up)?.get(name));
        match here {
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        check_name(name)?;
        self.with(|entries| match (entries.get(name), mode) {
            (Some(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(io::ErrorKind::NotFound.into()),
            (Some(Node::Directory), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(bytes)), _) => {
                Ok(Arc::new(MemoryFile::new(Arc::clone(bytes), mode)) as Arc<dyn StorageFile>)
            }
            (None, OpenMode::CreateNew) => {
                let bytes = Arc::new(FileContents::default());
                entries.insert(name.to_owned(), Node::File(Arc::clone(&bytes)));
                Ok(Arc::new(MemoryFile::new(bytes, mode)) as Arc<dyn StorageFile>)
            }
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.with(|entries| {
            let Some(Node::File(bytes)) = entries.get(from) else {
                return Err(missing_file(entries.get(from)));
            };
            if entries.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let bytes = Arc::clone(bytes);
            entries.remove(from);
            entries.insert(to.to_owned(), Node::File(bytes));
            Ok(())
        })
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        if from == to {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.with(|entries| {
            let Some(Node::File(bytes)) = entries.get(from) else {
                return Err(missing_file(entries.get(from)));
            };
            if matches!(entries.get(to), Some(Node::Directory)) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let bytes = Arc::clone(bytes);
            entries.remove(from);
            if let Some(Node::File(old)) = entries.insert(to.to_owned(), Node::File(bytes)) {
                old.unlink();
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.with(|entries| {
            let Some(Node::File(_)) = entries.get(name) else {
                return Err(missing_file(entries.get(name)));
            };
            if let Some(Node::File(bytes)) = entries.remove(name) {
                bytes.unlink();
            }
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.with(|_| Ok(()))
    }

    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        check_name(name)?;
        self.with(|entries| {
            let node = entries
                .entry(name.to_owned())
                .or_insert_with(|| Node::File(Arc::default()));
            if let Node::Directory = node {
                return Err(missing_file(Some(node)));
            }
            let lock = MemoryLock::take(&self.locked, &self.path);
            Ok(lock.map(|lock| Box::new(lock) as Box<dyn StorageLock>))
        })
    }

    fn place(&self) -> Place {
        Place::Here
    }

    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        check_name(name)?;
        let path = format!("{}/{name}", self.path);
        Ok(Arc::new(Self {
            tree: Arc::clone(&self.tree),
            locked: Arc::clone(&self.locked),
            path,
        }))
    }

    fn location(&self) -> String {
        format!(
            "memory:{}",
            if self.path.is_empty() {
                "/"
            } else {
                &self.path
            }
        )
    }
}

/// A held lock on a directory in memory.
#[derive(Debug)]
struct MemoryLock {
    locked: Locked,
    path: String,
}

impl MemoryLock {
    /// `None` if the lock is held.
    fn take(locked: &Locked, path: &str) -> Option<Self> {
        let mut held = locked.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `then_some`: a value made and dropped would release what another holds.
        held.insert(path.to_owned()).then(|| Self {
            locked: Arc::clone(locked),
            path: path.to_owned(),
        })
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut held = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.path);
    }
}

impl StorageLock for MemoryLock {}

fn missing_file(node: Option<&Node>) -> io::Error {
    match node {
        Some(Node::Directory) => io::ErrorKind::IsADirectory.into(),
        _ => io::ErrorKind::NotFound.into(),
    }
}
