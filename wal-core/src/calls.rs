//! The calls of the log that are the same in both faces, each written once.
//!
//! Two macros make the methods of the async face (`asynchronous.rs`) and of the blocking face (`blocking.rs`). The
//! async face passes the words that only it needs: `async`, `await`, the heading of the section about cancellation, and
//! `'static`. The blocking face passes none of them, and all that is in `$( )?` disappears.
//!
//! A face provides what the bodies name: `SHELL`, `append`, `wait` and `run_long`. Not here: what only one face has,
//! and how the log does anything (`handle.rs`, `log/`).

mod read;
mod write;

pub(crate) use read::read_calls;
pub(crate) use write::write_calls;
