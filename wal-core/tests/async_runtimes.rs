//! The async log on every kind of executor: each flavour of tokio's runtime, local sets, and executors without tokio.
//!
//! ```text
//! runtimes.rs      the executors, one of them written here, each behind a watchdog
//! gate.rs          a storage whose writes and syncs wait until the test lets them go
//! appends.rs       every policy on every executor: many tasks, room, rotation, shared syncs
//! cancellation.rs  futures dropped at each of their await points
//! progress.rs      waiters that are kept and not polled, and runtimes whose threads are blocked
//! waiting.rs       sync, durable().append, wait_durable, close, errors that wake everyone
//! reading.rs       readers beside a writer, one task a segment
//! types.rs         what is Send, Sync, Clone and 'static
//! ```
//!
//! Deliberately absent: crashes (the crash suite has no threads, so that it can repeat them).

#![cfg(feature = "tokio")]

mod async_runtimes {
    mod appends;
    mod cancellation;
    mod gate;
    mod progress;
    mod reading;
    mod runtimes;
    mod support;
    mod types;
    mod waiting;
}
