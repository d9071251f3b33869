//! What the tests of the simulated machine share.
#![allow(dead_code)]

use std::sync::Arc;

use wal_io::fault::{Chooser, FaultConfig};
use wal_io::{FaultStorage, OpenMode, Storage, StorageFile, StorageFileExt};

/// The sector size of the default rules.
pub(crate) const S: usize = 512;

pub(crate) fn bytes(mark: u8, len: usize) -> Vec<u8> {
    vec![mark; len]
}

/// A machine whose directory exists and is durable.
pub(crate) fn created(config: FaultConfig) -> FaultStorage {
    let dir = FaultStorage::with_config(config);
    dir.create().unwrap();
    dir
}

/// A file that is durable, with its name.
pub(crate) fn new_file(dir: &FaultStorage, name: &str, content: &[u8]) -> Arc<dyn StorageFile> {
    let file = dir.open(name, OpenMode::CreateNew).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync_data().unwrap();
    dir.sync_dir().unwrap();
    file
}

pub(crate) fn read(dir: &dyn Storage, name: &str) -> Vec<u8> {
    let file = dir.open(name, OpenMode::Read).unwrap();
    let mut content = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// Always the first answer, or always the last.
pub(crate) struct Always {
    last: bool,
    trace: Vec<u32>,
}

/// Nothing that was not synced survives.
pub(crate) fn lose_all() -> Always {
    Always {
        last: false,
        trace: Vec::new(),
    }
}

/// All that was written survives.
pub(crate) fn keep_all() -> Always {
    Always {
        last: true,
        trace: Vec::new(),
    }
}

impl Chooser for Always {
    fn choose(&mut self, n: u32) -> u32 {
        self.trace.push(if self.last { n - 1 } else { 0 });
        self.trace[self.trace.len() - 1]
    }

    fn trace(&self) -> Vec<u32> {
        self.trace.clone()
    }
}
