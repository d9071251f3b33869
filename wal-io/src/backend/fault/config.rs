//! What the simulated file system is like. Absent: when something fails (see `plan`).

/// The rules of a [`FaultStorage`](super::FaultStorage), fixed for its life and for what its crashes leave.
///
/// The default is the harshest file system on which a log is still expected to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultConfig {
    /// The unit that is written whole or not at all.
    pub sector: SectorSize,
    /// Which unsynced changes survive a crash.
    pub crash: CrashMode,
    /// Which unsynced changes of names survive a crash.
    pub directory: DirectoryOrder,
    /// Whether syncing a file makes its name durable.
    pub names: NameSync,
    /// What a write that a crash interrupts does to its sectors.
    pub overwrite: Overwrite,
    /// What sectors hold that the length covers and nothing was written to.
    pub unpersisted: Unpersisted,
    /// What a failing sync leaves behind.
    pub sync_failure: SyncFailure,
    /// Whether space can be overwritten ahead of the writes into it.
    pub prewrite: Prewrite,
    /// Whether a file can be renamed without replacing another in one step.
    pub rename: Rename,
}

/// The size of a sector in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SectorSize {
    /// 512 bytes.
    #[default]
    B512,
    /// 4096 bytes.
    B4096,
}

impl SectorSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// Which unsynced changes survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CrashMode {
    /// Each sector by itself: its durable content, or any version written since. The length: the durable
    /// one or any set since.
    #[default]
    Subset,
    /// A prefix of all that was done, down to single sectors of a write. Mild; for making failing runs
    /// smaller.
    Prefix,
}

/// Which unsynced changes of a directory survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DirectoryOrder {
    /// Any subset in which, for each name, an earlier change is not missing where a later one is there.
    #[default]
    Unordered,
    /// Any prefix, as file systems with one journal give.
    Ordered,
}

/// Whether a sync of a file makes its name durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NameSync {
    /// Only `sync_dir` does, as POSIX says.
    #[default]
    Strict,
    /// A sync of a file whose name is not durable commits the directory too, as ext4 does.
    WithFile,
}

/// What a crash does to a sector that was being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overwrite {
    /// A sector is wholly one of its versions ("powersafe overwrite").
    #[default]
    Powersafe,
    /// It may also be torn inside or garbage, its durable bytes included.
    Torn,
}

/// What sectors hold that the length covers after a crash and to which nothing was ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unpersisted {
    /// Zeros.
    #[default]
    Zeros,
    /// Zeros, or what a deleted file held at the same offset.
    Stale,
}

/// Whether [`StorageFile::prewrite`](crate::StorageFile::prewrite) does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Prewrite {
    /// It writes zeros, not durable before a sync. An operation like any other.
    #[default]
    Supported,
    /// It gives `Ok(false)`. It is no operation then: none is counted, recorded or struck by a planned fault.
    Unsupported,
}

/// How a file is renamed without replacing another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Rename {
    /// In one step.
    #[default]
    Atomic,
    /// A link to the new name, a sync of the directory, the removal of the old name: three operations, between which anything
    /// may happen. File systems without `RENAME_NOREPLACE` need this.
    LinkThenUnlink,
}

/// What a failing sync leaves behind. Measured on Linux unless it says otherwise.
///
/// The sync that fails is one for which an error is injected. Data that it did not write stays visible
/// in the cache as *ghosts*: clean, so that no later sync writes it, and gone with eviction or a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncFailure {
    /// Any subset is written, the rest become ghosts. Where a ghost's sector had never been written
    /// before, writing it again does not help: later syncs succeed and it stays zeros. A failing
    /// directory sync likewise leaves names that are visible and never written.
    #[default]
    Ext4,
    /// The same without the trap. A failing directory sync shuts the file system down: every call gives
    /// `EIO`.
    Xfs,
    /// The same without the trap; the next sync may give the error once more. A failing directory sync
    /// makes the file system read-only.
    Btrfs,
    /// As `Btrfs`, but the cache goes back to what is on disk at once (from a published study).
    BtrfsRevert,
    /// The failing sync reports success; the next one, on whatever handle, gives the error.
    Ext4Journal,
    /// The failing sync reports success and has written nothing, and nobody is ever told. No program can
    /// keep promises on this; it can be loud.
    Lying,
}
