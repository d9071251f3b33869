//! Prewrites on real file systems: where they are done, and through what.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::statfs;
use wal_io::{DiskStorage, OpenMode, Storage, StorageFileExt};

const EXT4: u64 = 0xEF53;
const XFS: u64 = 0x5846_5342;
const K: u64 = 1024;

fn is_in_place(path: &Path) -> bool {
    u64::try_from(statfs(path).unwrap().f_type).is_ok_and(|kind| kind == EXT4 || kind == XFS)
}

/// Descriptors of this process that are open on `path`.
fn open_on(path: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target == path)
        .count()
}

#[test]
fn it_is_done_where_files_are_overwritten_in_place() {
    // The second is in memory on most systems.
    for parent in [std::env::temp_dir(), "/dev/shm".into()] {
        let Ok(parent) = tempfile::tempdir_in(parent) else {
            continue;
        };
        let path = parent.path().canonicalize().unwrap();
        let dir = DiskStorage::new(&path);
        let file = dir.open("a", OpenMode::CreateNew).unwrap();
        file.allocate(0, 64 * K).unwrap();
        assert_eq!(open_on(&path.join("a")), 1);
        let expected = is_in_place(&path);
        assert_eq!(file.prewrite(0, 32 * K).unwrap(), expected);
        assert_eq!(file.prewrite(32 * K, 32 * K).unwrap(), expected);
        assert_eq!(open_on(&path.join("a")), 1 + usize::from(expected));
        drop(file);
        assert_eq!(open_on(&path.join("a")), 0);
    }
}

#[test]
fn a_range_behind_the_end_is_refused_and_the_file_not_extended() {
    let parent = tempfile::tempdir().unwrap();
    let dir = DiskStorage::new(parent.path());
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.allocate(0, 10_000).unwrap();
    match file.prewrite(4096, 8192) {
        Ok(done) => assert!(!done && !is_in_place(parent.path())),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
    }
    assert_eq!(file.len().unwrap(), 10_000);
}

#[test]
fn it_needs_no_more_space() {
    use std::os::unix::fs::MetadataExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = DiskStorage::new(parent.path());
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.allocate(0, 1024 * K).unwrap();
    let blocks = || fs::metadata(parent.path().join("a")).unwrap().blocks();
    let before = blocks();
    file.prewrite(0, 1024 * K).unwrap();
    file.write_all_at(&[7; 5000], 100).unwrap();
    file.sync_data().unwrap();
    assert_eq!(blocks(), before);
    assert_eq!(file.len().unwrap(), 1024 * K);
}
