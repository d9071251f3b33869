//! The directory: [`Storage`] and what its calls give. Absent: paths, and names with a meaning.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::file::StorageFile;

/// A directory of files.
///
/// Names are plain names (see [`check_name`](crate::check_name)); each method refuses any other with
/// `InvalidInput`. A storage is shared between threads; calls on different names do not wait for each
/// other longer than the file system makes them.
///
/// # Durability
///
/// A directory is data of its own. A created, renamed or removed name is durable only after
/// [`sync_dir`](Storage::sync_dir) returned `Ok`; until then a power loss may undo it, even if the
/// file's bytes were synced. A process kill undoes nothing.
///
/// # Errors
///
/// Every method returns the operating system's error unchanged where there is one, so that
/// `raw_os_error` tells `ENOSPC` from `EDQUOT`. After an error from a sync the state of what it should
/// have made durable is unknown for good; see [`StorageFile::sync_data`].
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Makes the directory exist. Does nothing to what is in it. Idempotent.
    ///
    /// Missing parents are created from the top down, each one's own parent synced after it. The parent
    /// of the deepest directory that existed already is synced too, since an earlier process may have
    /// died between making it and that sync.
    ///
    /// # Durability
    ///
    /// On return the directory and every parent it needed are durable. If a parent may be written but not read, its file system
    /// is synced instead. If the deepest existing directory is the root of a mounted file system, its parent is not synced: no
    /// process can have created it there.
    ///
    /// # Errors
    ///
    /// `NotADirectory` or `AlreadyExists` if something on the way is no directory; otherwise what making
    /// or syncing a directory gave.
    fn create(&self) -> io::Result<()>;

    /// The entries of the directory, in no order, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// `NotFound` if the directory does not exist, `NotADirectory` if it is something else.
    fn list(&self) -> io::Result<Vec<DirEntry>>;

    /// Opens the file `name`. A symbolic link of that name is refused, not followed.
    ///
    /// A file stays usable through its handle after it was renamed or removed.
    ///
    /// # Durability
    ///
    /// A file made by [`OpenMode::CreateNew`] can vanish in a power loss until
    /// [`sync_dir`](Storage::sync_dir) returned `Ok`, whatever was synced inside it.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file (or no directory), `AlreadyExists` for `CreateNew` on a name
    /// in use, an error of no fixed kind if `name` is not a regular file.
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames the file `from` to `to`. Never replaces a file: a name in use is left alone. Files only.
    ///
    /// # Durability
    ///
    /// Not durable before [`sync_dir`](Storage::sync_dir). Until then the file has one of the two names after a crash. If the
    /// file system cannot rename without replacing, the new name is linked, the directory is synced, and the old name is
    /// removed. A crash or an error in between leaves **both** names, and [`StorageFile::links`] shows it.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no `from`, `AlreadyExists` if `to` exists, whatever it is, or if both names are the same.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Renames the file `from` to `to`, and replaces the file that has this name, if there is one. Open handles of the replaced
    /// file stay usable. Files only.
    ///
    /// # Durability
    ///
    /// Not durable before [`sync_dir`](Storage::sync_dir). Until then, `to` is the old file or the new one after a crash. It is
    /// never missing if it was there before.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no `from`, `InvalidInput` if both names are the same, an error of no fixed kind if `to` is a
    /// directory.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the file `name`. Open handles stay usable; the space is freed with the last of them.
    ///
    /// # Durability
    ///
    /// A power loss before [`sync_dir`](Storage::sync_dir) can bring the file back.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file; an error of no fixed kind if it is a directory.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in the directory durable. Says nothing of files' bytes.
    ///
    /// # Durability
    ///
    /// All that returned before this call began survives power loss when it returns `Ok`. On Windows the
    /// disk backend does nothing here: the platform has no such call, and its file systems journal names.
    ///
    /// # Errors
    ///
    /// `NotFound` if the directory does not exist. After any other error the state of every unsynced
    /// name is unknown, and a later `Ok` proves nothing about it.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the exclusive lock on the directory, without waiting. The lock is on the file `name`, which
    /// is created if needed, and on the directory itself: at most one lock is held at a time, whatever
    /// its name.
    ///
    /// `None` means that someone else holds it: another process, or another handle in this one. The lock ends when the value is
    /// dropped in the process that took it, or when that process ends, however it ends. A fork of the holder does not end it.
    ///
    /// The file must never be deleted. If the file system can lock directories, that lets no second holder in. If it cannot
    /// (some network file systems), only the file is locked, and deleting it lets two holders in.
    ///
    /// # Errors
    ///
    /// What opening or locking the file gave; `Unsupported` where the file system has no locks.
    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>>;

    /// Bytes that this user can still allocate on the file system of the directory, if it says; otherwise `None`. Other
    /// processes or a quota may leave less.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    fn free_space(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Whether the path by which this directory was found still leads to it.
    ///
    /// All other calls use the directory that was found first, wherever it was moved to. A system error says nothing about the
    /// directory, so it counts as [`Place::Here`].
    fn place(&self) -> Place;

    /// The directory `name` inside this one, as a storage. Touches nothing: the directory need not
    /// exist, and [`create`](Storage::create) on the result makes it (and this one).
    ///
    /// # Errors
    ///
    /// Only `InvalidInput`, for a name that is not plain.
    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>>;

    /// Where this is, for messages: the path of a directory on disk. Not for use as a path.
    fn location(&self) -> String;
}

/// An entry of a directory, from [`Storage::list`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirEntry {
    /// The name. Bytes that are not Unicode are replaced by U+FFFD; such a name opens nothing.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// Where a directory is; see [`Storage::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// At its path, or the system cannot say.
    Here,
    /// Nothing is at its path: it was moved or deleted.
    Gone,
    /// Another directory is at its path: it was moved or deleted, and replaced.
    Replaced,
}

/// The kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Link,
    /// Anything else: a device, a socket, a named pipe.
    Other,
}

/// How [`Storage::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// An existing file, for reading. Writes through the handle fail.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new, empty file, for reading and writing; `AlreadyExists` if the name is in use.
    CreateNew,
}

/// A held lock, from [`Storage::try_lock`]; dropping it releases the lock.
pub trait StorageLock: fmt::Debug + Send + Sync {}
