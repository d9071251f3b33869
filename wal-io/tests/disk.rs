//! What only a real directory has.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
use wal_io::EntryKind;
use wal_io::{DiskStorage, OpenMode, Storage, StorageFileExt};

fn created() -> (tempfile::TempDir, DiskStorage) {
    let parent = tempfile::tempdir().unwrap();
    let dir = DiskStorage::new(parent.path().join("log"));
    dir.create().unwrap();
    (parent, dir)
}

#[test]
fn missing_parents_are_made() {
    let parent = tempfile::tempdir().unwrap();
    let deep = parent.path().join("one/two/three");
    let dir = DiskStorage::new(&deep);
    dir.create().unwrap();
    assert!(deep.is_dir());
    dir.create().unwrap();
    assert_eq!(dir.path(), deep);
    assert_eq!(dir.location(), deep.display().to_string());
}

#[test]
fn a_file_on_the_way_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), b"").unwrap();
    for path in ["file", "file/log"] {
        let kind = DiskStorage::new(parent.path().join(path))
            .create()
            .unwrap_err()
            .kind();
        assert_eq!(kind, ErrorKind::NotADirectory);
    }
}

#[test]
fn a_relative_path_is_of_now() {
    let dir = DiskStorage::new("some/where");
    assert!(dir.path().is_absolute());
    assert!(dir.path().ends_with("some/where"));
}

#[test]
fn a_root_exists_and_has_no_parent() {
    DiskStorage::new(std::env::temp_dir()).create().unwrap();
    if cfg!(unix) {
        DiskStorage::new("/").create().unwrap();
    }
}

#[test]
fn the_bytes_are_those_of_the_file() {
    let (_parent, dir) = created();
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"hello", 3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"\0\0\0hello");
}

#[test]
fn a_lock_is_the_one_of_the_system() {
    let (_parent, dir) = created();
    let held = dir.try_lock("lock").unwrap().unwrap();
    let other = fs::File::open(dir.path().join("lock")).unwrap();
    assert!(matches!(
        other.try_lock(),
        Err(fs::TryLockError::WouldBlock)
    ));
    drop(held);
    other.try_lock().unwrap();
    assert!(dir.try_lock("lock").unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn links_inside_are_listed_as_links_and_refused_by_name() {
    use std::os::unix::fs::symlink;
    let (parent, dir) = created();
    fs::write(parent.path().join("target"), b"1").unwrap();
    symlink(parent.path().join("target"), dir.path().join("file")).unwrap();
    symlink(parent.path(), dir.path().join("dir")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let entries = dir.list().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert_eq!(entry.kind, EntryKind::Link);
        let name = entry.name.as_str();
        for mode in [OpenMode::Read, OpenMode::ReadWrite] {
            let error = dir.open(name, mode).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        assert!(dir.try_lock(name).is_err());
    }
    assert!(!parent.path().join("nowhere").exists());
    assert!(dir.subdirectory("dir").unwrap().list().is_err());
    assert_eq!(fs::read(parent.path().join("target")).unwrap(), b"1");
}

#[cfg(unix)]
#[test]
fn a_directory_behind_a_link_is_made_where_the_link_leads() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", parent.path().join("link")).unwrap();
    DiskStorage::new(parent.path().join("link/log"))
        .create()
        .unwrap();
    assert!(parent.path().join("real/log").is_dir());
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_refused_without_waiting() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (_parent, dir) = created();
    let path = dir.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        assert_eq!(
            dir.open("pipe", mode).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    assert_eq!(dir.list().unwrap()[0].kind, EntryKind::Other);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_unicode_is_listed() {
    use std::os::unix::ffi::OsStrExt;
    let (_parent, dir) = created();
    let name = std::ffi::OsStr::from_bytes(b"a\xFF");
    if fs::write(dir.path().join(name), b"").is_err() {
        return; // Some file systems take only Unicode.
    }
    assert_eq!(dir.list().unwrap()[0].name, "a\u{FFFD}");
}

#[cfg(target_os = "linux")]
#[test]
fn allocation_takes_space_on_disk() {
    use std::os::unix::fs::MetadataExt;
    let (_parent, dir) = created();
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    file.allocate(0, 1 << 20).unwrap();
    let meta = fs::metadata(dir.path().join("a")).unwrap();
    assert_eq!(meta.len(), 1 << 20);
    assert!(meta.blocks() * 512 >= 1 << 20, "{} blocks", meta.blocks());
}

#[test]
fn an_impossible_allocation_is_refused() {
    let (_parent, dir) = created();
    let file = dir.open("a", OpenMode::CreateNew).unwrap();
    let kind = file.allocate(i64::MAX as u64, 1).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::InvalidInput);
}

#[test]
fn who_looks_at_a_lock_stands_in_nobodys_way() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DiskStorage::new(tmp.path());
    assert!(!dir.is_locked("lock").unwrap());
    assert!(!tmp.path().join("lock").exists(), "a look makes no file");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    dir.is_locked("lock").unwrap();
                }
            });
        }
        let mut refused = 0;
        for _ in 0..2_000 {
            let lock = dir.try_lock("lock").unwrap();
            refused += u32::from(lock.is_none());
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(refused, 0);
    });
}

#[test]
fn a_held_lock_is_seen_also_when_its_file_is_deleted() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DiskStorage::new(tmp.path());
    let lock = dir.try_lock("lock").unwrap();
    assert!(lock.is_some());
    assert!(DiskStorage::new(tmp.path()).is_locked("lock").unwrap());
    fs::remove_file(tmp.path().join("lock")).unwrap();
    #[cfg(unix)]
    assert!(DiskStorage::new(tmp.path()).is_locked("lock").unwrap());
    drop(lock);
    assert!(!dir.is_locked("lock").unwrap());
}
