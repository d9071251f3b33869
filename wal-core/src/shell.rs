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

/// A task is taken to be alone after this many commits without company.
#[cfg(feature = "tokio")]
const LONELY: u32 = 8;

/// Whom a leader lets go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nobody.
    Ahead,
    /// The threads that are ready.
    ToThreads,
    /// The tasks that are ready: the future is polled again behind them.
    #[cfg(feature = "tokio")]
    ToTasks,
}

impl Shell {
    /// Whether the caller may lead on this thread.
    pub(crate) fn may_block(self) -> bool {
        match self {
            Self::Blocking => true,
            #[cfg(feature = "tokio")]
            Self::Async => place() != Where::Elsewhere,
        }
    }

    /// Whom a leader lets go first, after this many commits in a row that were for their leader alone.
    ///
    /// A thread need not let others go first to be noticed by them: they run beside it. A task need, if they are tasks of its
    /// own thread, or futures that its own task polls. On a worker of many it pays for that: the worker has handed its tasks to
    /// another thread, goes on for its own task at no cost, and giving way takes two switches of threads. So a task that is
    /// alone there only tries now and then whether it still is.
    pub(crate) fn gives_way(self, lonely: u32) -> Way {
        match self {
            Self::Blocking if lonely == 0 => Way::ToThreads,
            Self::Blocking => Way::Ahead,
            #[cfg(feature = "tokio")]
            Self::Async => {
                let tries = lonely < LONELY || lonely.is_multiple_of(2 * LONELY);
                if tries || place() != Where::OnWorker {
                    Way::ToTasks
                } else {
                    Way::Ahead
                }
            }
        }
    }

    /// Runs blocking work on this thread, and lets other tasks move to another one if there is one.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Blocking => work(),
            #[cfg(feature = "tokio")]
            Self::Async => match place() {
                Where::OnWorker => tokio::task::block_in_place(work),
                Where::Here | Where::Elsewhere => work(),
            },
        }
    }
}

/// Where blocking work of a future belongs.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// No worker is held: on this thread.
    Here,
    /// On this worker, which hands its other tasks to another thread first.
    OnWorker,
    /// The only thread of its runtime: on a thread of the engine's.
    Elsewhere,
}

#[cfg(feature = "tokio")]
fn place() -> Where {
    use tokio::runtime::{Handle, RuntimeFlavor, worker_index};

    // The future of `block_on` itself, and the tasks of a `LocalSet`, run on a thread that is no worker. The first shares its
    // thread with no other task. The second do, and `block_in_place` would panic in them. (Tokio does not tell a set that a
    // worker runs inside `block_in_place` of its own: there the tasks of the set wait.)
    if worker_index().is_none() {
        let in_task = tokio::task::try_id().is_some();
        if in_task {
            return Where::Elsewhere;
        }
        return Where::Here;
    }
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => Where::OnWorker,
        Ok(_) => Where::Elsewhere,
        Err(_) => Where::Here,
    }
}
