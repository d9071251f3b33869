//! Storage for logs: a directory of files as a trait, with three backends.
//!
//! - [`Storage`] is a directory, [`StorageFile`] a file in it. Both are small, blocking, usable as
//!   trait objects, and say of each call what survives a crash.
//! - [`DiskStorage`] is a real directory, [`MemoryStorage`] one that ends with the process, and
//!   [`FaultStorage`] one on a simulated machine that crashes and fails as its [`fault`] module is told.
//! - [`conformance`] is the contract as code: each backend passes it, and so can yours.
//!
//! # What is deliberately absent
//!
//! Any knowledge of what the bytes mean: no checksums, no records, no file names of its own. Nor
//! paths: a storage is one directory, and a name in it is a plain name. Nor async: whoever needs it
//! knows better than this crate which calls may block which thread. Nor retries after errors, save
//! that the `_full`, `_exact` and `_all` helpers of [`StorageFileExt`] continue short and interrupted
//! transfers: whether an error is final is the caller's rule.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod backend;
mod boot;
pub mod conformance;
mod file;
mod name;
mod process;
mod storage;

pub use backend::disk::DiskStorage;
pub use backend::fault;
pub use backend::fault::FaultStorage;
pub use backend::memory::MemoryStorage;
pub use boot::boot_time;
pub use file::{StorageFile, StorageFileExt};
pub use name::check_name;
pub use process::Process;
pub use storage::{DirEntry, EntryKind, OpenMode, Place, Storage, StorageLock};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
