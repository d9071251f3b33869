//! Every backend keeps the contract.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use wal_io::fault::{Background, FaultConfig, Rename, SectorSize, Seeded};
use wal_io::{
    DirEntry, DiskStorage, FaultStorage, MemoryStorage, OpenMode, Place, Storage, StorageFile,
    StorageLock, conformance,
};

#[test]
fn disk() {
    let parent = tempfile::tempdir().unwrap();
    let number = Cell::new(0);
    conformance::run(&|| {
        number.set(number.get() + 1);
        Arc::new(DiskStorage::new(
            parent.path().join(format!("{}", number.get())),
        ))
    });
}

#[test]
fn memory() {
    conformance::run(&|| Arc::new(MemoryStorage::new()));
}

#[test]
fn memory_subdirectory() {
    let outer = MemoryStorage::new();
    outer.create().unwrap();
    let number = Cell::new(0);
    conformance::run(&|| {
        number.set(number.get() + 1);
        outer.subdirectory(&number.get().to_string()).unwrap()
    });
}

#[test]
fn fault() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        conformance::run(&|| {
            Arc::new(FaultStorage::with_config(FaultConfig {
                sector,
                ..FaultConfig::default()
            }))
        });
    }
}

#[test]
fn fault_that_renames_by_links() {
    conformance::run(&|| {
        Arc::new(FaultStorage::with_config(FaultConfig {
            rename: Rename::LinkThenUnlink,
            ..FaultConfig::default()
        }))
    });
}

#[test]
fn fault_with_a_busy_background() {
    for seed in 0..20 {
        conformance::run(&|| {
            let storage = FaultStorage::new();
            storage.set_chooser(Seeded::new(seed));
            storage.set_background(Background::Busy);
            Arc::new(storage)
        });
    }
}

#[test]
fn fault_after_a_crash() {
    conformance::run(&|| Arc::new(FaultStorage::new().crash(&mut Seeded::new(1))));
}

#[test]
fn the_suite_names_the_case_that_fails() {
    let panic = std::panic::catch_unwind(|| {
        conformance::run(&|| Arc::new(Broken(MemoryStorage::new())));
    });
    let panic = panic.unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("a_rename_never_replaces"), "{message}");
}

/// Renames over an existing file.
#[derive(Debug)]
struct Broken(MemoryStorage);

impl Storage for Broken {
    fn create(&self) -> io::Result<()> {
        self.0.create()
    }
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.0.list()
    }
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name, mode)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if from != to && self.0.open(to, OpenMode::Read).is_ok() {
            self.0.remove(to)?;
        }
        self.0.rename(from, to)
    }
    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.replace(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
    fn try_lock(&self, name: &str) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.0.try_lock(name)
    }
    fn place(&self) -> Place {
        self.0.place()
    }
    fn subdirectory(&self, name: &str) -> io::Result<Arc<dyn Storage>> {
        self.0.subdirectory(name)
    }
    fn location(&self) -> String {
        self.0.location()
    }
}
