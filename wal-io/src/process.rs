//! Which process this is: whether a value was made here or inherited through `fork`. Absent: process ids as names of
//! processes, which are given again.

/// The process that made this value.
///
/// A forked child has a copy of everything in memory, and shares locks and open files with its parent. What must be done
/// only once, such as unlocking, is done only where [`is_current`](Process::is_current).
///
/// Asking costs a load from memory, no system call. A child made without running fork handlers (`vfork`, a bare `clone`)
/// is not told from its parent; such a child may do nothing but `exec` anyway.
///
/// ```
/// let here = wal_io::Process::current();
/// assert!(here.is_current());
/// ```
#[derive(Debug, Clone)]
pub struct Process {
    mark: Mark,
    id: u32,
}

#[derive(Debug, Clone)]
enum Mark {
    /// Counts the forks that lead to the process.
    #[cfg(all(unix, not(miri)))]
    Forks(forkguard::atfork::Guard),
    /// Asks the system, where forks cannot be counted.
    Id,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        #[cfg(all(unix, not(miri)))]
        let mark = forkguard::atfork::Guard::try_new().map_or(Mark::Id, Mark::Forks);
        #[cfg(not(all(unix, not(miri))))]
        let mark = Mark::Id;
        Self {
            mark,
            id: std::process::id(),
        }
    }

    /// Whether this is still the process that made the value.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        match &self.mark {
            #[cfg(all(unix, not(miri)))]
            // On a copy: the answer must stay the same.
            Mark::Forks(guard) => !guard.clone().detected_fork(),
            Mark::Id => cfg!(not(unix)) || self.id == std::process::id(),
        }
    }

    /// The id that the system gave it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}
