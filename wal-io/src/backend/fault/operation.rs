//! What was asked of the storage, for counting, filtering and the record of operations.

use std::io;
use std::sync::Arc;

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OperationKind {
    /// A directory made, in [`Storage::create`](crate::Storage::create).
    MakeDirectory,
    /// [`Storage::list`](crate::Storage::list).
    List,
    /// [`Storage::open`](crate::Storage::open) of an existing file.
    Open,
    /// [`Storage::open`](crate::Storage::open) with `CreateNew`.
    CreateFile,
    /// [`Storage::rename`](crate::Storage::rename).
    Rename,
    /// [`Storage::remove`](crate::Storage::remove).
    Remove,
    /// [`Storage::sync_dir`](crate::Storage::sync_dir), and the syncs of parents in
    /// [`Storage::create`](crate::Storage::create).
    SyncDirectory,
    /// [`Storage::try_lock`](crate::Storage::try_lock).
    Lock,
    /// [`StorageFile::len`](crate::StorageFile::len).
    Length,
    /// [`StorageFile::read_at`](crate::StorageFile::read_at).
    Read,
    /// [`StorageFile::write_at`](crate::StorageFile::write_at).
    Write,
    /// [`StorageFile::sync_data`](crate::StorageFile::sync_data).
    SyncData,
    /// [`StorageFile::allocate`](crate::StorageFile::allocate).
    Allocate,
    /// [`StorageFile::set_len`](crate::StorageFile::set_len).
    SetLength,
    /// [`StorageFile::evict`](crate::StorageFile::evict).
    Evict,
    /// [`StorageFile::prewrite`](crate::StorageFile::prewrite), where the file system can do it.
    Prewrite,
}

impl OperationKind {
    /// Whether a crash before it and one after it can differ: writes, syncs, changes of names and
    /// lengths. The points to crash at are those between changes.
    #[must_use]
    pub fn is_change(self) -> bool {
        !matches!(
            self,
            Self::List | Self::Open | Self::Length | Self::Read | Self::Evict
        )
    }

    /// Whether it needs a descriptor of its own, so that it fails where none is left.
    #[must_use]
    pub fn opens(self) -> bool {
        matches!(
            self,
            Self::List | Self::Open | Self::CreateFile | Self::Lock
        )
    }

    /// Whether it is refused on a read-only file system. (A lock is decided when it is known whether
    /// its file exists.)
    pub(super) fn needs_write_access(self) -> bool {
        self.is_change() && !matches!(self, Self::SyncDirectory | Self::SyncData | Self::Lock)
    }

    /// Whether it writes sectors one by one, so that the power can fail in the middle of it.
    pub(super) fn writes_sectors(self) -> bool {
        matches!(self, Self::Write | Self::Prewrite)
    }

    /// Whether an injected error does more than replace the call.
    pub(super) fn has_partial_effects(self) -> bool {
        matches!(
            self,
            Self::CreateFile | Self::Write | Self::SyncData | Self::SyncDirectory | Self::Prewrite
        )
    }
}

/// One operation that was asked for, from [`FaultStorage::operations`](super::FaultStorage::operations).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What was asked for.
    pub kind: OperationKind,
    /// The file, by the name it had then; for directories the path.
    pub name: Arc<str>,
    /// The new name, in a rename.
    pub to: Option<Arc<str>>,
    /// Offset in bytes; 0 where there is none.
    pub offset: u64,
    /// Bytes asked for: to transfer, to allocate, or the length to set; 0 where there are none.
    pub len: u64,
    /// Bytes transferred (0 where there are none), or the kind of the error.
    pub result: Result<u64, io::ErrorKind>,
}

/// An operation about to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) kind: OperationKind,
    pub(super) target: Target<'a>,
    pub(super) to: Option<&'a str>,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// What an operation is done to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    Name(&'a str),
    Inode(usize),
}

impl<'a> Call<'a> {
    pub(super) fn named(kind: OperationKind, name: &'a str) -> Self {
        Self {
            kind,
            target: Target::Name(name),
            to: None,
            offset: 0,
            len: 0,
        }
    }

    pub(super) fn on_file(kind: OperationKind, inode: usize, offset: u64, len: u64) -> Self {
        Self {
            kind,
            target: Target::Inode(inode),
            to: None,
            offset,
            len,
        }
    }
}
