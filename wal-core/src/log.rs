//! The log that is open for writing: one lock, buffers, a leader for each commit.
//!
//! ```text
//! the state, which does no I/O        steps, which do
//! state.rs      all of its parts      engine.rs        the ways to the state, rights, whom to tell
//! buffers.rs    records on their way  append.rs        a record enters (entrant.rs: what may enter where)
//! progress.rs   written, durable      commit.rs        buffers are handed over, and synced
//! segments.rs   the chain             rotate.rs        the next segment, and steps of allocation
//! changes.rs    the control state     control.rs       it is changed
//! truncations.rs  what is dropped     truncate.rs, forget.rs, rewind.rs, reseal.rs, reserve.rs
//! waiters.rs    who waits for what    reach.rs         waiting, and taking the lead
//! background.rs who sleeps            schedule.rs, threads.rs   which work is due, and who does it
//! leftovers.rs  files that may go     housekeeping.rs  they go, and segments get their footers
//! prewritten.rs zeros ahead           prewrite.rs      they are written
//! lifecycle.rs  open, closed          open.rs, close.rs
//!                                     answers.rs       what is read of the log
//! ```
//!
//! Deliberately absent: async runtimes (see [`crate::shell`]), and what bytes on disk mean after a crash (see
//! [`crate::recovery`]).

mod answers;
mod append;
mod background;
mod buffers;
mod changes;
mod close;
mod commit;
mod control;
mod dates;
mod engine;
mod entrant;
mod figures;
mod forget;
mod housekeeping;
mod in_reserve;
mod leftovers;
mod lifecycle;
mod open;
mod place;
mod prewrite;
mod prewritten;
mod progress;
mod reach;
mod requests;
mod reseal;
mod reserve;
mod rewind;
mod rights;
mod rotate;
mod schedule;
mod segments;
mod state;
mod threads;
mod truncate;
mod truncations;
mod wait;
mod waiters;

pub(crate) use append::{Begun, Durability};
pub(crate) use engine::Engine;
pub(crate) use wait::wait;
