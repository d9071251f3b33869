//! The contract of [`Storage`] as code: one suite that every backend passes.
//!
//! To test a backend of your own, give [`run`] a function that makes an empty one:
//!
//! ```
//! use std::sync::Arc;
//! use wal_io::{MemoryStorage, conformance};
//!
//! conformance::run(&|| Arc::new(MemoryStorage::new()));
//! ```
//!
//! Or one test a case, so that failures are reported one by one:
//!
//! ```
//! # use wal_io::{MemoryStorage, conformance};
//! for (name, case) in conformance::cases() {
//!     // Where tests can be named at run time, name this one `name`.
//!     case(&MemoryStorage::new());
//! }
//! ```
//!
//! Absent: anything that needs a crash, a full disk or a failing device. What survives those cannot be
//! seen from inside a running process; [`fault`](crate::fault) is for that.

mod contents;
mod directory;
mod length;
mod lock;
mod names;
mod prewrite;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{OpenMode, Storage, StorageFile, StorageFileExt};

/// One case: takes a storage whose directory does not exist, panics if it breaks the contract.
pub type Case = fn(&dyn Storage);

/// Every case and its name, which says what the contract asks.
pub fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    [
        directory::CASES,
        names::CASES,
        contents::CASES,
        length::CASES,
        prewrite::CASES,
        lock::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs every case, each on a storage of its own from `make`: one whose directory does not exist yet,
/// inside a directory that does.
///
/// # Panics
///
/// If a case fails, naming it.
pub fn run(make: &dyn Fn() -> Arc<dyn Storage>) {
    for (name, case) in cases() {
        let storage = make();
        let location = storage.location();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&*storage))) {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!(
                "{location} breaks the contract: {name}: {}",
                message.unwrap_or("panicked")
            );
        }
    }
}

/// Names each function of a list after itself.
macro_rules! case_list {
    ($($case:ident),* $(,)?) => {
        pub(super) const CASES: &[(&str, super::Case)] = &[$((stringify!($case), $case)),*];
    };
}
use case_list;

/// The storage, its directory made.
fn created(storage: &dyn Storage) -> &dyn Storage {
    storage.create().expect("create");
    storage
}

fn new_file(dir: &dyn Storage, name: &str, content: &[u8]) -> Arc<dyn StorageFile> {
    let file = dir
        .open(name, OpenMode::CreateNew)
        .expect("open with CreateNew");
    file.write_all_at(content, 0).expect("write");
    file
}

fn content(dir: &dyn Storage, name: &str) -> Vec<u8> {
    all(&*dir.open(name, OpenMode::Read).expect("open with Read"))
}

/// The whole of a file, checked against its length.
fn all(file: &dyn StorageFile) -> Vec<u8> {
    let len = file.len().expect("len") as usize;
    let mut content = vec![0xEE; len + 1];
    let read = file.read_full_at(&mut content, 0).expect("read");
    assert_eq!(read, len, "as many bytes can be read as the length says");
    content.truncate(len);
    content
}

/// The kind of the error; panics if there is none.
#[track_caller]
fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(_) => panic!("this call must fail"),
        Err(error) => error.kind(),
    }
}

fn names(dir: &dyn Storage) -> Vec<String> {
    let mut names: Vec<String> = dir
        .list()
        .expect("list")
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names
}
