//! What is to go wrong, and when: errors, short transfers and power cuts at the n-th operation.
//! Absent: what they do to files (see `profile` and `crash`).

use std::io;
use std::time::Duration;

use super::operation::OperationKind;

/// Something to go wrong, given to [`FaultStorage::inject`](super::FaultStorage::inject).
///
/// By default it strikes once, at the next operation of whatever kind.
///
/// ```
/// use wal_io::fault::{Fault, OperationKind, SystemError};
///
/// // The third sync from now on, and every one after it, fails with EIO.
/// let fault = Fault::error(SystemError::Io).on(OperationKind::SyncData).after(2).persistent();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Fault {
    effect: Effect,
    scope: Scope,
    file: Option<String>,
    skip: u64,
    /// `None`: for ever.
    times: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Error(SystemError),
    Short(u64),
    PowerCut(Moment),
    Slow(Duration),
}

#[derive(Debug, Clone, Copy)]
enum Scope {
    Any,
    Changes,
    Opening,
    Kind(OperationKind),
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self {
            effect,
            scope: Scope::Any,
            file: None,
            skip: 0,
            times: Some(1),
        }
    }

    /// The operation fails. A write or a prewrite may have written a part; a sync does what
    /// [`SyncFailure`](super::SyncFailure) says; a file that was to be made may be there; any other operation does nothing.
    pub fn error(error: SystemError) -> Self {
        Self::new(Effect::Error(error))
    }

    /// A read or write transfers at most `bytes` bytes. Other operations are not touched, and count
    /// all the same: use [`on`](Self::on).
    pub fn short(bytes: u64) -> Self {
        Self::new(Effect::Short(bytes))
    }

    /// The operation takes this long: the clock of [`set_clock`](super::FaultStorage::set_clock) is moved before it returns.
    /// Its result is the same.
    pub fn slow(time: Duration) -> Self {
        Self::new(Effect::Slow(time))
    }

    /// The power fails. This and every later operation gives [`PowerLost`]. Counts changes only (see
    /// [`OperationKind::is_change`]), unless [`on`](Self::on) says otherwise.
    pub fn power_cut(moment: Moment) -> Self {
        Self {
            scope: Scope::Changes,
            ..Self::new(Effect::PowerCut(moment))
        }
    }

    /// Only operations of this kind count.
    pub fn on(self, kind: OperationKind) -> Self {
        Self {
            scope: Scope::Kind(kind),
            ..self
        }
    }

    /// Only operations count that need a descriptor; see [`OperationKind::opens`].
    pub fn on_opening(self) -> Self {
        Self {
            scope: Scope::Opening,
            ..self
        }
    }

    /// Only changes count; see [`OperationKind::is_change`].
    pub fn on_changes(self) -> Self {
        Self {
            scope: Scope::Changes,
            ..self
        }
    }

    /// Only operations on the file of this name count.
    pub fn in_file(self, name: &str) -> Self {
        Self {
            file: Some(name.to_owned()),
            ..self
        }
    }

    /// Lets `count` operations pass before it strikes.
    pub fn after(self, count: u64) -> Self {
        Self {
            skip: count,
            ..self
        }
    }

    /// Strikes `count` operations in a row.
    pub fn times(self, count: u64) -> Self {
        Self {
            times: Some(count),
            ..self
        }
    }

    /// Once it has struck it strikes at every operation.
    pub fn persistent(self) -> Self {
        Self {
            times: None,
            ..self
        }
    }
}

/// When in an operation the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Before it did anything.
    Before,
    /// In the middle of a write or a prewrite: the storage's own chooser says how many of its sectors reached the
    /// cache. For any other operation the same as `Before`.
    During,
    /// After it took effect; the caller does not hear of it.
    After,
}

/// An error of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemError {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
    /// `EDQUOT`.
    QuotaExceeded,
    /// `EINTR`: nothing was done.
    Interrupted,
    /// `EMFILE`.
    TooManyOpenFiles,
    /// `EROFS`.
    ReadOnly,
    /// `EFBIG`.
    FileTooLarge,
    /// `EACCES`.
    PermissionDenied,
}

#[cfg(unix)]
impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> Self {
        use rustix::io::Errno;
        let errno = match error {
            SystemError::Io => Errno::IO,
            SystemError::NoSpace => Errno::NOSPC,
            SystemError::QuotaExceeded => Errno::DQUOT,
            SystemError::Interrupted => Errno::INTR,
            SystemError::TooManyOpenFiles => Errno::MFILE,
            SystemError::ReadOnly => Errno::ROFS,
            SystemError::FileTooLarge => Errno::FBIG,
            SystemError::PermissionDenied => Errno::ACCESS,
        };
        io::Error::from_raw_os_error(errno.raw_os_error())
    }
}

#[cfg(not(unix))]
impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> Self {
        match error {
            SystemError::Io => io::Error::other("input/output error"),
            SystemError::NoSpace => io::ErrorKind::StorageFull.into(),
            SystemError::QuotaExceeded => io::ErrorKind::QuotaExceeded.into(),
            SystemError::Interrupted => io::ErrorKind::Interrupted.into(),
            SystemError::TooManyOpenFiles => io::Error::other("too many open files"),
            SystemError::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
            SystemError::FileTooLarge => io::ErrorKind::FileTooLarge.into(),
            SystemError::PermissionDenied => io::ErrorKind::PermissionDenied.into(),
        }
    }
}

/// What every operation gives once the power has failed, inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the simulated machine has lost power")]
pub struct PowerLost;

impl PowerLost {
    /// Whether `error` is this one.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>())
            .is_some()
    }

    pub(super) fn error() -> io::Error {
        io::Error::other(Self)
    }
}

/// What strikes an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injected {
    Nothing,
    Error(SystemError),
    Short(u64),
    PowerCut(Moment),
}

/// The fate of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Struck {
    pub(super) injected: Injected,
    /// How long it takes.
    pub(super) time: Duration,
}

/// The faults still to come.
#[derive(Debug, Default)]
pub(super) struct Plan {
    faults: Vec<Fault>,
    struck: u64,
}

impl Plan {
    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Counts an operation; the first fault that strikes wins, all count, and times add up.
    pub(super) fn next(&mut self, kind: OperationKind, name: impl Fn(&str) -> bool) -> Struck {
        let mut injected = Injected::Nothing;
        let mut time = Duration::ZERO;
        self.faults.retain_mut(|fault| {
            let counts = match fault.scope {
                Scope::Any => true,
                Scope::Changes => kind.is_change(),
                Scope::Opening => kind.opens(),
                Scope::Kind(only) => only == kind,
            };
            if !counts || !fault.file.as_deref().is_none_or(&name) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            let effect = match fault.effect {
                Effect::Error(error) => Injected::Error(error),
                Effect::Short(bytes) => Injected::Short(bytes),
                Effect::PowerCut(moment) => Injected::PowerCut(moment),
                Effect::Slow(more) => {
                    time += more;
                    Injected::Nothing
                }
            };
            self.struck += u64::from(effect != Injected::Nothing);
            if injected == Injected::Nothing {
                injected = effect;
            }
            fault.times = fault.times.map(|times| times.saturating_sub(1));
            fault.times != Some(0)
        });
        Struck { injected, time }
    }
}
