//! The simulated machine: every file and directory, and the one door through which each operation
//! goes. Absent: what single operations do (see `storage` and `file`).

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chooser::{Chooser, Script};
use super::config::FaultConfig;
use super::directory::{Directory, Node};
use super::inode::Inode;
use super::operation::{Call, Operation, OperationKind, Target};
use super::plan::{Injected, Moment, Plan, PowerLost, Struck, SystemError};

/// The directory that holds the storage's own; it exists and is durable from the start.
pub(super) const HOST: usize = 0;

/// The machine, shared by its storages and open files.
pub(super) struct World {
    state: Mutex<State>,
}

/// A file and who uses it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) inode: Arc<Inode>,
    /// The name it has or had last.
    pub(super) name: Arc<str>,
    pub(super) handles: u32,
    pub(super) locked: bool,
    /// Whether it was damaged at rest since it was opened: those who have it open cannot know what is in it.
    pub(super) altered: bool,
    /// Ranges of bytes that are being prewritten.
    pub(super) prewriting: Vec<Range<u64>>,
}

/// Whether anything still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    ReadOnly,
    ShutDown,
    PowerOff,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// In bytes.
    pub(super) capacity: Option<u64>,
    pub(super) open_files: Option<usize>,
}

pub(super) struct State {
    pub(super) config: FaultConfig,
    pub(super) sector_len: u64,
    pub(super) slots: Vec<Option<Slot>>,
    pub(super) directories: Vec<Directory>,
    pub(super) health: Health,
    /// What a process that is started after this one was killed finds.
    pub(super) health_before_power_loss: Health,
    pub(super) limits: Limits,
    pub(super) plan: Plan,
    /// Decides what faults leave open while the machine runs.
    pub(super) chooser: Box<dyn Chooser + Send>,
    pub(super) background: bool,
    /// Is told of the time that slow calls take.
    pub(super) clock: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    /// Changes so far, of single sectors, lengths and names.
    pub(super) seq: u64,
    pub(super) operations: u64,
    pub(super) changes: u64,
    pub(super) record: Option<Vec<Operation>>,
    pub(super) open_files: usize,
    /// Files that are gone; what they held may turn up again.
    pub(super) stale: Vec<Arc<Inode>>,
    /// Whether a file may have lost its last name since the last look.
    pub(super) garbage: bool,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
        }
    }

    /// A test that panics inside an operation has failed already; others may still look.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one operation: counts it, lets a planned fault strike, records it.
    pub(super) fn perform<T>(
        &self,
        call: Call<'_>,
        action: impl FnOnce(&mut State, Injected) -> io::Result<T>,
    ) -> io::Result<T> {
        self.perform_counted(call, |_| 0, action)
    }

    /// The same for an operation that transfers bytes.
    pub(super) fn transfer(
        &self,
        call: Call<'_>,
        action: impl FnOnce(&mut State, Injected) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.perform_counted(call, |bytes| *bytes as u64, action)
    }

    fn perform_counted<T>(
        &self,
        call: Call<'_>,
        amount: impl FnOnce(&T) -> u64,
        action: impl FnOnce(&mut State, Injected) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        if state.health == Health::PowerOff {
            return Err(PowerLost::error());
        }
        let Struck { injected, time } = state.begin(&call);
        let outcome = match injected {
            Injected::PowerCut(Moment::Before) => Err(PowerLost::error()),
            Injected::PowerCut(Moment::During) if !call.kind.writes_sectors() => {
                Err(PowerLost::error())
            }
            Injected::Error(error) if !call.kind.has_partial_effects() => Err(error.into()),
            _ => match state.refusal(call.kind) {
                Some(error) => Err(error.into()),
                None => action(&mut state, injected),
            },
        };
        let lost_power = matches!(injected, Injected::PowerCut(_));
        if lost_power {
            state.cut_power();
        }
        if state.record.is_some() {
            let done = match &outcome {
                _ if lost_power => Err(PowerLost::error().kind()),
                Ok(value) => Ok(amount(value)),
                Err(error) => Err(error.kind()),
            };
            state.note(&call, done);
        }
        let clock = state.clock.clone().filter(|_| !time.is_zero());
        // What is dropped now may be a file, which asks for the lock itself; and the clock may do as it likes.
        drop(state);
        if let Some(clock) = clock {
            clock(time);
        }
        if lost_power {
            Err(PowerLost::error())
        } else {
            outcome
        }
    }
}

impl State {
    /// A machine with nothing on it.
    pub(super) fn new(config: FaultConfig) -> Self {
        Self {
            config,
            sector_len: config.sector.bytes(),
            slots: Vec::new(),
            directories: vec![Directory::default()],
            health: Health::Good,
            health_before_power_loss: Health::Good,
            limits: Limits::default(),
            plan: Plan::default(),
            chooser: Box::new(Script::default()),
            background: false,
            clock: None,
            seq: 0,
            operations: 0,
            changes: 0,
            record: None,
            open_files: 0,
            stale: Vec::new(),
            garbage: false,
        }
    }

    pub(super) fn cut_power(&mut self) {
        if self.health != Health::PowerOff {
            self.health_before_power_loss = self.health;
            self.health = Health::PowerOff;
        }
    }

    fn begin(&mut self, call: &Call<'_>) -> Struck {
        self.operations += 1;
        self.changes += u64::from(call.kind.is_change());
        if self.background {
            self.work_in_background();
        }
        let Self { plan, slots, .. } = self;
        plan.next(call.kind, |name| match call.target {
            Target::Name(target) => target == name,
            Target::Inode(inode) => slots[inode]
                .as_ref()
                .is_some_and(|slot| &*slot.name == name),
        })
    }

    fn refusal(&self, kind: OperationKind) -> Option<SystemError> {
        match self.health {
            Health::ShutDown => Some(SystemError::Io),
            Health::ReadOnly if kind.needs_write_access() => Some(SystemError::ReadOnly),
            _ => None,
        }
    }

    fn note(&mut self, call: &Call<'_>, result: Result<u64, io::ErrorKind>) {
        let name = match call.target {
            Target::Name(name) => Arc::from(name),
            Target::Inode(inode) => Arc::clone(&self.slot(inode).name),
        };
        let operation = Operation {
            kind: call.kind,
            name,
            to: call.to.map(Arc::from),
            offset: call.offset,
            len: call.len,
            result,
        };
        self.record.get_or_insert_default().push(operation);
    }

    pub(super) fn slot(&self, inode: usize) -> &Slot {
        self.slots[inode]
            .as_ref()
            .expect("a file that is in use exists")
    }

    pub(super) fn slot_mut(&mut self, inode: usize) -> &mut Slot {
        self.slots[inode]
            .as_mut()
            .expect("a file that is in use exists")
    }

    pub(super) fn inode(&self, inode: usize) -> &Inode {
        &self.slot(inode).inode
    }

    /// For changing; and the counter of changes.
    pub(super) fn inode_mut(&mut self, inode: usize) -> (&mut Inode, &mut u64) {
        let slot = self.slots[inode]
            .as_mut()
            .expect("a file that is in use exists");
        (Arc::make_mut(&mut slot.inode), &mut self.seq)
    }

    pub(super) fn add_file(&mut self, name: Arc<str>, inode: Arc<Inode>) -> usize {
        self.slots.push(Some(Slot {
            inode,
            name,
            handles: 0,
            locked: false,
            altered: false,
            prewriting: Vec::new(),
        }));
        self.slots.len() - 1
    }

    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The directory at a path from the host.
    pub(super) fn resolve(&self, path: &[Arc<str>]) -> Option<usize> {
        path.iter()
            .try_fold(HOST, |at, name| match self.directories[at].get(name) {
                Some(Node::Directory(next)) => Some(next),
                _ => None,
            })
    }

    /// Forgets files that no name, no crash and no handle leads to any more.
    pub(super) fn collect_garbage(&mut self) {
        if !std::mem::take(&mut self.garbage) {
            return;
        }
        let mut used = vec![false; self.slots.len()];
        for node in self.directories.iter().flat_map(Directory::nodes) {
            if let Node::File(inode) = node {
                used[inode] = true;
            }
        }
        for (slot, used) in self.slots.iter_mut().zip(used) {
            if !used
                && slot
                    .as_ref()
                    .is_some_and(|slot| slot.handles == 0 && !slot.locked)
            {
                let gone = slot.take().expect("the slot was filled a line ago");
                remember_stale(&mut self.stale, gone.inode);
            }
        }
    }
}

/// How many deleted files are remembered.
const STALE_FILES: usize = 4;

pub(super) fn remember_stale(stale: &mut Vec<Arc<Inode>>, inode: Arc<Inode>) {
    if inode.durable.from(0).next().is_none() {
        return;
    }
    if stale.len() == STALE_FILES {
        stale.remove(0);
    }
    stale.push(inode);
}
