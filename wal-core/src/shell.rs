//! Where a leader may block: the difference between the blocking and the async calls.
//!
//! A hop to another thread costs 40 to 100 us on a virtual machine, half a sync, so a leader does its I/O on the thread it
//! is on wherever the runtime can stand it.

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// A thread of the caller's own: blocking is what it asked for.
    Blocking,
    /// A future, on whatever executor.
    #[cfg(feature = "tokio")]
    Async,
}

impl Shell {
    /// Whether the caller may lead on this thread.
    pub(crate) fn may_block(self) -> bool {
        match self {
            Self::Blocking => true,
            #[cfg(feature = "tokio")]
            Self::Async => place() != Place::Elsewhere,
        }
    }

    /// Whether a leader lets other ready tasks go first.
    pub(crate) fn yields(self) -> bool {
        match self {
            Self::Blocking => false,
            #[cfg(feature = "tokio")]
            Self::Async => true,
        }
    }

    /// Runs blocking work: only where [`may_block`](Self::may_block).
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Blocking => work(),
            #[cfg(feature = "tokio")]
            Self::Async => match place() {
                Place::OnWorker => tokio::task::block_in_place(work),
                Place::Here | Place::Elsewhere => work(),
            },
        }
    }
}

/// Where blocking work of a future belongs.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No worker is held: on this thread.
    Here,
    /// On this worker, which hands its other tasks to another thread first.
    OnWorker,
    /// The only thread of its runtime: on a thread of the engine's.
    Elsewhere,
}

#[cfg(feature = "tokio")]
fn place() -> Place {
    use tokio::runtime::{Handle, RuntimeFlavor, worker_index};

    // A `LocalSet`, and the future of `block_on` itself, run on a thread that is no worker; `block_in_place` would panic in
    // the first.
    if worker_index().is_none() {
        return Place::Here;
    }
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => Place::OnWorker,
        Ok(_) => Place::Elsewhere,
        Err(_) => Place::Here,
    }
}
