//! Identifies the process, to distinguish a value made in it from one inherited through `fork`. Process ids do not suffice:
//! they are given again.

/// The process that made this value.
///
/// A forked child has a copy of everything in memory, and shares locks and open files with its parent. Actions that must happen
/// only once, such as unlocking, are taken only if [`is_current`](Process::is_current).
///
/// The check costs a load from memory, and no system call. A child made without fork handlers (`vfork`, a bare `clone`) is not
/// recognised. Such a child may do nothing but `exec` anyway.
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
    /// Asks the system, if forks cannot be counted.
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
            // On a copy, so that the answer stays the same.
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
