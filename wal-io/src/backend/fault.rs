//! A simulated file system that loses, tears and fails whatever a real one may: for testing that a
//! program keeps its promises. Deterministic: the same operations with the same choices give the same
//! state, byte by byte.
//!
//! [`FaultStorage`] is a [`Storage`](crate::Storage) like any other. What it can do to a program:
//!
//! - **Power loss** ([`FaultStorage::crash`]) at any operation ([`Fault::power_cut`]), and again during
//!   recovery. Each sector of each file is what was synced or any version written since; the length is
//!   the synced one or any since; created, renamed and removed names are kept or lost, in order or not; the
//!   directory itself vanishes if its parent was never synced. Options ([`FaultConfig`]): sectors torn
//!   inside, stale bytes of deleted files, prefixes only.
//! - **Death of the process** ([`FaultStorage::kill`]): the cache survives, locks do not.
//! - **Errors** at the n-th operation ([`Fault::error`]), once or for ever, of one kind or on one file;
//!   short reads and writes ([`Fault::short`]), interrupted calls.
//! - **Failing syncs** ([`SyncFailure`]) as Linux has them: the error is reported once per handle, the
//!   next sync succeeds, reads show data that is lost; on ext4 writing it again does not help; journals
//!   that report late, disks that lie.
//! - **Limits**: space on disk, open files (a leak of descriptors shows as calls that fail), a read-only file system.
//! - **Descriptors that run out for a while** ([`Fault::on_opening`]) and **slow calls** ([`Fault::slow`]), on the program's own
//!   clock ([`FaultStorage::set_clock`]).
//! - **The kernel's own doings** ([`FaultStorage::set_background`]): write-back at any time, eviction that
//!   shows what the disk really has.
//! - **Meddling** with a directory in use: moved, replaced by another, deleted; a file's name that vanishes; a lock
//!   file that is deleted.
//! - **Damage at rest**: flipped bits, filled, swapped, stale and unreadable sectors, misdirected writes,
//!   files cut, extended, removed, doubled, exchanged and put back from an older [`Image`].
//!
//! And it checks one promise that a caller makes: what is given to [`StorageFile::prewrite`](crate::StorageFile::prewrite) is reserved,
//! holds zeros, and is not written to meanwhile. Otherwise the call panics, naming file and offset.
//!
//! Everything that is left open is decided by a [`Chooser`]: from a seed, exhaustively, from a script that
//! replays a failing run, or from the input of a fuzzer.
//!
//! # Example
//!
//! ```
#![doc = include_str!("../../examples/naive_format.rs")]
//! ```
//!
//! # What is deliberately absent
//!
//! Time of its own (a clock, also one that goes back, is the program's business), threads of its own, hard links (but for
//! those of [`Rename::LinkThenUnlink`]), memory maps, `O_DIRECT` (evict and read instead; a test asks
//! [`FaultStorage::on_disk`]), `O_DSYNC`, renames between directories, pages larger than a sector, and
//! metadata other than names, lengths and space.

mod at_rest;
mod chooser;
mod config;
mod crash;
mod directory;
mod file;
mod image;
mod inode;
mod meddling;
mod operation;
mod plan;
mod prewrite;
mod profile;
mod ranges;
mod sectors;
mod space;
mod storage;
mod world;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use at_rest::{Fill, Site};
pub use chooser::{Bytes, Chooser, Exhaustive, Script, Seeded};
pub use config::{
    CrashMode, DirectoryOrder, FaultConfig, NameSync, Overwrite, Prewrite, Rename, SectorSize,
    SyncFailure, Unpersisted,
};
pub use image::Image;
pub use inode::Damage;
pub use operation::{Operation, OperationKind};
pub use plan::{Fault, Moment, PowerLost, SystemError};

use world::{Health, State, World};

/// A directory on a simulated machine. Clones share it.
#[derive(Clone)]
pub struct FaultStorage {
    world: Arc<World>,
    /// From the host directory down to this one.
    path: Arc<[Arc<str>]>,
    /// The directory that was found first, whatever is at the path by now.
    held: Arc<OnceLock<usize>>,
    /// The same for the directory that this one was made from, as a part of it.
    above: Option<Arc<OnceLock<usize>>>,
}

impl fmt::Debug for FaultStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStorage")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Default for FaultStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultStorage {
    /// A machine of its own, by the default rules. Like any other directory this one does not exist
    /// before [`Storage::create`](crate::Storage::create).
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(FaultConfig::default())
    }

    /// A machine of its own, by the given rules.
    #[must_use]
    pub fn with_config(config: FaultConfig) -> Self {
        Self::boot(State::new(config), Arc::from([Arc::from("log")]))
    }

    fn boot(state: State, path: Arc<[Arc<str>]>) -> Self {
        Self {
            world: Arc::new(World::new(state)),
            path,
            held: Arc::default(),
            above: None,
        }
    }

    /// The rules.
    #[must_use]
    pub fn config(&self) -> FaultConfig {
        self.world.lock().config
    }

    /// The machine loses power, if it has not yet; gives what the next boot finds. Everything that was not
    /// synced is kept or lost as `chooser` says.
    ///
    /// This storage and its files are dead from now on: every operation gives [`PowerLost`]. But it may be
    /// crashed again, for another of the states that the same crash could have left.
    #[must_use = "the crash has no effect but what it gives, and the end of this storage"]
    pub fn crash(&self, chooser: &mut dyn Chooser) -> Self {
        let mut state = self.world.lock();
        state.cut_power();
        Self::boot(state.after_crash(chooser), Arc::clone(&self.path))
    }

    /// The process is killed; gives what the next one finds: all that was written, whether synced or
    /// not, and no lock held. This storage and its files are dead from now on.
    #[must_use = "the kill has no effect but what it gives, and the end of this storage"]
    pub fn kill(&self) -> Self {
        let mut state = self.world.lock();
        state.cut_power();
        Self::boot(state.after_kill(), Arc::clone(&self.path))
    }

    /// Cuts the power: every operation gives [`PowerLost`] from now on.
    pub fn cut_power(&self) {
        self.world.lock().cut_power();
    }

    /// Whether the power is off, because of a [`Fault::power_cut`] or otherwise.
    #[must_use]
    pub fn has_lost_power(&self) -> bool {
        self.world.lock().health == Health::PowerOff
    }

    /// How many states a crash now could leave: an upper bound, to keep enumeration within a budget.
    #[must_use]
    pub fn crash_states(&self) -> u64 {
        self.world.lock().crash_states()
    }

    /// Plans a fault; counting begins now. Where several would strike one operation, the first planned
    /// does.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().plan.add(fault);
    }

    /// Forgets all planned faults.
    pub fn clear_faults(&self) {
        self.world.lock().plan.clear();
    }

    /// How many times a planned fault has struck. A test that fails each operation in turn is done when
    /// its fault strikes no more.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        self.world.lock().plan.struck()
    }

    /// Who decides what faults leave open while the machine runs: how much of a failing write or sync
    /// was done, what happens in the background. Without one nothing is done.
    pub fn set_chooser(&self, chooser: impl Chooser + Send + 'static) {
        self.world.lock().chooser = Box::new(chooser);
    }

    /// The clock that [slow calls](Fault::slow) move: it is called with the time that one takes, before that one returns. Survives
    /// crashes.
    pub fn set_clock(&self, advance: impl Fn(Duration) + Send + Sync + 'static) {
        self.world.lock().clock = Some(Arc::new(advance));
    }

    /// What the chooser of [`set_chooser`](Self::set_chooser) has answered so far.
    #[must_use]
    pub fn choices(&self) -> Vec<u32> {
        self.world.lock().chooser.trace()
    }

    /// Whether, before each operation, something may be written back or evicted, as the chooser of
    /// [`set_chooser`](Self::set_chooser) decides.
    pub fn set_background(&self, background: Background) {
        self.world.lock().background = background == Background::Busy;
    }

    /// Operations so far.
    #[must_use]
    pub fn operation_count(&self) -> u64 {
        self.world.lock().operations
    }

    /// Changes so far; see [`OperationKind::is_change`]. Crash points are numbered by them: the n-th
    /// change is the one that `Fault::power_cut(..).after(n - 1)` strikes.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.world.lock().changes
    }

    /// Begins to record operations, forgetting those recorded before.
    pub fn record_operations(&self) {
        self.world.lock().record = Some(Vec::new());
    }

    /// The operations since [`record_operations`](Self::record_operations); none if it was not called.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.world.lock().record.clone().unwrap_or_default()
    }

    /// Limits the space on disk, in bytes; `None` for no limit. Files that are already there stay.
    /// Survives crashes, as disks do not grow.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.lock().limits.capacity = bytes;
    }

    /// Space taken, in bytes: whole sectors, of files that have a name or are open.
    #[must_use]
    pub fn used_space(&self) -> u64 {
        self.world.lock().used_space()
    }

    /// Limits how many files and locks may be open at a time (`EMFILE`); `None` for no limit.
    pub fn set_open_file_limit(&self, files: Option<usize>) {
        self.world.lock().limits.open_files = files;
    }

    /// Open files and held locks.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.world.lock().open_files
    }

    /// Makes the file system read-only (`EROFS`) or writable.
    pub fn set_access(&self, access: Access) {
        let mut state = self.world.lock();
        if state.health != Health::PowerOff {
            state.health = match access {
                Access::ReadOnly => Health::ReadOnly,
                Access::ReadWrite => Health::Good,
            };
        }
    }
}

/// What the kernel does unasked; see [`FaultStorage::set_background`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Nothing.
    Idle,
    /// Writes back and evicts at times.
    Busy,
}

/// Whether a file system may be written to; see [`FaultStorage::set_access`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes give `EROFS`.
    ReadOnly,
    /// Changes work.
    ReadWrite,
}
