//! A log to spoil, and what all refusals have in common.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, RecordRef, Result, WalConfig};
use wal_io::fault::Image;

/// A directory that goes away with the test, and a log in it with several segments, closed.
pub(super) struct Place {
    pub(super) root: TempDir,
}

pub(super) fn config() -> WalConfig {
    WalConfig {
        max_segment_size: 1 << 20,
        fsync_policy: FsyncPolicy::Os,
        ..WalConfig::default()
    }
}

impl Place {
    pub(super) fn empty() -> Self {
        Self {
            root: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Four segments, the last of them of a second life.
    pub(super) fn with_a_log() -> Self {
        let place = Self::empty();
        let wal = place.open().expect("a log");
        let record = vec![7; 100_000];
        for _ in 0..25 {
            wal.append(RecordRef::data(&record)).expect("appended");
        }
        wal.close().expect("closed");
        let wal = place.open().expect("a log");
        wal.append(RecordRef::data(b"the last")).expect("appended");
        wal.close().expect("closed");
        assert_eq!(place.segments().len(), 4);
        place
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.path().join("log")
    }

    pub(super) fn open(&self) -> Result<Wal> {
        Wal::open(self.path(), config())
    }

    pub(super) fn look(&self) -> Result<Wal> {
        Wal::builder(self.path()).read_only().open()
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).expect("a directory");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            .collect();
        paths.sort();
        paths
    }

    /// All bytes below the root.
    pub(super) fn image(&self) -> Image {
        Image::read_from(self.root.path()).expect("the directory is read")
    }

    /// Every way to open it gives an error, says where and what, and changes nothing. The errors.
    #[track_caller]
    pub(super) fn refused(&self) -> [Error; 2] {
        let before = self.image();
        let errors = [self.open(), self.look()].map(|opened| opened.expect_err("it is refused"));
        for error in &errors {
            assert_names(error, &self.path());
        }
        assert!(self.image() == before, "something was changed");
        errors
    }
}

/// The message names the place.
#[track_caller]
pub(super) fn assert_names(error: &Error, path: &Path) {
    let message = error.to_string();
    let place = path.display().to_string();
    assert!(message.contains(&place), "{message}");
}

#[track_caller]
pub(super) fn assert_says(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}
